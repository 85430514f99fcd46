//! Where generated touchpoints go: lines of a file or of standard output, or records of a topic.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::journeys::Delivered;
use crate::kafka::admin::describe_topics;
use crate::kafka::feed::Feed;
use crate::kafka::{Cluster, Error};
use crate::service::topics::cluster;

use super::GenerateArguments;
use crate::cli::Exit;

const WRITE_BYTES: usize = 256 * 1024;
/// How long what is under way to the cluster may take at the end.
const FINISH_PATIENCE: Duration = Duration::from_secs(40);
const TOPIC: &str = "touchpoints";

/// Why nothing more is generated.
#[derive(Debug)]
pub(super) enum Failure {
    /// Whoever read has seen enough.
    Closed,
    /// A file or the command line cannot be used.
    Usage(String),
    /// Told already.
    Told(Exit),
    /// The cluster or its topic cannot be used.
    Kafka(String),
}

impl Failure {
    /// The exit code and a sentence.
    pub(super) fn told(self) -> (Exit, String) {
        match self {
            Self::Closed => (Exit::Success, String::new()),
            Self::Usage(problem) => (Exit::Usage, problem),
            Self::Told(exit) => (exit, String::new()),
            Self::Kafka(problem) => (Exit::Refused, problem),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kafka(error.to_string())
    }
}

/// Where touchpoints go.
pub(super) enum Output {
    Lines { name: String, lines: BufWriter<Box<dyn Write>>, written: u64, is_watched: bool },
    Topic { feed: Feed, topic: String },
}

impl Output {
    pub(super) fn open(arguments: &GenerateArguments) -> Result<Self, Failure> {
        let (cluster, topic) = match (&arguments.bootstrap_servers, &arguments.config) {
            (Some(servers), _) => {
                (Cluster { bootstrap_servers: servers.clone(), settings: Vec::new() }, TOPIC.to_owned())
            }
            (None, Some(path)) => {
                let config = Config::load(Some(path)).map_err(|refused| {
                    eprintln!("{refused}");
                    Failure::Told(Exit::Usage)
                })?;
                (cluster(&config), config.topics.touchpoints)
            }
            (None, None) => return Self::lines(arguments),
        };
        let topic = arguments.topic.clone().unwrap_or(topic);
        if describe_topics(&cluster, &[&topic])?.iter().all(Option::is_none) {
            return Err(Failure::Kafka(format!(
                "the topic {topic} does not exist: `lifecycle topics --create` makes what the service needs"
            )));
        }
        Ok(Self::Topic { feed: Feed::connect(&cluster)?, topic })
    }

    fn lines(arguments: &GenerateArguments) -> Result<Self, Failure> {
        if arguments.topic.is_some() {
            return Err(Failure::Usage("--topic needs --bootstrap-servers or --config".to_owned()));
        }
        let (name, sink, is_watched): (String, Box<dyn Write>, bool) = match &arguments.output {
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create(path).map_err(|error| unwritable(&name, &error))?;
                (name, Box::new(file), false)
            }
            None => ("standard output".to_owned(), Box::new(io::stdout()), io::stdout().is_terminal()),
        };
        Ok(Self::Lines { name, lines: BufWriter::with_capacity(WRITE_BYTES, sink), written: 0, is_watched })
    }

    /// Whether it is a topic.
    pub(super) fn is_kafka(&self) -> bool {
        matches!(self, Self::Topic { .. })
    }

    /// Whether what is written shows on the terminal, so that nothing else should.
    pub(super) fn is_watched(&self) -> bool {
        matches!(self, Self::Lines { is_watched: true, .. })
    }

    pub(super) fn write(&mut self, record: &Delivered) -> Result<(), Failure> {
        match self {
            Self::Lines { name, lines, written, .. } => {
                *written += 1;
                let line = lines.write_all(&record.value).and_then(|()| lines.write_all(b"\n"));
                line.map_err(|error| unwritable(name, &error))
            }
            Self::Topic { feed, topic } => Ok(feed.send(topic, &record.customer_id, &record.value)?),
        }
    }

    /// Lets `length` pass; what was written until now is seen by readers.
    pub(super) fn rest(&mut self, length: Duration) -> Result<(), Failure> {
        match self {
            Self::Lines { name, lines, .. } => {
                lines.flush().map_err(|error| unwritable(name, &error))?;
                thread::sleep(length);
            }
            Self::Topic { feed, .. } => {
                feed.poll(Duration::ZERO)?;
                thread::sleep(length);
            }
        }
        Ok(())
    }

    /// Everything is written; returns how many records there were.
    pub(super) fn finish(self) -> Result<u64, Failure> {
        match self {
            Self::Lines { name, mut lines, written, .. } => {
                lines.flush().map_err(|error| unwritable(&name, &error))?;
                Ok(written)
            }
            Self::Topic { feed, .. } => Ok(feed.finish(FINISH_PATIENCE)?),
        }
    }
}

fn unwritable(name: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::Closed;
    }
    Failure::Usage(format!("{name} cannot be written: {error}"))
}
