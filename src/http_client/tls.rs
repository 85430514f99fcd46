//! The TLS side of a client: which certificates it trusts, and the certificate it shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::error::Error;

/// Maximum size of a file with certificates or a key, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files in PEM format.
#[derive(Clone, Default, Debug)]
pub struct TlsFiles {
    /// The certificates to trust instead of those of the system.
    pub ca: Option<PathBuf>,
    /// The chain of the client certificate, and the file of its key.
    pub certificate_and_key: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or has no certificate or key, or key and certificate do not fit.
    pub(crate) fn load(&self) -> Result<TlsConfig, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = match &self.ca {
            Some(path) => read_certificates(path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let client = match &self.certificate_and_key {
            Some((certificate, key)) => Some(client_certificate(&provider, certificate, key)?),
            None => None,
        };
        let certificates: Vec<_> = roots.iter().map(|it| Certificate::from_der(it).to_owned()).collect();
        Ok(TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&certificates))
            .client_cert(client)
            .unversioned_rustls_crypto_provider(provider)
            .build())
    }
}

fn client_certificate(provider: &Arc<CryptoProvider>, certificate: &Path, key: &Path) -> Result<ClientCert, Error> {
    let chain = read_certificates(certificate)?;
    let pem = read(key)?;
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| invalid(key, "contains no private key in PEM format"))?;
    // ureq panics when certificate and key do not fit, so they are checked here.
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_root_certificates(RootCertStore::empty()).with_client_auth_cert(chain.clone(), der)
        })
        .map_err(|error| invalid(key, &format!("cannot be used with {}: {error}", certificate.display())))?;
    let chain: Vec<_> = chain.iter().map(|it| Certificate::from_der(it).to_owned()).collect();
    let key = PrivateKey::from_pem(&pem).map_err(|_| invalid(key, "contains no private key in PEM format"))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(invalid(path, "contains no certificates in PEM format")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let mut content = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content))
        .map_err(|error| invalid(path, &format!("cannot be read: {error}")))?;
    Ok(content)
}

fn invalid(path: &Path, problem: &str) -> Error {
    Error::Invalid(format!("{}: {problem}", path.display()))
}
