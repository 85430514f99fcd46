//! Local servers that keep the documented contracts of the marketing tools: authentication, schema, sizes, rate limits,
//! partial failures. They refuse what the vendor refuses, and lose silently what the vendor loses silently.
//!
//! One file per vendor has its rules, each with its source, its answers, and self-tests with a good request and each
//! kind of bad one. `server` is the HTTP side that all share.

pub(crate) mod braze;
pub(crate) mod customerio;
pub(crate) mod ga4;
pub(crate) mod hubspot;
pub(crate) mod iterable;
pub(crate) mod klaviyo;
pub(crate) mod mailchimp;
pub(crate) mod segment;
pub(crate) mod server;
pub(crate) mod slack;
