//! Renders a Grafana dashboard as SVG, from its JSON and the data of a Prometheus server.
//!
//! A preview without Grafana, for documentation, reviews and tests.
//!
//! ```sh
//! cargo run --example draw_dashboard -- deploy/grafana/dashboards/lifecycle.json --last 15m --output picture.svg
//! ```

mod picture;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use picture::{Dashboard, Prometheus, TimeRange, VariableValues};

/// Renders a Grafana dashboard as SVG, from its JSON and the data of a Prometheus server.
#[derive(Parser, Debug)]
struct Arguments {
    /// The dashboard's JSON
    dashboard: PathBuf,
    /// Address of Prometheus
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    prometheus: String,
    /// Length of the time range
    #[arg(long, value_name = "LENGTH", default_value = "1h")]
    last: String,
    /// End of the time range, in seconds since 1970 [default: the current time of Prometheus]
    #[arg(long, value_name = "SECONDS")]
    end: Option<f64>,
    /// Scrape interval of Prometheus
    #[arg(long, value_name = "LENGTH", default_value = "5s")]
    scrape: String,
    /// Value of a dashboard variable: `--set model=retention`; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// Include collapsed rows
    #[arg(long)]
    all: bool,
    /// File to write
    #[arg(long, short)]
    output: PathBuf,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    match draw(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("draw_dashboard: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn draw(arguments: &Arguments) -> Result<(), String> {
    let path = &arguments.dashboard;
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let dashboard = Dashboard::read(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let prometheus = Prometheus::new(arguments.prometheus.trim_start_matches("http://"));
    let seconds = |text: &str| picture::parse_length(text).ok_or(format!("{text} is not a duration such as 15m"));
    let length = seconds(&arguments.last)?;
    let end = match arguments.end {
        Some(end) => end,
        None => prometheus.now()?,
    };
    let time_range = TimeRange::new(end - length, end, seconds(&arguments.scrape)?);
    let mut values = VariableValues::defaults(&dashboard, &time_range);
    for (name, value) in &arguments.settings {
        values.set(name, value);
    }
    let svg = picture::draw(&dashboard, &values, &time_range, arguments.all, &prometheus)?;
    std::fs::write(&arguments.output, svg).map_err(|error| format!("{}: {error}", arguments.output.display()))
}
