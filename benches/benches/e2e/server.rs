//! The HTTP server of the bench, a process of its own: takes every POST, answers 200, and tells how many records
//! it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The server, as its parent sees it. Ends with it.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server can be started");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("the server tells its port");
        Server { port: line.trim().parse().expect("a port"), child }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/logs", self.port)
    }

    /// Records received so far.
    pub(crate) fn count(&self) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server runs");
        stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").expect("the server runs");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.rsplit("\r\n").next().and_then(|count| count.parse().ok()).expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // By its own id; it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's process.
pub(crate) fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address").port());
    let records = Arc::new(AtomicU64::new(0));
    // Without its parent there is nobody to serve.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    for stream in listener.incoming().flatten() {
        let records = records.clone();
        std::thread::spawn(move || connection(stream, &records));
    }
}

fn connection(stream: TcpStream, records: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let (mut first, mut len, mut encoding) = (String::new(), 0, String::new());
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                len = value.trim().parse().ok()?;
            }
            if let Some(value) = header.strip_prefix("content-encoding:") {
                value.trim().clone_into(&mut encoding);
            }
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body).ok()?;
        if first.starts_with("GET") {
            let count = records.load(Ordering::SeqCst).to_string();
            write!(writer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{count}").ok()?;
            return None;
        }
        records.fetch_add(count(&body, &encoding), Ordering::SeqCst);
        // In one piece: the second of two would wait for the acknowledgement of the first.
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}

/// The lines of a payload.
fn count(body: &[u8], encoding: &str) -> u64 {
    let mut text = Vec::new();
    match encoding {
        "zstd" => drop(zstd::stream::copy_decode(body, &mut text)),
        "lz4" => drop(lz4_flex::frame::FrameDecoder::new(body).read_to_end(&mut text)),
        _ => text.extend_from_slice(body),
    }
    memchr::memchr_iter(b'\n', &text).count() as u64
}
