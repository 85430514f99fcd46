//! A blocking HTTP client for requests that leave the deployment: webhooks, marketing tools, registries.
//!
//! It connects only to addresses that [`address`] permits, checked after name resolution, so that a name cannot lead a
//! request to another host than was meant. It follows no redirect, uses no proxy from the environment, verifies TLS,
//! and limits time and size of a response. Retries are left to the caller. Errors name the host only: a path or a query
//! may contain a secret.

pub mod address;

mod client;
mod error;
mod resolver;
mod tls;

#[cfg(test)]
mod tests;

pub use client::{HttpClient, Options, Request, Response, check_url, is_header_name, is_header_value, is_url};
pub use error::Error;
pub use tls::TlsFiles;
