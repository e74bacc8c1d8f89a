//! The running daemon, asked. In: the addresses of the configuration. Out: what is at the first of them. Guarantee: it
//! takes a few seconds at most, also without an answer; plain HTTP/1.1, as curl would.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use buzzer_core::io::sys;
use buzzer_core::time::Micros;

use crate::doctor::facts::{DaemonFacts, HealthFacts};

/// A daemon on this machine answers within a ms; one that is starved should be told.
const WAIT: Duration = Duration::from_secs(2);
const WAIT_US: Micros = Micros::from_ms(2000);
/// Four times of what buzzerd says.
const PAGE_BYTES_MAX: u64 = 16 * 1024;

pub(super) fn ask(listen: &[SocketAddr]) -> DaemonFacts {
    let Some(address) = listen.first().copied().map(reachable) else { return DaemonFacts::AnyPort };
    if address.port() == 0 {
        return DaemonFacts::AnyPort;
    }
    let stream = match TcpStream::connect_timeout(&address, WAIT) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return DaemonFacts::Absent(address);
        }
        Err(error) => return DaemonFacts::Odd(address, format!("no connection: {}", error.kind())),
    };
    match get(stream, address) {
        Ok(response) => match HealthFacts::parse(&response) {
            Some(health) => DaemonFacts::Running(address, Box::new(health)),
            None => DaemonFacts::Odd(address, "an answer that is not buzzerd's".to_owned()),
        },
        // A read that reached its time-out says WouldBlock.
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            DaemonFacts::Odd(address, "no answer within 2 s".to_owned())
        }
        Err(error) => DaemonFacts::Odd(address, format!("no answer: {}", error.kind())),
    }
}

/// Who listens on every address is reached on this machine's own.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn get(mut stream: TcpStream, address: SocketAddr) -> io::Result<String> {
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    // In one piece: who answers the first piece and closes would take the rest for a broken connection.
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let deadline = sys::now() + WAIT_US;
    let mut response = Vec::new();
    let mut stream = stream.take(PAGE_BYTES_MAX);
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part)?;
        response.extend_from_slice(&part[..read]);
        if read == 0 {
            return Ok(String::from_utf8_lossy(&response).into_owned());
        }
        if deadline <= sys::now() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn what_listens_everywhere_is_asked_here() {
        for (from, to) in
            [("0.0.0.0:7400", "127.0.0.1:7400"), ("[::]:1", "[::1]:1"), ("10.0.0.1:2", "10.0.0.1:2")]
        {
            assert_eq!(reachable(from.parse().unwrap()), to.parse().unwrap());
        }
        assert!(matches!(ask(&["127.0.0.1:0".parse().unwrap()]), DaemonFacts::AnyPort));
    }

    #[test]
    fn who_answers_otherwise_is_told_from_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers: [&[u8]; 3] =
            [b"", b"HTTP/1.1 200 OK\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\",\"seq\":1}"];
        let server = thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let read = stream.read(&mut request).unwrap();
                assert!(request[..read].starts_with(b"GET /healthz HTTP/1.1\r\n"));
                stream.write_all(answer).unwrap();
            }
        });
        assert!(matches!(ask(&[address]), DaemonFacts::Odd(..)));
        assert!(matches!(ask(&[address]), DaemonFacts::Odd(..)));
        assert!(matches!(ask(&[address]), DaemonFacts::Running(at, _) if at == address));
        server.join().unwrap();
        assert!(matches!(ask(&[address]), DaemonFacts::Absent(_)));
    }
}
