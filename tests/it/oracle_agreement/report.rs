//! Reports a disagreement: the seed, the lines of the customer, and the first difference.

use std::fmt::Write as _;

use crate::oracle::process::Publication;
use crate::oracle::touchpoint::Touchpoint;

/// Returns the lines of one customer, in order of arrival.
fn lines_of<'l>(customer_id: &str, lines: &'l [String]) -> Vec<&'l str> {
    let is_from_customer = |line: &&String| Touchpoint::parse(line).customer_id == customer_id;
    lines.iter().filter(is_from_customer).map(String::as_str).collect()
}

/// Returns the head of every report: seed, customer and history.
pub(super) fn history(seed: u64, customer_id: &str, lines: &[String]) -> String {
    format!("seed {seed}, customer {customer_id:?}:\n{}\n", lines_of(customer_id, lines).join("\n"))
}

/// Panics unless the publications are as expected.
pub(super) fn assert_same(
    seed: u64,
    customer_id: &str,
    lines: &[String],
    expected: &[Publication],
    found: &[Publication],
) {
    let common = expected.iter().zip(found).take_while(|(one, other)| one == other).count();
    if common == expected.len() && common == found.len() {
        return;
    }
    let mut report = history(seed, customer_id, lines);
    for publication in &expected[common.saturating_sub(6)..common] {
        let _ = writeln!(report, "  agreed    {}", one_line(publication));
    }
    for (label, publications) in [("- expected", expected), ("+ found   ", found)] {
        for publication in publications.iter().skip(common).take(4) {
            let _ = writeln!(report, "{label}  {}", one_line(publication));
        }
    }
    panic!("publications differ\n{report}");
}

fn one_line(publication: &Publication) -> String {
    let at =
        jiff::Timestamp::from_millisecond(publication.occurred_at).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    let Publication {
        model,
        kind,
        name,
        from,
        to,
        skipped,
        direction,
        count,
        cause,
        late,
        sequence,
        previous_since,
        orders,
        ..
    } = publication;
    let stage = |stage: &Option<String>| stage.clone().unwrap_or_else(|| "none".to_owned());
    format!(
        "{at} {model} {kind} {name} {}>{} skipped {skipped:?} {direction:?} count {count:?} cause {cause:?} late {late} \
         sequence {sequence} since {previous_since:?} orders {orders:?}",
        stage(from),
        stage(to),
    )
}
