//! The floor: what the kernel alone costs.
//!
//! In: 24-byte records on a Unix socket, WebSocket clients on TCP. Out: one ready-made frame per press and client.
//! Guarantees: one thread, one `epoll_wait`, one `read` and one `write` per client; no ring, no log, no JSON, no
//! queue. It runs in a process of its own (this executable, started again), so that its CPU time is only its own.
//! Client sockets block: a client that does not read stops the loop, which is the floor's way to lose nothing.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};

use crate::record::{self, BUZZERS, Edge};

/// First argument of the child; no user ever types it.
pub(crate) const ARGUMENT: &str = "the-floor";

const DEVICES: u64 = 0;
const CLIENTS: u64 = 1;
const FIRST_DEVICE: u64 = 2;

/// One attachment and what is left of a record that came in two reads.
struct Device {
    stream: UnixStream,
    rest: Vec<u8>,
}

/// Serves until it is killed; prints its TCP port first.
pub(crate) fn run(socket: &Path) -> io::Result<()> {
    let devices = UnixListener::bind(socket)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let mut floor = Floor {
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        devices: Vec::new(),
        clients: Vec::new(),
        frames: (1..=BUZZERS).map(frame).collect(),
    };
    floor.watch(&devices, DEVICES)?;
    floor.watch(&listener, CLIENTS)?;
    let mut ready = Vec::with_capacity(64);
    loop {
        ready.clear();
        match epoll::wait(&floor.epoll, rustix::buffer::spare_capacity(&mut ready), None) {
            Err(rustix::io::Errno::INTR) => continue,
            done => done?,
        };
        for event in &ready {
            match event.data.u64() {
                DEVICES => floor.attach(devices.accept()?.0)?,
                CLIENTS => floor.welcome(listener.accept()?.0)?,
                token => floor.read((token - FIRST_DEVICE) as usize)?,
            }
        }
    }
}

struct Floor {
    epoll: OwnedFd,
    devices: Vec<Option<Device>>,
    clients: Vec<TcpStream>,
    frames: Vec<Vec<u8>>,
}

impl Floor {
    fn watch(&self, source: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// The header line is read and believed: what it could say is known here.
    fn attach(&mut self, mut stream: UnixStream) -> io::Result<()> {
        let mut byte = [0];
        while byte != *b"\n" {
            stream.read_exact(&mut byte)?;
        }
        stream.write_all(b"{\"ok\":true}\n")?;
        self.watch(&stream, FIRST_DEVICE + self.devices.len() as u64)?;
        self.devices.push(Some(Device { stream, rest: Vec::new() }));
        Ok(())
    }

    fn welcome(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // Who connects and goes again only wanted to know whether somebody listens.
        if let Ok(socket) = tungstenite::accept(stream) {
            // What remains is the bare socket: the frames are made already.
            self.clients.push(socket.get_ref().try_clone()?);
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> io::Result<()> {
        let Some(device) = &mut self.devices[index] else { return Ok(()) };
        let mut buffer = [0; 64 * record::SIZE];
        let kept = device.rest.len();
        buffer[..kept].copy_from_slice(&device.rest);
        let count = device.stream.read(&mut buffer[kept..])?;
        if count == 0 {
            self.devices[index] = None;
            return Ok(());
        }
        let bytes = &buffer[..kept + count];
        let records = bytes.chunks_exact(record::SIZE);
        device.rest = records.remainder().to_vec();
        let mut down = None;
        for record in records {
            match record::edge(record) {
                Edge::Down(key) => down = Some(key),
                Edge::Report => {
                    if let Some(key) = down.take() {
                        self.tell(key);
                    }
                }
                Edge::Other => {}
            }
        }
        Ok(())
    }

    fn tell(&mut self, key: u16) {
        let frame = &self.frames[usize::from(key - record::FIRST_KEY)];
        // A client that has gone stays in the list and costs nothing any more: the measurement is over then.
        for mut client in &self.clients {
            let _ = client.write(frame);
        }
    }
}

/// The v1 `buzz` of one buzzer as it goes over the wire: final text frame, not masked, length in one byte.
fn frame(buzzer: u64) -> Vec<u8> {
    let text = format!(r#"{{"event":"buzz","pool":"bench","buzzer":{buzzer}}}"#);
    let mut frame = vec![0x81, text.len() as u8];
    frame.extend_from_slice(text.as_bytes());
    frame
}
