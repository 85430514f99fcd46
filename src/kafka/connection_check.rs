//! Checks the connection settings without a broker: mechanisms that this build lacks, files that cannot be read,
//! missing credentials.
//!
//! Every command that connects to Kafka runs it first, so the same mistake has the same message and exit code.

use std::fs::File;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use super::context::Context;
use super::error::{Error, Reaction};
use super::error_code::ErrorCode;
use super::settings::Cluster;

/// The settings that name a file that the client reads.
const FILES: &[&str] = &[
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
    "https.ca.location",
];

/// The two parts of `security.protocol`: whether the connection uses TLS, and whether it authenticates with SASL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SecurityProtocol {
    pub(super) has_tls: bool,
    pub(super) has_sasl: bool,
}

impl SecurityProtocol {
    pub(super) const fn name(self) -> &'static str {
        match (self.has_tls, self.has_sasl) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        }
    }
}

impl Cluster {
    fn setting(&self, names: &[&str]) -> Option<&str> {
        self.settings.iter().rev().find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.as_str())
    }

    /// Returns the configured security protocol.
    pub(super) fn security_protocol(&self) -> SecurityProtocol {
        let name = self.setting(&["security.protocol"]).unwrap_or_default().to_ascii_lowercase();
        SecurityProtocol { has_tls: name.ends_with("ssl"), has_sasl: name.starts_with("sasl_") }
    }

    /// Returns whether the client has a certificate.
    pub(super) fn has_client_certificate(&self) -> bool {
        self.setting(&["ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"]).is_some()
    }

    /// Returns the configured SASL mechanism; the client's default is GSSAPI.
    pub(super) fn sasl_mechanism(&self) -> &str {
        self.setting(&["sasl.mechanism", "sasl.mechanisms"]).unwrap_or("GSSAPI")
    }

    /// Checks the connection settings without contacting a broker.
    ///
    /// # Errors
    /// Always [`Reaction::Fatal`]: the operator must change the configuration.
    pub fn check(&self) -> Result<(), Error> {
        self.check_protocol()?;
        self.check_mechanism()?;
        for name in FILES {
            let Some(path) = self.setting(&[name]).filter(|path| !path.is_empty()) else { continue };
            // Not a path: the client then searches the usual places for certificates.
            if name.ends_with(".ca.location") && path == "probe" {
                continue;
            }
            if let Err(error) = File::open(path) {
                return Err(Error::settings(format!("{name}: {path} cannot be read: {error}"))
                    .with_to_do(format!("set kafka.client.{name} to a file that this process may read")));
            }
        }
        let mut config = self.for_queries();
        // Without bootstrap servers the client checks its settings but contacts no broker.
        config.remove("bootstrap.servers");
        config.create_with_context::<_, BaseConsumer<Context>>(Context::default()).map(drop).map_err(|error| {
            let to_do = match &error {
                // The client quotes the names of settings that contradict each other.
                KafkaError::ClientCreation(why) if why.contains('`') => "correct the setting under kafka.client",
                KafkaError::ClientCreation(_) if self.security_protocol().has_sasl => {
                    "check the settings sasl.* and ssl.* under kafka.client"
                }
                KafkaError::ClientCreation(_) => "check the settings ssl.* under kafka.client",
                KafkaError::ClientConfig(_, _, name, _) if name == "sasl.jaas.config" => {
                    "set kafka.client.sasl.mechanism, sasl.username and sasl.password instead"
                }
                KafkaError::ClientConfig(_, _, name, _) if name.starts_with("ssl.truststore.") => {
                    "set kafka.client.ssl.ca.location to the certificates in PEM format instead"
                }
                _ => "correct or remove the setting under kafka.client",
            };
            Error {
                reaction: Reaction::Fatal,
                code: ErrorCode::InvalidConfig,
                ..Error::of_creation("settings", &error)
            }
            .with_to_do(to_do)
        })
    }

    /// Rejects an unknown security protocol, and credentials that would not be used.
    fn check_protocol(&self) -> Result<(), Error> {
        const NAMES: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
        let given = self.setting(&["security.protocol"]);
        if let Some(given) = given.filter(|given| !NAMES.contains(&given.to_ascii_lowercase().as_str())) {
            return Err(Error::settings(format!("security.protocol {given} is unknown"))
                .with_to_do("set kafka.client.security.protocol to plaintext, ssl, sasl_plaintext or sasl_ssl"));
        }
        let protocol = self.security_protocol();
        // The client ignores servers of another protocol.
        let mut prefixes = self.bootstrap_servers.split(',').filter_map(|server| server.trim().split_once("://"));
        if let Some((other, _)) = prefixes.find(|(prefix, _)| !prefix.eq_ignore_ascii_case(protocol.name())) {
            let what = format!(
                "an address in kafka.bootstrap_servers begins with {other}://, but security.protocol is {}",
                protocol.name()
            );
            let to_do =
                format!("set kafka.client.security.protocol to {}, or remove the beginning", other.to_lowercase());
            return Err(Error::settings(what).with_to_do(to_do));
        }
        if self.setting(&["sasl.password"]).is_none() || protocol.has_sasl {
            return Ok(());
        }
        let what = format!("sasl.password has no effect, because security.protocol is {}", protocol.name());
        Err(Error::settings(what).with_to_do(
            "set kafka.client.security.protocol to sasl_ssl, or to sasl_plaintext if the listener has no TLS",
        ))
    }

    /// Rejects the mechanisms that the client of this build does not contain.
    fn check_mechanism(&self) -> Result<(), Error> {
        if !self.security_protocol().has_sasl {
            return Ok(());
        }
        let to_do =
            "set kafka.client.sasl.mechanism to SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN, as the brokers support it";
        let mechanism = self.sasl_mechanism();
        let what = match mechanism {
            "GSSAPI" if self.setting(&["sasl.mechanism", "sasl.mechanisms"]).is_none() => {
                "sasl.mechanism is not set, and its default GSSAPI (Kerberos) is not part of this build"
            }
            "GSSAPI" => "sasl.mechanism GSSAPI (Kerberos) is not part of this build",
            "AWS_MSK_IAM" => {
                return Err(Error::settings("the client does not support sasl.mechanism AWS_MSK_IAM").with_to_do(
                    "use SCRAM-SHA-512 or a client certificate, which MSK supports as well, and set kafka.client for it",
                ));
            }
            "OAUTHBEARER" => return self.check_token_settings(),
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512"
                if self.setting(&["sasl.username"]).is_none() || self.setting(&["sasl.password"]).is_none() =>
            {
                let what = format!("sasl.mechanism {mechanism} needs a user and a password");
                return Err(
                    Error::settings(what).with_to_do("set kafka.client.sasl.username and kafka.client.sasl.password")
                );
            }
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => return Ok(()),
            _ => return Err(Error::settings(format!("sasl.mechanism {mechanism} is unknown")).with_to_do(to_do)),
        };
        Err(Error::settings(what).with_to_do(to_do))
    }

    /// Checks that the client can get a token for OAUTHBEARER.
    fn check_token_settings(&self) -> Result<(), Error> {
        if self.setting(&["enable.sasl.oauthbearer.unsecure.jwt"]) == Some("true") {
            return Ok(());
        }
        if self.setting(&["sasl.oauthbearer.method"]) != Some("oidc") {
            return Err(Error::settings("sasl.mechanism OAUTHBEARER needs a token server").with_to_do(
                "set kafka.client.sasl.oauthbearer.method to oidc, and sasl.oauthbearer.token.endpoint.url, \
                 sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret",
            ));
        }
        // With another grant type, or the token of a cloud machine, other settings replace client id and secret.
        let is_other_grant = ["sasl.oauthbearer.grant.type", "sasl.oauthbearer.metadata.authentication.type"]
            .iter()
            .any(|name| self.setting(&[name]).is_some_and(|value| !["client_credentials", "none"].contains(&value)));
        if is_other_grant {
            return Ok(());
        }
        let required: [&[&str]; 3] = [
            &["sasl.oauthbearer.token.endpoint.url"],
            &["sasl.oauthbearer.client.id", "sasl.oauthbearer.client.credentials.client.id"],
            &["sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret"],
        ];
        match required.into_iter().find(|names| self.setting(names).is_none_or(str::is_empty)) {
            None => Ok(()),
            Some(missing) => {
                let what = format!("sasl.oauthbearer.method oidc needs {}", missing[0]);
                Err(Error::settings(what).with_to_do(format!("set kafka.client.{}", missing[0])))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;

    use super::*;

    #[test]
    fn settings_that_contradict_each_other_are_not_settings_of_tls() {
        let settings = vec![("receive.message.max.bytes".to_owned(), "1000".to_owned())];
        let cluster = Cluster { bootstrap_servers: "localhost:9092".to_owned(), settings };
        let error = cluster.check().expect_err("too few bytes");
        let text = format!("{error} {}", error.to_do().unwrap_or_default());
        assert!(text.contains("receive.message.max.bytes") && !text.contains("ssl"), "{text}");
    }

    #[test]
    fn the_client_is_built_with_tls_scram_and_oidc() {
        let features = ClientConfig::new().create_native_config().unwrap().get("builtin.features").unwrap();
        for feature in ["ssl", "sasl_plain", "sasl_scram", "sasl_oauthbearer", "oidc"] {
            // Without OIDC, see `.cargo/config.toml`: pkg-config was missing when librdkafka was built.
            assert!(features.split(',').any(|it| it.trim() == feature), "{feature} is missing in {features}");
        }
    }
}
