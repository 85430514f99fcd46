//! `lifecycle customers`: lists the customers in a stage of a running service, or its refused links, over its HTTP API.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::number::whole_number_in;
use super::service_arguments::ServiceArguments;
use super::{Exit, print_error};

const EXAMPLES: &str = "\
Examples:
  lifecycle customers --model retention --stage at_risk
  lifecycle customers --model retention --stage at_risk --format csv > at-risk.csv
  lifecycle customers --model retention --stage at_risk --config lifecycle.yaml
  lifecycle customers --model retention --stage at_risk --url http://127.0.0.1:8080 --token-file token --limit 100
  lifecycle customers --refused-links

Lists the customers of all instances if they set http.advertise, otherwise of the one instance. Each instance
lists its own refused links since its start, the latest 1,000.";

/// The columns of refused links in CSV.
const REFUSED_LINK_FIELDS: [&str; 6] = ["reason", "customer_id", "other_id", "event_id", "type", "occurred_at"];
const CSV_HEADER: &str = "customer_id,partition,since,signals,orders,revenue,currency,last_order,next_wake_up\n";

/// List the customers in a stage, or the refused links, from a running service
///
/// Prints one JSON object or CSV row per customer: id, since when in the stage, signals, orders, next wake-up. The list
/// is not a snapshot: a customer who moves while it is read may be missing. With --refused-links, prints the links and
/// merges that identity resolution refused, the latest first, with the reason.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CustomersArguments {
    /// Model of the stage
    #[arg(long, value_name = "NAME", required_unless_present = "refused_links")]
    model: Option<String>,
    /// Stage whose customers to list
    #[arg(long, value_name = "NAME", required_unless_present = "refused_links")]
    stage: Option<String>,
    /// List the links that identity resolution refused instead
    #[arg(long, conflicts_with_all = ["model", "stage"])]
    refused_links: bool,
    #[command(flatten)]
    service: ServiceArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// Stop after this many lines [default: list all]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<u64>(1, 1_000_000_000))]
    limit: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// One JSON object per line
    Ndjson,
    /// Comma-separated values with a header, for spreadsheets
    Csv,
}

/// Why the list ended early.
enum Failure {
    /// The problem and the exit code.
    Problem(Exit, String),
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Lists the customers.
pub(super) fn run(arguments: &CustomersArguments) -> ExitCode {
    let exit = match list(arguments) {
        Ok(()) => Exit::Success,
        // A reader that closes the pipe (`| head`) is not a failure.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(Failure::Output(error)) => {
            print_error(format_args!("lifecycle customers: standard output cannot be written: {error}"));
            Exit::Usage
        }
        Err(Failure::Problem(exit, problem)) => {
            print_error(format_args!("lifecycle customers: {problem}"));
            exit
        }
    };
    exit.into()
}

fn list(arguments: &CustomersArguments) -> Result<(), Failure> {
    let usage = |problem: String| Failure::Problem(Exit::Usage, problem);
    let refused = |problem: String| Failure::Problem(Exit::Refused, problem);
    let client = arguments.service.client().map_err(|(exit, problem)| Failure::Problem(exit, problem))?;
    let (Some(model_name), Some(stage)) = (&arguments.model, &arguments.stage) else {
        let links = client.refused_links(arguments.limit.unwrap_or(u64::MAX)).map_err(refused)?;
        return Ok(write_refused_links(&links, arguments.format, &mut io::stdout().lock())?);
    };
    let models = client.models().map_err(refused)?;
    let Some(model) = models.iter().find(|model| model.name == *model_name) else {
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        let names = names.join(", ");
        return Err(usage(format!("the service does not run the model {model_name}; it runs {names}")));
    };
    if !model.stages.iter().any(|it| it.name == *stage) {
        let names: Vec<&str> = model.stages.iter().map(|stage| stage.name.as_str()).collect();
        let names = names.join(", ");
        return Err(usage(format!("the model {model_name} has no stage {stage}; it has {names}")));
    }
    let mut output = BufWriter::new(io::stdout().lock());
    if arguments.format == Format::Csv {
        output.write_all(CSV_HEADER.as_bytes())?;
    }
    let mut remaining = arguments.limit.unwrap_or(u64::MAX);
    let mut cursor: Option<String> = None;
    let mut left_out = Vec::new();
    while remaining > 0 {
        let page = client.stage_customers(model_name, stage, remaining, cursor.as_deref());
        let page = page.map_err(refused)?;
        let customers = page["customers"].as_array().into_iter().flatten();
        for customer in customers.take(usize::try_from(remaining).unwrap_or(usize::MAX)) {
            match arguments.format {
                Format::Ndjson => writeln!(output, "{customer}")?,
                Format::Csv => output.write_all(csv_row(customer).as_bytes())?,
            }
            remaining -= 1;
        }
        left_out.extend(page["left_out"].as_array().into_iter().flatten().map(Value::to_string));
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    output.flush()?;
    if !left_out.is_empty() {
        print_error(format_args!(
            "partitions {} are on other instances, whose customers are not in the list: set http.advertise, or ask the \
             other instances",
            left_out.join(", ")
        ));
    }
    Ok(())
}

fn write_refused_links(page: &Value, format: Format, output: &mut impl Write) -> io::Result<()> {
    if format == Format::Csv {
        writeln!(output, "{}", REFUSED_LINK_FIELDS.join(","))?;
    }
    for link in page["links"].as_array().into_iter().flatten() {
        match format {
            Format::Ndjson => writeln!(output, "{link}")?,
            Format::Csv => {
                writeln!(output, "{}", REFUSED_LINK_FIELDS.map(|field| quoted(&text(&link[field]))).join(","))?;
            }
        }
    }
    Ok(())
}

fn csv_row(customer: &Value) -> String {
    let signals: Vec<&str> = customer["signals"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let orders = &customer["orders"];
    let fields = [
        text(&customer["customer_id"]),
        text(&customer["partition"]),
        text(&customer["since"]),
        signals.join(" "),
        text(&orders["count"]),
        text(&orders["revenue"]),
        text(&orders["currency"]),
        text(&orders["last"]),
        text(&customer["next_wake_up"]),
    ];
    fields.map(|field| quoted(&field)).join(",") + "\n"
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the field as RFC 4180 writes it: in quotes if it contains a separator.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_fields_of_the_header_and_quotes_separators() {
        let customer = serde_json::json!({
            "customer_id": "a,\"b\"", "partition": 3, "since": "2026-01-01T00:00:00Z", "signals": ["vip", "lost"],
            "orders": {"count": 2, "revenue": "9.90", "currency": "EUR", "last": null}, "next_wake_up": null,
        });
        assert_eq!(csv_row(&customer), "\"a,\"\"b\"\"\",3,2026-01-01T00:00:00Z,vip lost,2,9.90,EUR,,\n");
        assert_eq!(CSV_HEADER.matches(',').count(), 8);
    }
}
