//! Destination of generated touchpoints: lines of a file or of standard output, or records of a Kafka topic.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use crate::config::{Config, ModelChoice};
use crate::kafka::cluster::admin::describe_topics;
use crate::kafka::tools::plain_producer::PlainProducer;
use crate::kafka::{Cluster, Error};
use crate::lifecycle::money::Currency;
use crate::service::topics::cluster;
use crate::workload::GeneratedRecord;

use super::GenerateArguments;
use crate::cli::output_file::OutputFile;
use crate::cli::{Exit, config::check_client, print_error};

const WRITE_BYTES: usize = 256 * 1024;
/// Timeout of the final flush to Kafka.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(40);
const TOPIC: &str = "touchpoints";

/// Why the generation ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// The reader of standard output closed the pipe.
    ReaderClosed,
    /// The command line is invalid or the file cannot be written. Holds the message.
    Usage(String),
    /// The error has been printed already.
    AlreadyReported(Exit),
    /// The cluster is unreachable or the topic does not exist. Holds the message.
    Kafka(String),
}

impl Failure {
    /// Returns the exit code and the message to print; an empty message prints nothing.
    pub(super) fn exit_and_message(self) -> (Exit, String) {
        match self {
            Self::ReaderClosed => (Exit::Success, String::new()),
            Self::Usage(problem) => (Exit::Usage, problem),
            Self::AlreadyReported(exit) => (exit, String::new()),
            Self::Kafka(problem) => (Exit::Refused, problem),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kafka(error.to_string())
    }
}

/// Where lines are written.
#[derive(Debug)]
pub(super) enum Sink {
    File(OutputFile),
    Standard(io::Stdout),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Standard(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Standard(output) => output.flush(),
        }
    }
}

/// The destination of touchpoints.
pub(super) enum Output {
    Lines { name: String, lines: BufWriter<Sink>, written: u64, is_terminal: bool },
    Topic { producer: PlainProducer, topic: String },
}

impl Output {
    /// Opens the output, and returns the currency of the configuration that it is from.
    pub(super) fn open(arguments: &GenerateArguments) -> Result<(Self, Option<Currency>), Failure> {
        let (cluster, topic, currency) = match (&arguments.bootstrap_servers, &arguments.config) {
            (Some(servers), _) => {
                (Cluster { bootstrap_servers: servers.clone(), settings: Vec::new() }, TOPIC.to_owned(), None)
            }
            (None, Some(path)) => {
                let config = Config::load(Some(path)).map_err(|error| {
                    print_error(&error);
                    Failure::AlreadyReported(Exit::Usage)
                })?;
                check_client(&config).map_err(Failure::Usage)?;
                if let Some(source) = config.direct_source().filter(|_| arguments.topic.is_none()) {
                    let (name, topic) = (&source.name, &config.topics.touchpoints);
                    return Err(Failure::Usage(format!(
                        "{topic} has the records of the source `{name}`, not touchpoints in JSON: select another topic with --topic"
                    )));
                }
                (cluster(&config), config.topics.touchpoints, Some(config.currency))
            }
            (None, None) => return Self::lines(arguments).map(|lines| (lines, None)),
        };
        let topic = arguments.topic.clone().unwrap_or(topic);
        if describe_topics(&cluster, &[&topic])?.iter().all(Option::is_none) {
            return Err(Failure::Kafka(format!(
                "the topic {topic} does not exist: create it with `lifecycle topics --create`"
            )));
        }
        Ok((Self::Topic { producer: PlainProducer::connect(&cluster)?, topic }, currency))
    }

    fn lines(arguments: &GenerateArguments) -> Result<Self, Failure> {
        if arguments.topic.is_some() {
            return Err(Failure::Usage("--topic needs --bootstrap-servers or --config".to_owned()));
        }
        let (name, sink, is_terminal) = match &arguments.output {
            Some(path) => {
                let name = path.display().to_string();
                let inputs = ModelChoice::of(&arguments.models).files();
                let file = OutputFile::create(path, &inputs).map_err(|error| unwritable(&name, &error))?;
                (name, Sink::File(file), false)
            }
            None => ("standard output".to_owned(), Sink::Standard(io::stdout()), io::stdout().is_terminal()),
        };
        Ok(Self::Lines { name, lines: BufWriter::with_capacity(WRITE_BYTES, sink), written: 0, is_terminal })
    }

    /// Returns whether the destination is a Kafka topic.
    pub(super) fn is_kafka(&self) -> bool {
        matches!(self, Self::Topic { .. })
    }

    /// Returns whether touchpoints are written to a terminal, where a progress bar would interfere.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Lines { is_terminal: true, .. })
    }

    pub(super) fn write(&mut self, record: &GeneratedRecord) -> Result<(), Failure> {
        match self {
            Self::Lines { name, lines, written, .. } => {
                *written += 1;
                let line = lines.write_all(&record.value).and_then(|()| lines.write_all(b"\n"));
                line.map_err(|error| unwritable(name, &error))
            }
            Self::Topic { producer, topic } => Ok(producer.send(topic, &record.customer_id, &record.value)?),
        }
    }

    /// Makes everything written so far visible to readers, then sleeps for `duration`.
    pub(super) fn pause(&mut self, duration: Duration) -> Result<(), Failure> {
        match self {
            Self::Lines { name, lines, .. } => {
                lines.flush().map_err(|error| unwritable(name, &error))?;
                thread::sleep(duration);
            }
            Self::Topic { producer, .. } => {
                producer.poll(Duration::ZERO)?;
                thread::sleep(duration);
            }
        }
        Ok(())
    }

    /// Flushes the output and returns the number of records written.
    pub(super) fn finish(self) -> Result<u64, Failure> {
        match self {
            Self::Lines { name, mut lines, written, .. } => {
                lines.flush().map_err(|error| unwritable(&name, &error))?;
                if let Ok(Sink::File(file)) = lines.into_inner() {
                    file.finish().map_err(|error| unwritable(&name, &error))?;
                }
                Ok(written)
            }
            Self::Topic { producer, .. } => Ok(producer.finish(FLUSH_TIMEOUT)?),
        }
    }
}

fn unwritable(name: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::ReaderClosed;
    }
    Failure::Usage(format!("{name} cannot be written: {error}"))
}
