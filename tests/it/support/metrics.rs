//! What the agent's admin endpoint says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A free port of the loopback address, for an `admin` line: free now, and hardly taken by another before it is
/// used.
pub(crate) fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}

/// GET: the status and the body; `None` when nobody answers.
pub(crate) fn get(addr: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// The value of a series, summed over those whose labels contain `label`; `None` when the endpoint does not
/// answer. A series that is not there is 0.
pub(crate) fn metric(addr: SocketAddr, name: &str, label: &str) -> Option<f64> {
    let (_, body) = get(addr, "/metrics")?;
    let lines = body.lines().filter(|line| line.starts_with(name) && line.contains(label));
    // A name may be the beginning of another one.
    let exact = lines.filter(|line| matches!(line.as_bytes().get(name.len()), Some(b'{' | b' ')));
    Some(exact.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// A value that counts things: a whole number.
#[track_caller]
pub(crate) fn count(value: f64) -> u64 {
    assert!(value >= 0.0 && value.fract() == 0.0, "{value} counts nothing");
    format!("{value:.0}").parse().expect("a whole number")
}
