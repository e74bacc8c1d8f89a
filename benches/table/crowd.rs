//! A press beside those who send without end, and beside those who come without end: how much later is it told?
//!
//! In: a plan. Out: three lines: alone, beside [`FLOODERS`] clients that send 8 KiB of JSON each, beside a storm of connections.
//! Guarantees: the same server, presser and client for all three, one behind the other in each round; the crowd runs at the
//! lowest priority, so that what is measured is the server's choice of what to do first.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::round::{self, Place, Plan};
use crate::stats::{Random, Sorted};
use crate::subject::{Peer, Server};

const FLOODERS: usize = 256;
const STORM_DEPTH: usize = 64;
const MESSAGE_BYTES: usize = 8 * 1024;
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[derive(Clone, Copy, Debug)]
enum Crowd {
    Nobody,
    Flood,
    Storm,
}

impl Crowd {
    const ALL: [(Self, &str); 3] = [
        (Self::Nobody, "alone"),
        (Self::Flood, "256 clients send 8 KiB of JSON without end"),
        (Self::Storm, "connections come and go without end"),
    ];
}

/// Measures and prints.
pub(crate) fn run(plan: Plan, rounds: usize, place: &Place, random: &mut Random) -> io::Result<()> {
    let mut samples = [Vec::new(), Vec::new(), Vec::new()];
    for count in 1..=rounds {
        eprintln!("crowd, round {count} of {rounds}");
        for ((crowd, _), samples) in Crowd::ALL.into_iter().zip(&mut samples) {
            samples.extend_from_slice(beside(crowd, plan, place, random)?.samples());
        }
    }
    println!("\na press beside a crowd, one client, us: p50, p99, max; p99 to alone (must +5000, aim +1000)");
    let mut alone = None;
    for ((_, title), samples) in Crowd::ALL.into_iter().zip(samples) {
        let sorted = Sorted::new(samples);
        let micros = |nanos: Option<u64>| nanos.unwrap_or(0) / 1000;
        let p99 = micros(sorted.percentile(0.99));
        let first = *alone.get_or_insert(p99);
        println!(
            "{title:44}{:>8}{p99:>8}{:>8}{:>+8}",
            micros(sorted.percentile(0.5)),
            micros(sorted.max()),
            p99.cast_signed() - first.cast_signed()
        );
    }
    Ok(())
}

fn beside(crowd: Crowd, plan: Plan, place: &Place, random: &mut Random) -> io::Result<Sorted> {
    place.cores.hold_server(plan.held)?;
    let server = Server::start(Peer::Zero, &place.buzzerd)?;
    place.cores.hold_clients(plan.held)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (stop, address) = (&stop, server.address);
        let begun = scope.spawn(move || {
            // Of this thread alone, on Linux; nothing is wrong without.
            let _ = rustix::process::nice(19);
            match crowd {
                Crowd::Nobody => Ok(()),
                Crowd::Flood => flood(address, stop),
                Crowd::Storm => storm(address, stop),
            }
        });
        let figures = round::presses(&server, plan, random);
        stop.store(true, Ordering::Relaxed);
        let crowd = begun.join().unwrap_or_else(|_| Err(io::Error::other("the crowd has panicked")));
        figures.and_then(|figures| crowd.map(|()| figures)).map_err(|error| server.blame(error))
    })
}

/// A client of the crowd, and how much of its message is sent.
struct Flooder {
    stream: TcpStream,
    sent: usize,
}

impl Flooder {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(HEAD)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, sent: 0 })
    }

    /// Sends and reads what is possible now; fails if it was closed.
    fn go_on(&mut self, message: &[u8], buffer: &mut [u8]) -> io::Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::ConnectionReset.into()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        match self.stream.write(&message[self.sent..]) {
            Ok(sent) => self.sent = (self.sent + sent) % message.len(),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }
}

/// Who is closed comes again.
fn flood(address: SocketAddr, stop: &AtomicBool) -> io::Result<()> {
    let mut message = vec![0x81, 0xfe];
    message.extend((MESSAGE_BYTES as u16).to_be_bytes());
    message.extend([0; 4]);
    // The most work that JSON can make of so many bytes.
    message.push(b'[');
    message.extend(b"0,".iter().cycle().take(MESSAGE_BYTES - 4));
    message.extend(b"0] ");
    let mut buffer = vec![0; 64 * 1024];
    let mut flooders = (0..FLOODERS).map(|_| Flooder::new(address)).collect::<io::Result<Vec<_>>>()?;
    while !stop.load(Ordering::Relaxed) {
        for flooder in &mut flooders {
            if flooder.go_on(&message, &mut buffer).is_err() {
                *flooder = Flooder::new(address)?;
            }
        }
    }
    Ok(())
}

fn storm(address: SocketAddr, stop: &AtomicBool) -> io::Result<()> {
    let mut streams = std::collections::VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        // Out of ports for a moment, after thousands.
        let Ok(mut stream) = TcpStream::connect(address) else {
            streams.clear();
            continue;
        };
        let _ = stream.write_all(HEAD);
        streams.push_back(stream);
        if streams.len() > STORM_DEPTH {
            streams.pop_front();
        }
    }
    Ok(())
}
