//! Readers: each a connection that is kept open, asks, waits for the answer, and asks again after a while.

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
use super::proof::Told;

/// How many customers that were just told of in transitions are remembered: they are those that change.
const LIVELY_MAX: usize = 1_000;

/// The readers at work.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Asked>>,
    since: Instant,
}

/// What was asked, and how it was answered.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) readers: usize,
    pub(crate) answers: usize,
    seconds: f64,
    latencies: Vec<Duration>,
    refusals: BTreeMap<u16, usize>,
}

/// What the readers share.
struct Shared {
    address: String,
    customers: Vec<String>,
    lively: Mutex<Vec<String>>,
    told: Option<Told>,
    stop: Arc<AtomicBool>,
}

impl Readers {
    /// Begins to ask; `told` is given every answer.
    pub(crate) fn start(address: &str, customers: &[String], options: &Options, told: Option<Told>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            customers: customers.to_vec(),
            lively: Mutex::default(),
            told,
            stop: Arc::clone(&stop),
        });
        let pause = Duration::from_secs(1) * options.readers / options.rate;
        let thread = |index: u32| {
            let shared = Arc::clone(&shared);
            let run = move || Reader { shared, rng: Rng::with_seed(index.into()), cursor: None }.run(pause);
            thread::Builder::new().stack_size(256 << 10).spawn(run).expect("a thread")
        };
        Self { stop, threads: (0..options.readers).map(thread).collect(), since: Instant::now() }
    }

    /// Ends asking.
    pub(crate) fn stop(self) -> Asked {
        let mut all = Asked { readers: self.threads.len(), ..Asked::default() };
        all.seconds = self.since.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let asked = thread.join().expect("a reader does not panic");
            all.answers += asked.answers;
            all.latencies.extend(asked.latencies);
            for (status, count) in asked.refusals {
                *all.refusals.entry(status).or_default() += count;
            }
        }
        all.latencies.sort();
        all
    }
}

impl Asked {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(crate) fn per_second(&self) -> f64 {
        self.answers as f64 / self.seconds
    }

    /// Median, 99th percentile and worst.
    pub(crate) fn latencies_ms(&self) -> [f64; 3] {
        let last = self.latencies.len().saturating_sub(1);
        [last / 2, last * 99 / 100, last].map(|at| self.latencies.get(at).map_or(0.0, |of| of.as_secs_f64() * 1e3))
    }

    /// Answers other than 200, and 404 of a customer who has not come yet.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (u16, usize)> + '_ {
        self.refusals.iter().map(|(&status, &count)| (status, count))
    }
}

struct Reader {
    shared: Arc<Shared>,
    rng: Rng,
    cursor: Option<u64>,
}

impl Reader {
    fn run(mut self, pause: Duration) -> Asked {
        let mut asked = Asked::default();
        thread::sleep(pause.mul_f64(self.rng.f64()));
        let mut connection = None;
        let mut next = Instant::now();
        while !self.shared.stop.load(Ordering::Relaxed) {
            next = (next + pause).max(Instant::now());
            let path = self.path();
            let begin = Instant::now();
            let answer = connection
                .take()
                .or_else(|| Connection::open(&self.shared.address))
                .and_then(|mut open| Some((open.get(&path)?, open)));
            // The service is not there yet, or has ended a connection: asked again over a new one.
            if let Some(((status, body), open)) = answer {
                let at = Instant::now();
                asked.latencies.push(at - begin);
                asked.answers += 1;
                connection = Some(open);
                self.take_note(&path, status, &body, at);
                if status != 200 && status != 404 {
                    *asked.refusals.entry(status).or_default() += 1;
                }
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        asked
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

    /// Half of the time somebody who has just changed.
    fn customer(&mut self) -> String {
        let lively = self.shared.lively.lock().expect("nobody panics while holding it");
        match self.rng.choice(&*lively) {
            Some(customer) if self.rng.bool() => customer.clone(),
            _ => self.shared.customers[self.rng.usize(..self.shared.customers.len())].clone(),
        }
    }

    fn take_note(&mut self, path: &str, status: u16, body: &[u8], at: Instant) {
        let is_of_transitions = path.starts_with("/v1/transitions");
        if status != 200 || (self.shared.told.is_none() && !is_of_transitions) {
            return;
        }
        let body: Value = serde_json::from_slice(body).expect("an answer is JSON");
        if is_of_transitions {
            self.cursor = body["next"].as_u64();
            let customers = body["transitions"].as_array().into_iter().flatten();
            let customers = customers.filter_map(|transition| transition["customer_id"].as_str().map(str::to_owned));
            let mut lively = self.shared.lively.lock().expect("nobody panics while holding it");
            lively.extend(customers);
            let surplus = lively.len().saturating_sub(LIVELY_MAX);
            lively.drain(..surplus);
        }
        if let Some(told) = &self.shared.told {
            told.note(&body, at);
        }
    }
}

/// A connection that is kept open.
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

    /// Status and body.
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
