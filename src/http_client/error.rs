//! Why a request got no response. Messages contain the host, but neither path, query, headers nor body.

use std::io;
use std::net::IpAddr;

use super::address::{AddressKind, kind};

/// A request without a response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be sent: its URL, a header or a file of the client is invalid.
    #[error("{0}")]
    Invalid(String),
    /// The host has no address that the client may connect to.
    #[error("{host}: {refused}")]
    AddressRefused {
        /// The host of the URL.
        host: String,
        /// The address.
        refused: AddressRefused,
    },
    /// The response was not complete within the timeout.
    #[error("{host}: no response in time ({during})")]
    Timeout {
        /// The host of the URL.
        host: String,
        /// What the client was waiting for.
        during: String,
    },
    /// The host could not be reached, or the connection broke.
    #[error("{host}: {what}")]
    Connection {
        /// The host of the URL.
        host: String,
        /// What failed.
        what: String,
    },
}

/// An address that the client does not connect to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressRefused {
    /// The address.
    pub address: IpAddr,
}

impl std::fmt::Display for AddressRefused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.address;
        match kind(address) {
            AddressKind::Private => write!(
                formatter,
                "refused to connect to the private address {address}; if that is intended, allow private addresses"
            ),
            AddressKind::Public | AddressKind::Reserved => write!(
                formatter,
                "refused to connect to {address}, which is a link-local, multicast or reserved address"
            ),
        }
    }
}

impl std::error::Error for AddressRefused {}

impl Error {
    /// Describes why a request to `host` got no response.
    pub(crate) fn of_request(host: &str, error: ureq::Error) -> Self {
        let host = host.to_owned();
        match error {
            ureq::Error::Other(other) => match other.downcast::<AddressRefused>() {
                Ok(refused) => Self::AddressRefused { host, refused: *refused },
                Err(other) => Self::Connection { host, what: other.to_string() },
            },
            ureq::Error::Timeout(during) => Self::Timeout { host, during: during.to_string() },
            ureq::Error::Http(error) => Self::Invalid(format!("{host}: the request is invalid: {error}")),
            // The message of this error contains the URL.
            ureq::Error::BadUri(_) => Self::Invalid(format!("{host}: the URL is invalid")),
            ureq::Error::HostNotFound => Self::Connection { host, what: "host not found".to_owned() },
            ureq::Error::Rustls(error) => Self::Connection { host, what: tls_problem(&error) },
            ureq::Error::Io(error) => Self::of_io(host, &error),
            other => Self::Connection { host, what: other.to_string() },
        }
    }

    pub(super) fn of_io(host: String, error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Connection { host, what: tls_problem(error) };
        }
        if error.kind() == io::ErrorKind::TimedOut {
            return Self::Timeout { host, during: "reading".to_owned() };
        }
        Self::Connection { host, what: error.to_string() }
    }
}

fn tls_problem(error: &rustls::Error) -> String {
    let hint = match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "; if its certificate is signed by your own CA, name the file of the CA"
        }
        // The variant is of a crate that is not a dependency; its text is its name.
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))
            if other.to_string().contains("CaUsedAsEndEntity") =>
        {
            "; this certificate is an authority's: issue a server certificate with CA:FALSE"
        }
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            "; the server has no TLS: write http://"
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired) => {
            "; name the files of a client certificate and its key"
        }
        _ => "",
    };
    format!("TLS failed: {error}{hint}")
}
