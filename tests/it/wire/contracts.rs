//! Checks that the examples and tables of `docs/contracts.md` match the code.

use lifecycle_processor::partition::DeadLetterReason;
use lifecycle_processor::wire::dead_letter::{self, Origin};
use lifecycle_processor::wire::touchpoint_json::Scratch;
use lifecycle_processor::wire::transition_json::TransitionRecord;
use uuid::Uuid;

use super::touchpoints::decoder;

const DOCUMENT: &str = include_str!("../../../docs/contracts.md");

/// Returns the fenced code blocks whose info string is `info`.
fn blocks(info: &str) -> Vec<&'static str> {
    let opening = format!("```{info}\n");
    DOCUMENT
        .split(&opening)
        .skip(1)
        .map(|rest| rest.split("```").next().expect("split gives at least one piece"))
        .collect()
}

/// Returns the first column of the table that follows `heading`; its entries are in backticks.
fn first_column(heading: &str) -> Vec<&'static str> {
    let (_, table) = DOCUMENT.split_once(heading).expect("the document has the heading");
    table
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('`').nth(1).expect("a name in backticks"))
        .collect()
}

#[test]
fn the_touchpoints_of_the_document_are_decoded() {
    let examples = blocks("json touchpoint");
    assert_eq!(examples.len(), 3);
    for json in examples {
        let mut scratch = Scratch::default();
        let decoder = decoder();
        let touchpoint = decoder.decode(json.as_bytes(), &mut scratch);
        assert_eq!(touchpoint.expect("a touchpoint").customer_id.trim_start_matches("c-"), "1042");
    }
}

#[test]
fn the_transitions_of_the_document_are_transition_records() {
    let examples = blocks("json transition");
    assert_eq!(examples.len(), 2);
    for json in examples {
        let record: TransitionRecord<'_> = serde_json::from_str(json).expect("a transition record");
        assert!(Uuid::parse_str(&record.transition_id).is_ok_and(|id| id.get_version_num() == 5));
        // Every field of the example is in the table.
        let names: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).expect("an object");
        for name in names.keys() {
            assert!(DOCUMENT.contains(&format!("| `{name}`")) || name == "model_version", "{name} is not explained");
        }
    }
}

#[test]
fn every_reason_and_every_header_of_a_dead_letter_is_documented() {
    let reasons = DeadLetterReason::ALL.map(DeadLetterReason::as_str);
    assert_eq!(first_column("| reason | the record |\n"), reasons);

    let origin = Origin { topic: "t", partition: 0, offset: 0, timestamp_ms: Some(0) };
    let headers = dead_letter::headers(vec![], origin, DeadLetterReason::Empty, "detail");
    let cut = dead_letter::truncate(&mut None, &mut Some(vec![0; 2_000_000]), &mut Vec::new());
    let names: Vec<_> = headers.iter().chain(&cut).map(|header| header.name.as_str()).collect();
    assert_eq!(first_column("## Dead letters"), names);
}
