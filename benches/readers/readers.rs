//! HTTP readers: each has one keep-alive connection and sends a request at a fixed interval.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use super::Options;
use super::committed_check::Observations;

/// Maximum number of recently changed customers that the readers prefer.
const RECENTLY_CHANGED_MAX: usize = 1_000;

/// The running readers.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<ReaderStatistics>>,
    since: Instant,
}

/// Statistics of the requests and responses.
#[derive(Debug, Default)]
pub(crate) struct ReaderStatistics {
    pub(crate) readers: usize,
    pub(crate) responses: usize,
    seconds: f64,
    latencies: Vec<Duration>,
    errors: BTreeMap<u16, usize>,
}

/// State shared by the readers.
struct Shared {
    address: String,
    customers: Vec<String>,
    recently_changed: Mutex<Vec<String>>,
    observations: Option<Observations>,
    stop: Arc<AtomicBool>,
}

impl Readers {
    /// Starts the readers; `observations` receives every response.
    pub(crate) fn start(
        address: &str,
        customers: &[String],
        options: &Options,
        observations: Option<Observations>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            customers: customers.to_vec(),
            recently_changed: Mutex::default(),
            observations,
            stop: Arc::clone(&stop),
        });
        let interval = Duration::from_secs(1) * options.readers / options.rate;
        let thread = |index: u32| {
            let shared = Arc::clone(&shared);
            let run = move || Reader { shared, rng: Rng::with_seed(index.into()), cursor: None }.run(interval);
            thread::Builder::new().stack_size(256 << 10).spawn(run).expect("a thread")
        };
        Self { stop, threads: (0..options.readers).map(thread).collect(), since: Instant::now() }
    }

    /// Stops the readers and returns their statistics.
    pub(crate) fn stop(self) -> ReaderStatistics {
        let mut all = ReaderStatistics { readers: self.threads.len(), ..ReaderStatistics::default() };
        all.seconds = self.since.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let statistics = thread.join().expect("a reader does not panic");
            all.responses += statistics.responses;
            all.latencies.extend(statistics.latencies);
            for (status, count) in statistics.errors {
                *all.errors.entry(status).or_default() += count;
            }
        }
        all.latencies.sort();
        all
    }
}

impl ReaderStatistics {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(crate) fn per_second(&self) -> f64 {
        self.responses as f64 / self.seconds
    }

    /// Returns the median, the 99th percentile and the maximum.
    pub(crate) fn latencies_ms(&self) -> [f64; 3] {
        let last = self.latencies.len().saturating_sub(1);
        [last / 2, last * 99 / 100, last].map(|at| self.latencies.get(at).map_or(0.0, |of| of.as_secs_f64() * 1e3))
    }

    /// Returns the number of error responses by status, without 404 for customers that do not exist yet.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (u16, usize)> + '_ {
        self.errors.iter().map(|(&status, &count)| (status, count))
    }
}

struct Reader {
    shared: Arc<Shared>,
    rng: Rng,
    cursor: Option<u64>,
}

impl Reader {
    fn run(mut self, interval: Duration) -> ReaderStatistics {
        let mut statistics = ReaderStatistics::default();
        thread::sleep(interval.mul_f64(self.rng.f64()));
        let mut connection = None;
        let mut next = Instant::now();
        while !self.shared.stop.load(Ordering::Relaxed) {
            next = (next + interval).max(Instant::now());
            let path = self.path();
            let begin = Instant::now();
            let response = connection
                .take()
                .or_else(|| Connection::open(&self.shared.address))
                .and_then(|mut open| Some((open.get(&path)?, open)));
            // If the request failed, the next one opens a new connection.
            if let Some(((status, body), open)) = response {
                let at = Instant::now();
                statistics.latencies.push(at - begin);
                statistics.responses += 1;
                connection = Some(open);
                self.process_response(&path, status, &body, at);
                if status != 200 && status != 404 {
                    *statistics.errors.entry(status).or_default() += 1;
                }
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        statistics
    }

    fn path(&mut self) -> String {
        match self.rng.u8(..20) {
            0 | 1 => match self.cursor {
                Some(cursor) => format!("/v1/transitions?limit=50&after={cursor}"),
                None => "/v1/transitions?limit=50".to_owned(),
            },
            2 => "/v1/models/retention".to_owned(),
            3 => "/v1/partitions".to_owned(),
            4 => format!("/v1/customers/{}/forecast", self.customer()),
            _ => format!("/v1/customers/{}", self.customer()),
        }
    }

    /// Returns a customer; in half of the cases one that has changed recently.
    fn customer(&mut self) -> String {
        let recently_changed = self.shared.recently_changed.lock().expect("no thread panics while holding the lock");
        match self.rng.choice(&*recently_changed) {
            Some(customer) if self.rng.bool() => customer.clone(),
            _ => self.shared.customers[self.rng.usize(..self.shared.customers.len())].clone(),
        }
    }

    fn process_response(&mut self, path: &str, status: u16, body: &[u8], at: Instant) {
        let is_transitions = path.starts_with("/v1/transitions");
        if status != 200 || (self.shared.observations.is_none() && !is_transitions) {
            return;
        }
        let body: Value = serde_json::from_slice(body).expect("a response is JSON");
        if is_transitions {
            self.cursor = body["next"].as_u64();
            let customers = body["transitions"].as_array().into_iter().flatten();
            let customers = customers.filter_map(|transition| transition["customer_id"].as_str().map(str::to_owned));
            let mut recently_changed =
                self.shared.recently_changed.lock().expect("no thread panics while holding the lock");
            recently_changed.extend(customers);
            let surplus = recently_changed.len().saturating_sub(RECENTLY_CHANGED_MAX);
            recently_changed.drain(..surplus);
        }
        if let Some(observations) = &self.shared.observations {
            observations.record(&body, at);
        }
    }
}

/// A keep-alive connection.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream, buffer: Vec::new() })
    }

    /// Returns status and body.
    fn get(&mut self, path: &str) -> Option<(u16, Vec<u8>)> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).ok()?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read()?;
        };
        let head = std::str::from_utf8(&self.buffer[..head_end]).ok()?.to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
        while self.buffer.len() < head_end + length {
            self.read()?;
        }
        Some((status, self.buffer[head_end..].to_vec()))
    }

    fn read(&mut self) -> Option<()> {
        let mut chunk = [0; 16 << 10];
        let count = self.stream.read(&mut chunk).ok().filter(|&count| count > 0)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Some(())
    }
}
