//! Draws a Grafana dashboard as an SVG picture, from its JSON and the data that a Prometheus has.
//!
//! For documents, reviews and tests: no Grafana is needed, and what is drawn is a preview of what Grafana shows.
//!
//! ```sh
//! cargo run --example draw_dashboard -- deploy/grafana/dashboards/lifecycle.json --last 15m --output picture.svg
//! ```

mod picture;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use picture::{Dashboard, Frame, Prometheus, Setting};

/// Draws a Grafana dashboard as an SVG picture, from its JSON and the data of a Prometheus.
#[derive(Parser, Debug)]
struct Arguments {
    /// The dashboard's JSON
    dashboard: PathBuf,
    /// Where Prometheus answers
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    prometheus: String,
    /// How much time is shown
    #[arg(long, value_name = "LENGTH", default_value = "1h")]
    last: String,
    /// When the time shown ends, in seconds since 1970 [default: the latest that Prometheus has]
    #[arg(long, value_name = "SECONDS")]
    end: Option<f64>,
    /// How often Prometheus scrapes
    #[arg(long, value_name = "LENGTH", default_value = "5s")]
    scrape: String,
    /// The value of a variable: `--set model=retention`; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// Draw collapsed rows too
    #[arg(long)]
    all: bool,
    /// Where the picture goes
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
    let prometheus = Prometheus::at(arguments.prometheus.trim_start_matches("http://"));
    let seconds = |text: &str| picture::parse_length(text).ok_or(format!("{text} is no length of time, such as 15m"));
    let range = seconds(&arguments.last)?;
    let end = match arguments.end {
        Some(end) => end,
        None => prometheus.now()?,
    };
    let frame = Frame::new(end - range, end, seconds(&arguments.scrape)?);
    let mut setting = Setting::of(&dashboard, &frame);
    for (name, value) in &arguments.settings {
        setting.set(name, value);
    }
    let svg = picture::draw(&dashboard, &setting, &frame, arguments.all, &prometheus)?;
    std::fs::write(&arguments.output, svg).map_err(|error| format!("{}: {error}", arguments.output.display()))
}
