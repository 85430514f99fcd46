//! Resolves a host name, and drops every address that the client may not connect to.
//!
//! The client connects to the addresses that this resolver returns, and to no others. Therefore an answer that changes
//! between two lookups (DNS rebinding) cannot bypass the check.

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::address::{AddressKind, kind};
use super::error::AddressRefused;

/// A resolver that checks the answers of another one.
#[derive(Debug)]
pub(super) struct CheckedResolver<R = DefaultResolver> {
    pub(super) inner: R,
    pub(super) is_private_allowed: bool,
}

impl<R: Resolver> Resolver for CheckedResolver<R> {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let answer = self.inner.resolve(uri, config, timeout)?;
        let mut permitted = self.empty();
        for address in &answer {
            let is_permitted = match kind(address.ip()) {
                AddressKind::Public => true,
                AddressKind::Private => self.is_private_allowed,
                AddressKind::Reserved => false,
            };
            if is_permitted {
                permitted.push(*address);
            }
        }
        match answer.first() {
            Some(refused) if permitted.is_empty() => {
                Err(ureq::Error::Other(Box::new(AddressRefused { address: refused.ip() })))
            }
            _ => Ok(permitted),
        }
    }
}
