//! TLS of the HTTP server: its certificate, which is replaced when the files change, and the authorities by which an
//! instance checks the certificates of the others.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Maximum size of a file with certificates or a key, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The files of the TLS settings, in PEM format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate chain of the server.
    pub certificate: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
    /// The authorities that sign the certificates of the other instances.
    pub ca: Option<PathBuf>,
}

/// The configurations in effect for connections that clients open, and for those to other instances.
#[derive(Clone, Debug)]
struct Loaded {
    server: Arc<ServerConfig>,
    client: Option<Arc<ClientConfig>>,
}

/// The TLS configuration, which is replaced when its files change.
#[derive(Clone, Debug)]
pub struct SharedTls {
    files: TlsFiles,
    loaded: Arc<RwLock<Loaded>>,
}

impl SharedTls {
    /// Reads the files.
    ///
    /// # Errors
    /// A message that names the configuration key, if a file cannot be read or used.
    pub fn load(files: TlsFiles) -> Result<Self, String> {
        let loaded = Arc::new(RwLock::new(Loaded::read(&files)?));
        Ok(Self { files, loaded })
    }

    /// Reads the files again, for all later connections. Keeps the current configuration if they cannot be used.
    ///
    /// # Errors
    /// As [`SharedTls::load`].
    pub fn reload(&self) -> Result<(), String> {
        let loaded = Loaded::read(&self.files)?;
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// Returns the configuration for a connection that a client opens.
    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner).server)
    }

    /// Returns the configuration for a connection to another instance; `None` without authorities.
    pub(super) fn client(&self) -> Option<Arc<ClientConfig>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).client.clone()
    }
}

impl Loaded {
    fn read(files: &TlsFiles) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = files.ca.as_deref().map(|ca| client_config(&provider, ca)).transpose()?;
        Ok(Self { server: server_config(&provider, files)?, client })
    }
}

fn server_config(provider: &Arc<CryptoProvider>, files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let certificate_key = "http.tls_certificate_file";
    let chain = certificates(certificate_key, &files.certificate)?;
    let pem = read("http.tls_key_file", &files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| format!("http.tls_key_file: {} contains no private key in PEM format", files.key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            format!("{certificate_key}: {certificate} cannot be used with the key {key}: {error}")
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn client_config(provider: &Arc<CryptoProvider>, ca: &Path) -> Result<Arc<ClientConfig>, String> {
    let key = "http.tls_ca_file";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, ca)? {
        roots.add(certificate).map_err(|error| format!("{key}: {}: {error}", ca.display()))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("{key}: {error}"))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(key, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{key}: {} contains no certificate in PEM format", path.display())),
    }
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut content = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content))
        .map_err(|error| format!("{key}: {} cannot be read: {error}", path.display()))?;
    Ok(content)
}
