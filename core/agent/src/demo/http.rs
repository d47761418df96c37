//! A small HTTP/1.1 server for POSTs whose answers may be anything, a cut connection included, which is what a
//! library for well-behaved servers does not offer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A longer request head ends the connection.
const MAX_HEAD_LEN: u64 = 64 * 1024;
/// A longer body ends the connection.
const MAX_BODY_LEN: u64 = 256 * 1024 * 1024;

/// A request that has arrived whole.
#[derive(Debug, Default)]
pub struct Request {
    /// The target of its first line.
    pub path: String,
    /// `Content-Encoding`, in lower case; empty for none.
    pub encoding: String,
    /// The body as it was sent.
    pub body: Vec<u8>,
}

/// What the client sees of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A status without a body.
    Status(u16),
    /// 429 with `Retry-After`, in seconds.
    TooMany(u16),
    /// The connection is closed without an answer.
    Reset,
}

type Handler = dyn Fn(Request) -> Answer + Send + Sync;

/// Serves on a free port of the loopback address until dropped; a thread a connection.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn each(&self, then: impl FnOnce(&mut Vec<TcpStream>)) {
        then(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Server {
    /// Answers every request with what `handler` says, which may take its time.
    pub fn start(handler: impl Fn(Request) -> Answer + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (handler, accepting): (Arc<Handler>, _) = (Arc::new(handler), Arc::clone(&shared));
        let thread = thread::spawn(move || accept(&listener, &handler, &accepting));
        Ok(Server { addr, shared, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        // Wakes the accepting thread; if this fails it has ended.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
        self.shared.each(|connections| {
            for connection in connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        });
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, handler: &Arc<Handler>, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.stop.load(Relaxed) {
            return;
        }
        let Ok(connection) = connection else { continue };
        let Ok(kept) = connection.try_clone() else { continue };
        shared.each(|connections| connections.push(kept));
        let (handler, shared) = (Arc::clone(handler), Arc::clone(shared));
        thread::spawn(move || {
            let peer = connection.peer_addr().ok();
            // A connection that ends early is the client's affair.
            let _ = serve(connection, handler.as_ref());
            shared.each(|connections| connections.retain(|kept| kept.peer_addr().ok() != peer));
        });
    }
}

fn serve(connection: TcpStream, handler: &Handler) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut answers = connection.try_clone()?;
    let mut requests = BufReader::with_capacity(64 * 1024, connection);
    while let Some(request) = receive(&mut requests)? {
        match handler(request) {
            Answer::Status(status) => write!(answers, "HTTP/1.1 {status} Sink\r\nContent-Length: 0\r\n\r\n")?,
            Answer::TooMany(seconds) => {
                write!(answers, "HTTP/1.1 429 Sink\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n")?
            }
            Answer::Reset => return answers.shutdown(Shutdown::Both),
        }
    }
    Ok(())
}

/// The next request; `None` when the client has closed the connection.
fn receive(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = from.take(MAX_HEAD_LEN);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path, ..Request::default() };
    let (mut len, mut chunked) = (0, false);
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => len = value.parse().map_err(io::Error::other)?,
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "content-encoding" => request.encoding = value.to_ascii_lowercase(),
            _ => {}
        }
    }
    match chunked {
        true => while read_chunk(from, &mut request.body)? {},
        false => read_exactly(from, len, &mut request.body)?,
    }
    Ok(Some(request))
}

/// Whether another chunk may follow.
fn read_chunk(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let mut line = String::new();
    from.take(MAX_HEAD_LEN).read_line(&mut line)?;
    let size = line.trim_end().split(';').next().unwrap_or_default();
    let len = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
    read_exactly(from, len, body)?;
    line.clear();
    from.take(2).read_line(&mut line)?;
    Ok(len > 0)
}

fn read_exactly(from: &mut impl Read, len: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let have = u64::try_from(body.len()).unwrap_or(u64::MAX);
    if len.saturating_add(have) > MAX_BODY_LEN {
        return Err(io::Error::other("a body over the limit"));
    }
    match u64::try_from(from.take(len).read_to_end(body)?) {
        Ok(read) if read == len => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(server: &Server, request: &[u8]) -> String {
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.write_all(request).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn bodies_of_both_framings_arrive_whole_and_answers_are_what_the_handler_says() {
        let server = Server::start(|request| match request.body.as_slice() {
            b"hello" if request.path == "/a" && request.encoding == "zstd" => Answer::Status(204),
            b"hello world" => Answer::TooMany(3),
            _ => Answer::Reset,
        })
        .unwrap();
        let two = b"POST /a HTTP/1.1\r\nHost: x\r\ncontent-length: 5\r\nContent-Encoding: ZSTD\r\n\r\nhello\
                    POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
        let answer = exchange(&server, two);
        assert!(
            answer.starts_with("HTTP/1.1 204") && answer.contains("429") && answer.contains("Retry-After: 3")
        );
        assert_eq!(exchange(&server, b"POST /c HTTP/1.1\r\ncontent-length: 1\r\n\r\nx"), "");
        assert_eq!(exchange(&server, b"POST /c HTTP/1.1\r\ncontent-length: 9\r\n\r\nshort"), "");
    }
}
