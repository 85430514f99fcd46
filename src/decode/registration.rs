//! Registers the schemas of records that the service writes, and checks them against the versions that consumers know.
//!
//! The records are in Confluent's wire format, so each begins with the id of its schema.

use serde::Deserialize;
use serde_json::json;

use crate::http_client::Request;
use crate::wire::percent_encoding::percent_encoded;

use super::registry::Registry;

/// The language of a schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchemaType {
    /// A Protobuf file, whose first message is that of the records.
    Protobuf,
    /// A JSON Schema.
    Json,
}

/// A schema to register.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSchema<'a> {
    /// The language of its text.
    pub schema_type: SchemaType,
    /// Its text.
    pub text: &'a str,
    /// The files that it imports: the name in the import, which is also their subject, and their version.
    pub references: &'a [(&'a str, u32)],
}

/// The id of a schema in the registry, and its version in its subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct RegisteredVersion {
    /// The id, the same for a schema in all subjects.
    pub id: u32,
    /// The version in the subject.
    pub version: u32,
}

#[derive(Deserialize)]
struct Compatibility {
    is_compatible: bool,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    message: String,
}

/// The answer to a request: status and body.
type Answer = (u16, Vec<u8>);

impl Registry {
    /// Registers a schema as the next version of `subject`, unless the subject has it already. A schema that is not
    /// compatible with the latest version is refused.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn register(&self, subject: &str, schema: &NewSchema<'_>) -> Result<RegisteredVersion, String> {
        let references: Vec<_> = schema
            .references
            .iter()
            .map(|(name, version)| json!({"name": name, "subject": name, "version": version}))
            .collect();
        let schema_type = match schema.schema_type {
            SchemaType::Protobuf => "PROTOBUF",
            SchemaType::Json => "JSON",
        };
        let body = json!({"schemaType": schema_type, "schema": schema.text, "references": references}).to_string();
        let subject_path = format!("/subjects/{}", percent_encoded(subject));
        if let Some(known) = self.find(subject, &subject_path, &body)? {
            return Ok(known);
        }
        let path = format!("/compatibility{subject_path}/versions/latest");
        match self.post(&path, &body)? {
            // The subject has no version yet.
            (404, _) => {}
            (200, answer) => {
                let answer: Compatibility =
                    serde_json::from_slice(&answer).map_err(|_| unexpected(subject, 200, &answer))?;
                if !answer.is_compatible {
                    return Err(incompatible(subject));
                }
            }
            (status, answer) => return Err(unexpected(subject, status, &answer)),
        }
        match self.post(&format!("{subject_path}/versions"), &body)? {
            (200, _) => {}
            (409, _) => return Err(incompatible(subject)),
            (status, answer) => return Err(unexpected(subject, status, &answer)),
        }
        let registered = self.find(subject, &subject_path, &body)?;
        registered
            .ok_or_else(|| format!("the schema registry does not find the schema that it registered for {subject}"))
    }

    /// Returns the version of `subject` with this schema; `None` if it has none.
    fn find(&self, subject: &str, path: &str, body: &str) -> Result<Option<RegisteredVersion>, String> {
        match self.post(path, body)? {
            (404, _) => Ok(None),
            (200, answer) => serde_json::from_slice(&answer).map(Some).map_err(|_| unexpected(subject, 200, &answer)),
            (status, answer) => Err(unexpected(subject, status, &answer)),
        }
    }

    fn post(&self, path: &str, body: &str) -> Result<Answer, String> {
        let url = format!("{}{path}", self.url());
        let mut headers = self.headers().to_vec();
        headers.push(("content-type".to_owned(), "application/vnd.schemaregistry.v1+json".to_owned()));
        let request = Request { method: "POST", url: &url, headers: &headers, body: Some(body.as_bytes()) };
        let response = self.send(&request).map_err(|error| {
            format!("the schema registry does not answer: {error}; check registry.url, and start again once it runs")
        })?;
        Ok((response.status, response.body))
    }
}

fn incompatible(subject: &str) -> String {
    format!(
        "the schema registry refuses the schema of {subject}: it is not compatible with the latest version there; publish to \
         another topic, or change the compatibility level of the subject"
    )
}

fn unexpected(subject: &str, status: u16, body: &[u8]) -> String {
    let what = serde_json::from_slice::<Problem>(body).map_or_else(
        |_| "and without what a registry answers, as a login page or a proxy does".to_owned(),
        |problem| problem.message,
    );
    let to_do = match status {
        401 | 403 => "grant the service read and write access to the subject, or register the schema by other means",
        _ => "check registry.url and the log of the registry",
    };
    format!("the schema registry answers for {subject} with status {status} {what}; {to_do}")
}

#[cfg(test)]
mod tests {
    use super::super::registry::tests::{client, registry};
    use super::*;

    const SCHEMA: NewSchema<'static> =
        NewSchema { schema_type: SchemaType::Protobuf, text: "syntax = \"proto3\";", references: &[("a.proto", 3)] };

    #[test]
    fn a_schema_that_the_subject_has_is_not_registered_again() {
        let (url, requests) = registry(&[("/subjects/out-value", 200, r#"{"id":7,"version":2,"schema":"x"}"#)]);
        let found = client(&url, None).register("out-value", &SCHEMA);
        assert_eq!(found, Ok(RegisteredVersion { id: 7, version: 2 }));
        let requests = requests.lock().expect("no panic");
        assert_eq!(requests.len(), 1);
        assert!(requests[0].starts_with("POST "), "{}", requests[0]);
    }

    #[test]
    fn a_schema_that_consumers_could_not_read_is_refused() {
        let missing = r#"{"error_code":40403,"message":"x"}"#;
        let latest = "/compatibility/subjects/a%2Fb-value/versions/latest";
        let (url, requests) = registry(
            [("/subjects/a%2Fb-value", 404, missing), (latest, 200, r#"{"is_compatible":false}"#)].to_vec().leak(),
        );
        let problem = client(&url, None).register("a/b-value", &SCHEMA).expect_err("it is refused");
        assert!(problem.contains("a/b-value: it is not compatible"), "{problem}");
        assert_eq!(requests.lock().expect("no panic").len(), 2, "nothing is registered");
    }

    #[test]
    fn an_answer_that_is_not_expected_is_reported_with_what_to_do() {
        let (url, _) = registry(&[("/subjects/out-value", 403, r#"{"error_code":40301,"message":"no write"}"#)]);
        let problem = client(&url, None).register("out-value", &SCHEMA).expect_err("it is refused");
        assert!(problem.contains("status 403 no write; grant the service"), "{problem}");
        let (url, _) = registry(&[("/subjects/out-value", 200, "<html>")]);
        let problem = client(&url, None).register("out-value", &SCHEMA).expect_err("not a registry");
        let expected =
            "status 200 and without what a registry answers, as a login page or a proxy does; check registry.url";
        assert!(problem.contains(expected), "{problem}");
    }
}
