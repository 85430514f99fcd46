//! What a response means: for the destination, and for each transition of the request.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::gate::Verdict;
use super::request::Item;
use crate::http_client::Response;
use crate::lifecycle::time::Timestamp;
use crate::mapping::Expression;

/// The roots of the condition of a rule, and of its list of errors.
pub const RESPONSE_ROOTS: &[&str] = &["response", "settings"];
/// The roots of the expressions about one error.
pub const ERROR_ROOTS: &[&str] = &["error", "response"];

/// The longest pause that a receiver may ask for. A longer one counts as this.
const ASKED_MAX: Duration = Duration::from_hours(1);

/// What happens to a transition, or to all of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is delivered.
    Done,
    /// It is attempted again after a back-off.
    Retry,
    /// It goes to the dead-letter topic.
    Dead,
    /// The destination waits until an operator has corrected credentials or URL.
    Hold,
    /// The destination stops.
    Disable,
}

/// What a response with certain statuses means.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The statuses.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// A condition; roots: [`RESPONSE_ROOTS`].
    pub when: Option<Expression>,
    /// What happens to transitions without a failure.
    pub outcome: Outcome,
    /// The failures of single items.
    pub failures: Vec<FailureRule>,
}

/// Where a response lists failed items.
#[derive(Clone, Debug)]
pub struct FailureRule {
    /// The list of errors; roots: [`RESPONSE_ROOTS`].
    pub errors: Expression,
    /// Which errors the rule is about; roots: [`ERROR_ROOTS`].
    pub when: Option<Expression>,
    /// The name of the list of items.
    pub list: Option<Expression>,
    /// Which item an error is about.
    pub item: FailedItem,
    /// What happens to it: [`Outcome::Dead`] or [`Outcome::Retry`].
    pub outcome: Outcome,
}

/// How an error names an item.
#[derive(Clone, Debug)]
pub enum FailedItem {
    /// By its position in the list.
    Index(Expression),
    /// By its id.
    Id(Expression),
}

/// A header with the time of the next attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryAfterHeader {
    /// Its name in lower case.
    pub name: String,
    /// Whether it is a time since the Unix epoch; otherwise it is a wait. Both in seconds.
    pub is_epoch: bool,
}

/// The meaning of a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// For the destination.
    pub verdict: Verdict,
    /// For transitions that are not in `failed`.
    pub outcome: Outcome,
    /// Indices of transitions of the request, each with its outcome.
    pub failed: Vec<(usize, Outcome)>,
    /// The pause that the receiver asked for, at most an hour.
    pub asked: Option<Duration>,
}

/// Returns the meaning of `response`. `items` are those of each transition of the request; `lists` are the names of the
/// lists.
#[must_use]
pub fn judge(
    rules: &[Rule],
    response: &Response,
    retry_after: Option<&RetryAfterHeader>,
    settings: &Value,
    lists: &[&str],
    items: &[&[Item]],
    now: Timestamp,
) -> Judgement {
    let asked = asked_pause(response, retry_after, now);
    let mut judgement = by_status(response, asked);
    let is_matching = |rule: &&Rule| rule.statuses.iter().any(|statuses| statuses.contains(&response.status));
    // A receiver that asks for no more requests means all of them, whatever the status of this one.
    if is_disabling(response) || !rules.iter().any(|rule| is_matching(&rule)) {
        return judgement;
    }
    let value = to_value(response);
    let roots = [&value, settings];
    // A condition that cannot be evaluated does not hold: a response may have any shape.
    let holds = |rule: &&Rule| rule.when.as_ref().is_none_or(|when| when.is_true(&roots).unwrap_or(false));
    let Some(rule) = rules.iter().filter(is_matching).find(holds) else { return judgement };
    judgement.outcome = rule.outcome;
    judgement.verdict = match rule.outcome {
        Outcome::Done | Outcome::Dead => Verdict::Works,
        Outcome::Retry if response.status == 429 => Verdict::Throttled { asked },
        Outcome::Retry => Verdict::Failed { asked },
        Outcome::Hold => Verdict::Rejected,
        Outcome::Disable => Verdict::Gone,
    };
    let mut unknown = false;
    for failure in &rule.failures {
        let errors = failure.errors.evaluate(&roots).unwrap_or(Value::Null);
        for error in errors.as_array().into_iter().flatten() {
            let roots = [error, &value];
            if !failure.when.as_ref().is_none_or(|when| when.is_true(&roots).unwrap_or(false)) {
                continue;
            }
            let found = failed_transitions(failure, &roots, lists, items);
            unknown |= found.is_empty();
            for index in found {
                match judgement.failed.iter_mut().find(|(it, _)| *it == index) {
                    // Dead counts more than retry: the item would be rejected again.
                    Some((_, outcome)) if failure.outcome == Outcome::Dead => *outcome = Outcome::Dead,
                    Some(_) => {}
                    None => judgement.failed.push((index, failure.outcome)),
                }
            }
        }
    }
    // An error that names no item we sent: treat the request as rejected, so that it is sent again in halves.
    if unknown {
        judgement.outcome = Outcome::Dead;
        judgement.failed.clear();
    }
    judgement
}

/// Whether the receiver asks for no more requests, in the header of Standard Webhooks.
fn is_disabling(response: &Response) -> bool {
    response.header("webhook-delivery").is_some_and(|it| it.eq_ignore_ascii_case("disable"))
}

fn by_status(response: &Response, asked: Option<Duration>) -> Judgement {
    let (outcome, verdict) = match response.status {
        _ if is_disabling(response) => (Outcome::Disable, Verdict::Gone),
        200..=299 => (Outcome::Done, Verdict::Works),
        429 => (Outcome::Retry, Verdict::Throttled { asked }),
        408 | 425 | 500..=599 => (Outcome::Retry, Verdict::Failed { asked }),
        410 => (Outcome::Disable, Verdict::Gone),
        // A redirect is not followed: the URL in the configuration is wrong.
        300..=399 | 401 | 403 | 404 | 407 => (Outcome::Hold, Verdict::Rejected),
        400..=499 => (Outcome::Dead, Verdict::Works),
        _ => (Outcome::Retry, Verdict::Failed { asked }),
    };
    Judgement { verdict, outcome, failed: Vec::new(), asked }
}

/// Returns the indices of the transitions that an error is about.
fn failed_transitions(failure: &FailureRule, roots: &[&Value; 2], lists: &[&str], items: &[&[Item]]) -> Vec<usize> {
    let list = match &failure.list {
        None => None,
        Some(name) => {
            let name = name.evaluate(roots).unwrap_or(Value::Null);
            match lists.iter().position(|it| Some(*it) == name.as_str()) {
                Some(list) => Some(list),
                None => return Vec::new(),
            }
        }
    };
    let all = items.iter().enumerate().flat_map(|(index, items)| items.iter().map(move |item| (index, item)));
    let mut of_list: Vec<_> = all.filter(|(_, item)| list.is_none_or(|list| item.list == list)).collect();
    // Without a list, a position counts through the lists one after the other, as a body that joins them does.
    of_list.sort_by_key(|(_, item)| item.list);
    match &failure.item {
        FailedItem::Index(position) => {
            let position = position.evaluate(roots).unwrap_or(Value::Null);
            let position = position.as_u64().and_then(|it| usize::try_from(it).ok());
            position.and_then(|it| of_list.get(it)).map(|(index, _)| *index).into_iter().collect()
        }
        FailedItem::Id(id) => {
            let id = id.evaluate(roots).unwrap_or(Value::Null);
            of_list.into_iter().filter(|(_, item)| !id.is_null() && item.id == id).map(|(index, _)| index).collect()
        }
    }
}

fn to_value(response: &Response) -> Value {
    let text = String::from_utf8_lossy(&response.body);
    let headers: Map<String, Value> =
        response.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    json!({"status": response.status, "headers": headers, "body": body, "text": text})
}

/// Returns the pause that the receiver asks for, at most [`ASKED_MAX`]: seconds, fractions included, or a date.
fn asked_pause(response: &Response, other: Option<&RetryAfterHeader>, now: Timestamp) -> Option<Duration> {
    let seconds = |text: &str| text.trim().parse::<f64>().ok().filter(|it| it.is_finite() && *it >= 0.0);
    let wait = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(ASKED_MAX);
    let until = |millis: i64| Duration::from_millis(u64::try_from(millis - now.as_millis()).unwrap_or_default());
    let standard = response.header("retry-after").and_then(|text| match seconds(text) {
        Some(seconds) => Some(wait(seconds)),
        None => jiff::fmt::rfc2822::parse(text).ok().map(|date| until(date.timestamp().as_millisecond())),
    });
    let other = other.and_then(|header| {
        let seconds = seconds(response.header(&header.name)?)?;
        if !header.is_epoch {
            return Some(wait(seconds));
        }
        let at = jiff::Timestamp::from_second(Duration::try_from_secs_f64(seconds).ok()?.as_secs().try_into().ok()?);
        at.ok().map(|at| until(at.as_millisecond()))
    });
    let is_asking = response.status == 429 || response.status >= 500;
    standard.or(other.filter(|_| is_asking)).map(|asked| asked.min(ASKED_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(retry_after: &str) -> Option<Duration> {
        let headers = vec![("retry-after".to_owned(), retry_after.to_owned())];
        let response = Response { status: 429, headers, body: Vec::new(), is_truncated: false };
        asked_pause(&response, None, Timestamp::from_millis(1_000))
    }

    #[test]
    fn a_pause_is_read_and_limited() {
        assert_eq!(asked("1.5"), Some(Duration::from_millis(1_500)));
        assert_eq!(asked("Thu, 01 Jan 1970 00:00:31 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(asked("Wed, 31 Dec 1969 23:59:59 GMT"), Some(Duration::ZERO));
        for long in ["3601", "1e19", "1e300", "Thu, 30 Dec 9999 00:00:00 GMT"] {
            assert_eq!(asked(long), Some(ASKED_MAX), "{long}");
        }
        for invalid in ["", "-1", "NaN", "inf", "soon"] {
            assert_eq!(asked(invalid), None, "{invalid}");
        }
    }
}
