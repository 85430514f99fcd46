//! A TCP proxy between one instance and the brokers that can refuse connections or delay their data.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// The state of the connections to a broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Network {
    Connected,
    /// Connections stay open, but no data passes.
    Silent,
    /// The proxy closes existing connections and every new one.
    Refusing,
}

/// A proxy in front of all brokers.
pub(super) struct Proxy {
    /// The state of the connections to each broker.
    states: Vec<Arc<AtomicU8>>,
    /// The bootstrap servers for clients behind the proxy.
    pub(super) bootstrap: String,
}

impl Proxy {
    /// Starts listening on the first port of each pair and forwarding to the second.
    pub(super) fn start(ports: &[(u16, u16)]) -> Self {
        let states: Vec<_> = ports.iter().map(|_| Arc::new(AtomicU8::new(Network::Connected as u8))).collect();
        for (&(advertised, real), state) in ports.iter().zip(&states) {
            let listener = TcpListener::bind(("127.0.0.1", advertised)).expect("the port is free");
            let state = Arc::clone(state);
            thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    if state.load(Ordering::Relaxed) == Network::Refusing as u8 {
                        continue;
                    }
                    let Ok(broker) = TcpStream::connect(("127.0.0.1", real)) else { continue };
                    for (from, to) in [(&client, &broker), (&broker, &client)] {
                        let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                        let state = Arc::clone(&state);
                        thread::spawn(move || forward(from, to, &state));
                    }
                }
            });
        }
        let addresses: Vec<_> = ports.iter().map(|(advertised, _)| format!("127.0.0.1:{advertised}")).collect();
        Self { states, bootstrap: addresses.join(",") }
    }

    /// Sets the state of the connections to all brokers.
    pub(super) fn set_all(&self, network: Network) {
        (0..self.states.len()).for_each(|broker| self.set_one(broker, network));
    }

    /// Sets the state of the connections to one broker.
    pub(super) fn set_one(&self, broker: usize, network: Network) {
        self.states[broker].store(network as u8, Ordering::Relaxed);
    }
}

/// Forwards bytes until either side closes.
fn forward(mut from: TcpStream, mut to: TcpStream, state: &AtomicU8) {
    from.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout can be set");
    let mut bytes = vec![0; 64 << 10];
    loop {
        match state.load(Ordering::Relaxed) {
            refusing if refusing == Network::Refusing as u8 => break,
            silent if silent == Network::Silent as u8 => {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            _ => {}
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(mut count) => {
                let mut was_delayed = false;
                while state.load(Ordering::Relaxed) == Network::Silent as u8 {
                    thread::sleep(Duration::from_millis(20));
                    was_delayed = true;
                }
                // If the client has closed the connection in the meantime, its delayed data reaches the broker after
                // the data of the client's new connections.
                if was_delayed && was_closed(&mut from, &mut bytes, &mut count) {
                    thread::sleep(Duration::from_millis(fastrand::u64(200..3_000)));
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

/// Returns whether the sender has closed the connection. Data that it sent before is appended to the first `count`
/// `bytes`.
fn was_closed(from: &mut TcpStream, bytes: &mut [u8], count: &mut usize) -> bool {
    while *count < bytes.len() {
        match from.read(&mut bytes[*count..]) {
            Ok(0) => return true,
            Ok(more) => *count += more,
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
    false
}
