//! Signatures of Standard Webhooks 1.0: HMAC-SHA256 over id, time of the attempt and body.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// Lengths of a secret that the specification allows, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secrets of a webhook, newest first. During a rotation a message carries a signature of each.
#[derive(Clone)]
pub struct Signer {
    keys: Vec<hmac::Key>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer({} secrets)", self.keys.len())
    }
}

impl Signer {
    /// Reads secrets: `whsec_` and base64.
    ///
    /// # Errors
    /// What is wrong with a secret; never the secret.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut keys = Vec::new();
        for secret in secrets {
            let encoded = secret.trim();
            let encoded = encoded.strip_prefix("whsec_").unwrap_or(encoded);
            let bytes = STANDARD.decode(encoded).map_err(|_| "write whsec_ and the secret in base64".to_owned())?;
            if !SECRET_BYTES.contains(&bytes.len()) {
                return Err(format!(
                    "the secret has {} bytes: use {} to {}, for example from `openssl rand -base64 32`",
                    bytes.len(),
                    SECRET_BYTES.start(),
                    SECRET_BYTES.end()
                ));
            }
            keys.push(hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        }
        Ok(Self { keys })
    }

    /// Returns the value of the header `webhook-signature` for a message sent at `seconds` since the Unix epoch.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let head = format!("{id}.{seconds}.");
        let signatures = self.keys.iter().map(|key| {
            let mut context = hmac::Context::with_key(key);
            context.update(head.as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const SECOND: &str = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    const ID: &str = "6ba7b810-9dad-51d1-80b4-00c04fd430c8";
    const SECONDS: i64 = 1_772_361_000;

    #[test]
    fn the_vector_of_the_reference_implementation_is_signed_alike() {
        let signer = Signer::new(["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]).unwrap();
        let signature = signer.sign(
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            br#"{"email":"test@example.com","username":"test_user"}"#,
        );
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    /// Computed with the `hmac` module of Python.
    #[test]
    fn bodies_with_any_bytes_and_several_secrets_are_signed() {
        let body = br#"{"type":"customer.stage.changed","timestamp":"2026-03-01T10:30:00Z","data":{"customer_id":"c-1042","model":"loyalty_ladder","from":"prospect","to":"regular_customer"}}"#;
        assert_eq!(
            Signer::new([FIRST, SECOND]).unwrap().sign(ID, SECONDS, body),
            "v1,C86tCa+si323WlsWOVPkoK2iz5WbDWbbUIZ+2/zP1QU= v1,p0j+3IorQY6x15rv83Ze/j55JQuYd1HOLjNTbtL4Tdo="
        );
        let first = Signer::new([FIRST]).unwrap();
        assert_eq!(first.sign(ID, SECONDS, b""), "v1,v40UVzDt0uV48HHPgEPW6QeYtFv15WEq5mmarNw0A9w=");
        let body = "{\"name\":\"Zo\u{eb} \u{20ac}\"}".as_bytes();
        assert_eq!(first.sign(ID, SECONDS, body), "v1,W/P+Ean2AaOQUcTbdyYyEL1u3qYjM7RwCe/WbyWdCx0=");
    }

    #[test]
    fn unusable_secrets_are_refused_and_never_shown() {
        for secret in ["whsec_c2hvcnQ=", "whsec_not base64", ""] {
            let problem = Signer::new([secret]).unwrap_err();
            assert!(!problem.contains("c2hvcnQ") && !problem.contains("not base64"), "{problem}");
        }
        assert_eq!(format!("{:?}", Signer::new([FIRST]).unwrap()), "Signer(1 secrets)");
    }
}
