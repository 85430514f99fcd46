//! Checks the contracts as documents with tools of others: the AsyncAPI parser, a validator of JSON Schema, and buf.
//!
//! `scripts/contract-tools` installs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::cli::lifecycle;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the folder of the tools.
pub(crate) fn tools() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let output = Command::new(format!("{ROOT}/scripts/contract-tools")).output().expect("the script can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
    })
}

/// Runs a Node script with `input` in the file `input.json`, and returns what it prints.
fn node(script: &str, input: &Value) -> String {
    let directory = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(directory.path().join("input.json"), input.to_string()).expect("writable");
    let output = Command::new("node")
        .args(["-e", script])
        .current_dir(directory.path())
        .env("NODE_PATH", tools().join("node_modules"))
        .output()
        .expect("node can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the errors and warnings of the AsyncAPI parser. It also recommends the latest version of AsyncAPI, which is
/// not a problem.
fn asyncapi_problems(document: &Value) -> Vec<String> {
    let script = "const {Parser} = require('@asyncapi/parser'); \
         const text = require('fs').readFileSync('input.json', 'utf8'); \
         new Parser().validate(text).then(found => found.filter(it => it.severity < 2) \
           .forEach(it => console.log(it.path.join('.') + ': ' + it.message)));";
    node(script, document).lines().map(str::to_owned).collect()
}

fn print_schema(arguments: &[&str], configuration: &str) -> Value {
    let directory = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(directory.path().join("lifecycle.yaml"), configuration).expect("writable");
    let run = lifecycle(directory.path(), &[&["schema"], arguments].concat(), b"");
    assert_eq!(run.code, 0, "{}", run.errors);
    serde_json::from_str(&run.output).expect("JSON")
}

#[test]
fn the_asyncapi_document_of_every_configuration_is_valid() {
    let minimal = "kafka: {bootstrap_servers: 'kafka-1:9092,kafka-2:9092'}\n";
    let full = "topics: {touchpoints: in, transitions: out, current_stages: current}\npublish:\n  cloudevents: minimal\n  \
         routes:\n  - {topic: risk, model: retention, stage: at_risk}\n  - {topic: risk, kind: milestone}\n";
    for configuration in
        [minimal.to_owned(), format!("{minimal}{full}"), format!("{minimal}publish: {{cloudevents: none}}\n")]
    {
        let document = print_schema(&["asyncapi", "--config", "lifecycle.yaml"], &configuration);
        assert_eq!(asyncapi_problems(&document), [""; 0], "{configuration}");
    }
    let document = print_schema(&["asyncapi", "--config", "lifecycle.yaml"], &format!("{minimal}{full}"));
    let addresses: Vec<&str> = document["channels"]
        .as_object()
        .expect("channels")
        .values()
        .filter_map(|channel| channel["address"].as_str())
        .collect();
    for topic in ["in", "out", "out.replay", "risk", "current", "lifecycle.dead-letters"] {
        assert_eq!(addresses.iter().filter(|address| **address == topic).count(), 1, "{topic} in {addresses:?}");
    }
    let mut broken = document;
    broken["channels"]["touchpoints"]["messages"]["touchpoint"] = json!({"$ref": "#/components/messages/none"});
    assert_ne!(asyncapi_problems(&broken), [""; 0], "the parser finds problems");
}

#[test]
fn attributes_are_typed_in_the_documents_of_a_configuration() {
    let attributes = r#"{scale: 'latest(feedback_given, "scale")', orders: orders.count, ordered_at: orders.last}"#;
    let configuration = format!("kafka: {{bootstrap_servers: 'kafka:9092'}}\npublish: {{attributes: {attributes}}}\n");
    let document = print_schema(&["asyncapi", "--config", "lifecycle.yaml"], &configuration);
    assert_eq!(asyncapi_problems(&document), [""; 0]);
    let schema = print_schema(&["transitions", "--config", "lifecycle.yaml"], &configuration);
    assert_eq!(document["components"]["messages"]["transition"]["payload"], schema);
    let record = |attributes: Value| {
        let mut record = examples("json transition")[0].clone();
        record["attributes"] = attributes;
        record
    };
    let valid = json!({"scale": null, "orders": 2, "ordered_at": "2026-03-01T10:30:00Z"});
    assert_eq!(schema_problems(&schema, &[record(valid)]), "");
    let untyped = json!({"scale": null, "orders": "2", "ordered_at": null});
    assert!(schema_problems(&schema, &[record(untyped)]).contains("attributes/orders"));
    assert!(schema_problems(&schema, &[record(json!({"orders": 2}))]).contains("required property"));
}

#[test]
fn with_protobuf_the_asyncapi_document_contains_the_protobuf_schema() {
    let configuration = "kafka: {bootstrap_servers: 'kafka:9092'}\npublish: {format: protobuf}\n";
    let document = print_schema(&["asyncapi", "--config", "lifecycle.yaml"], configuration);
    let transition = &document["components"]["messages"]["transition"];
    assert_eq!(transition["contentType"], "application/protobuf");
    assert_eq!(transition["payload"]["schema"], include_str!("../../proto/lifecycle/v1/transition.proto"));
}

#[test]
fn the_asyncapi_document_describes_the_records_of_sources() {
    let configuration = "kafka: {bootstrap_servers: 'kafka:9092'}\ntopics: {touchpoints: orders}\n\
         registry: {url: 'http://registry:8081'}\nsources:\n\
         - {name: web, topics: [web.events, 'app.*'], mapping: segment, settings: {currency: EUR}}\n\
         - {name: shop, topics: [orders], format: avro, framing: confluent, mapping: ./orders.yaml}\n\
         - {name: app, topics: [app], format: protobuf}\n\
         - {name: crm, topics: [crm], format: cloudevents, mapping: cloudevents}\n\
         - {name: till, topics: [till], format: avro, schema: lifecycle.yaml, mapping: ./till.yaml}\n";
    let document = print_schema(&["asyncapi", "--config", "lifecycle.yaml"], configuration);
    let (channels, messages) = (&document["channels"], &document["components"]["messages"]);
    let direct = channels["touchpoints"]["messages"].as_object().expect("messages");
    assert_eq!(direct.keys().collect::<Vec<_>>(), ["source_1", "touchpoint"]);
    assert_eq!(messages["source_1"]["contentType"], "application/avro");
    assert_eq!(messages["source_1"]["bindings"]["kafka"]["schemaIdPayloadEncoding"], "confluent");
    assert!(messages["touchpoint"]["headers"]["properties"]["lifecycle_source"].is_object(), "a header says so");
    let topics = |index: usize| {
        let prefix = format!("source_{index}_");
        let of_source = channels.as_object().expect("channels").iter().filter(|(name, _)| name.starts_with(&prefix));
        of_source.map(|(_, channel)| channel["address"].as_str().expect("a topic")).collect::<Vec<_>>()
    };
    assert_eq!((topics(0), topics(1), topics(2)), (vec!["web.events"], vec![], vec!["app"]));
    assert_eq!(messages["source_2"]["payload"]["schema"], include_str!("../../proto/lifecycle/v1/touchpoint.proto"));
    assert_eq!(messages["source_4"]["payload"]["schema"], configuration, "the file of the schema");
    // The parser needs plugins for these schemas.
    let mut document = document;
    for index in [2, 4] {
        document["components"]["messages"][format!("source_{index}")]["payload"] = json!({});
    }
    assert_eq!(asyncapi_problems(&document), [""; 0]);
}

/// Returns what the validator says about each record.
fn schema_problems(schema: &Value, records: &[Value]) -> String {
    let script = "const Ajv = require('ajv'); const ajv = new Ajv({strict: false, validateFormats: false}); \
         const {schema, records} = JSON.parse(require('fs').readFileSync('input.json', 'utf8')); \
         const validate = ajv.compile(schema); \
         for (const record of records) if (!validate(record)) console.log(ajv.errorsText(validate.errors));";
    node(script, &json!({"schema": schema, "records": records}))
}

/// Returns the JSON blocks of docs/contracts.md with this info string.
fn examples(info: &str) -> Vec<Value> {
    let opening = format!("```{info}\n");
    let blocks = include_str!("../../docs/contracts.md").split(&opening).skip(1);
    let parse = |rest: &str| serde_json::from_str(rest.split("```").next().unwrap_or_default()).expect("JSON");
    let examples: Vec<Value> = blocks.map(parse).collect();
    assert!(!examples.is_empty(), "{info}");
    examples
}

#[test]
fn records_match_their_json_schemas_and_damaged_ones_do_not() {
    let replayed = lifecycle(Path::new(ROOT), &["replay", "examples/touchpoints.ndjson"], b"");
    let mut transitions: Vec<Value> =
        replayed.output.lines().map(|line| serde_json::from_str(line).expect("a transition")).collect();
    assert!(transitions.len() > 10, "{}", replayed.errors);
    transitions.extend(examples("json transition"));
    for (kind, records, required) in [
        ("transitions", transitions, "transition_id"),
        ("touchpoints", examples("json touchpoint"), "event_id"),
        ("current-stages", examples("json current stages"), "models"),
    ] {
        let schema = print_schema(&[kind], "");
        assert_eq!(schema_problems(&schema, &records), "", "{kind}");
        let mut damaged = records[0].clone();
        damaged.as_object_mut().expect("an object").remove(required);
        assert!(schema_problems(&schema, &[damaged]).contains(required), "{kind}");
    }
}

fn buf_breaking(proto: &Path) -> Output {
    Command::new(tools().join("bin/buf"))
        .arg("breaking")
        .arg(proto)
        .args(["--against", &format!("{ROOT}/tests/golden/proto")])
        .current_dir(proto)
        .output()
        .expect("buf can be run")
}

#[test]
fn consumers_of_the_last_release_can_read_the_protobuf_messages() {
    let output = buf_breaking(&Path::new(ROOT).join("proto"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "an incompatible change of proto/:\n{text}");
}

#[test]
fn a_changed_field_is_found_as_incompatible() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let folder = directory.path().join("lifecycle/v1");
    std::fs::create_dir_all(&folder).expect("writable");
    for name in ["touchpoint.proto", "transition.proto", "current_stages.proto"] {
        let text = std::fs::read_to_string(format!("{ROOT}/proto/lifecycle/v1/{name}")).expect("readable");
        let changed = text.replace("uint64 sequence = 12;", "string sequence = 12;");
        std::fs::write(folder.join(name), changed).expect("writable");
    }
    let output = buf_breaking(directory.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("sequence"), "{text}");
}
