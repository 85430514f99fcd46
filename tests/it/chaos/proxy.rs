//! A network between one instance and the brokers that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// How connections fare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Network {
    Whole,
    /// Connections stay and nothing comes through.
    Silent,
    /// Connections end and new ones end at once.
    Refusing,
}

/// A proxy before all brokers.
pub(super) struct Proxy {
    /// How the connections to each broker fare.
    states: Vec<Arc<AtomicU8>>,
    /// Where clients behind it find the cluster.
    pub(super) bootstrap: String,
}

impl Proxy {
    /// Listens at the first port of each pair and passes on to the second.
    pub(super) fn start(ports: &[(u16, u16)]) -> Self {
        let states: Vec<_> = ports.iter().map(|_| Arc::new(AtomicU8::new(Network::Whole as u8))).collect();
        for (&(told, real), state) in ports.iter().zip(&states) {
            let listener = TcpListener::bind(("127.0.0.1", told)).expect("the port is free");
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
                        thread::spawn(move || pass_on(from, to, &state));
                    }
                }
            });
        }
        let addresses: Vec<_> = ports.iter().map(|(told, _)| format!("127.0.0.1:{told}")).collect();
        Self { states, bootstrap: addresses.join(",") }
    }

    /// Has all connections fare so.
    pub(super) fn set(&self, network: Network) {
        (0..self.states.len()).for_each(|broker| self.set_one(broker, network));
    }

    /// Has the connections to one broker fare so.
    pub(super) fn set_one(&self, broker: usize, network: Network) {
        self.states[broker].store(network as u8, Ordering::Relaxed);
    }
}

/// Passes bytes on until either end is gone.
fn pass_on(mut from: TcpStream, mut to: TcpStream, state: &AtomicU8) {
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
                let mut was_silent = false;
                while state.load(Ordering::Relaxed) == Network::Silent as u8 {
                    thread::sleep(Duration::from_millis(20));
                    was_silent = true;
                }
                // What was held up on a connection that has been given up since comes late, after what the new ones bring.
                if was_silent && was_given_up(&mut from, &mut bytes, &mut count) {
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

/// Whether the sender has ended the connection; adds what it had sent before to the `count` of `bytes`.
fn was_given_up(from: &mut TcpStream, bytes: &mut [u8], count: &mut usize) -> bool {
    while *count < bytes.len() {
        match from.read(&mut bytes[*count..]) {
            Ok(0) => return true,
            Ok(more) => *count += more,
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
    false
}
