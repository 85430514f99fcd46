//! Checks a destination with a sample transition: mistakes that would make every transition a dead letter, or deliver
//! none of them.

use std::sync::LazyLock;

use serde_json::Value;

use super::reader::Reader;
use crate::deliver::Destination;
use crate::deliver::request::{Content, RequestPlan};
use crate::http_client;
use crate::lifecycle::suggest::did_you_mean;
use crate::mapping::Template;
use crate::wire::record_schema::transition_schema;

/// A transition as published.
static SAMPLE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../examples/transition.json")).expect("the example is valid JSON")
});
/// The fields of a transition.
static FIELDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let schema = transition_schema(&[]);
    let names = schema["properties"].as_object().map(|it| it.keys().cloned().collect());
    let mut names: Vec<String> = names.unwrap_or_default();
    names.push("attributes".to_owned());
    names
});
/// Fields whose values depend on the deployment: an expression may fail for the sample and hold for real ones.
const OWN_FIELDS: [&str; 5] = ["customer_id", "attributes", "because", "cause", "previous"];

/// Returns the problems with fields that no transition has. `paths` are read from a transition.
pub(super) fn unknown_fields(paths: &[&[Box<str>]]) -> Vec<String> {
    let names = paths.iter().filter_map(|path| path.first()).map(|name| &**name);
    let unknown = names.filter(|name| FIELDS.iter().all(|it| it != name));
    let problem = |name: &str| {
        let help = did_you_mean(name, FIELDS.iter().map(String::as_str))
            .unwrap_or_else(|| format!("it has {}", FIELDS.join(", ")));
        format!("a transition has no field `{name}`; {help}")
    };
    unknown.map(problem).collect()
}

/// Evaluates the filter, the URLs and the headers of a destination. `filter_path` and `request_path` are where the
/// operator has written them.
pub(super) fn check(reader: &mut Reader, destination: &Destination, filter_path: &str, request_path: &str) {
    let settings = &destination.settings;
    if let Some(filter) = destination.filter.as_ref().filter(|it| is_in_sample(&it.paths(0)) && !is_own(&it.paths(0)))
        && let Err(error) = filter.is_true(&[&SAMPLE, settings])
    {
        reader.problem(filter_path, &format!("the filter fails for a sample transition: {error}"));
    }
    for plan in destination.requests.iter().chain(&destination.check) {
        if let Err(problem) = check_request(plan, settings) {
            reader.problem(request_path, &problem);
            return;
        }
    }
}

fn check_request(plan: &RequestPlan, settings: &Value) -> Result<(), String> {
    let roots: &[&Value] = match &plan.content {
        Content::Single(_) => &[&SAMPLE, settings],
        Content::Batch { .. } | Content::EventBatch => &[settings],
    };
    // Returns `None` for what real transitions may make of another value than the sample.
    let render = |template: &Template| {
        let paths = if roots.len() > 1 { template.paths(0) } else { Vec::new() };
        match template.render(roots) {
            Err(error) if !is_own(&paths) => Some(Err(error.to_string())),
            Ok(value) if is_in_sample(&paths) => {
                Some(Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            }
            Ok(_) | Err(_) => None,
        }
    };
    if roots.len() > 1 && plan.url.has_host_of(0) {
        return Err(
            "the host of the URL is read from the transition: write it, or use a setting. Data of a customer must not \
                    choose who receives it"
                .to_owned(),
        );
    }
    if let Some(url) = render(&plan.url) {
        let url = url.map_err(|error| format!("the URL fails for a sample transition: {error}"))?;
        http_client::check_url(&url).map_err(|error| error.to_string())?;
    }
    for (name, value) in &plan.headers {
        if !http_client::is_header_name(name) {
            return Err(format!("`{name}` is not the name of a header"));
        }
        let Some(value) = render(value) else { continue };
        let value = value.map_err(|error| format!("the header `{name}` fails for a sample transition: {error}"))?;
        if !http_client::is_header_value(&value) {
            return Err(format!("the value of the header `{name}` is not visible ASCII text, see url_encode()"));
        }
    }
    Ok(())
}

/// Whether the sample has all values that are read from a transition.
fn is_in_sample(paths: &[&[Box<str>]]) -> bool {
    paths.iter().all(|path| {
        let value = path.iter().try_fold(&*SAMPLE, |value, member| value.get(&**member));
        value.is_some_and(|value| !value.is_null())
    })
}

/// Whether a value is read from a transition that depends on the deployment.
fn is_own(paths: &[&[Box<str>]]) -> bool {
    paths.iter().any(|path| path.first().is_none_or(|name| OWN_FIELDS.contains(&&**name)))
}
