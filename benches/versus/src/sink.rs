//! An HTTP server that takes whatever is posted, keeps it uncompressed in one file in the order in which it came,
//! counts the messages in it, and answers 200. It stands for a backend that is never the slowest.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::tally::MARK;

/// The server; ends when it is dropped.
pub(crate) struct HttpSink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    file: Mutex<File>,
    count: AtomicU64,
    ended: AtomicBool,
}

impl HttpSink {
    /// Listens on a port of this machine only; what comes is kept in a file below `dir`.
    pub(crate) fn start(dir: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let file = Mutex::new(File::create(dir.join("received"))?);
        let shared = Arc::new(Shared { file, count: AtomicU64::new(0), ended: AtomicBool::new(false) });
        let sink = HttpSink { address: listener.local_addr()?, shared };
        let shared = sink.shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                // A collector that breaks off a request tries again, or loses it: the count tells.
                thread::spawn(move || drop(connection(stream, &shared)));
            }
        });
        Ok(sink)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Messages so far.
    pub(crate) fn count(&self) -> u64 {
        self.shared.count.load(Ordering::SeqCst)
    }
}

impl Drop for HttpSink {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // So that the listener looks.
        drop(TcpStream::connect(self.address));
    }
}

/// What matters of a request's head.
#[derive(Default)]
struct Head {
    len: usize,
    chunked: bool,
    waits: bool,
    closes: bool,
    encoding: String,
    kind: String,
}

fn connection(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone()?);
    let mut writer = stream;
    while let Some(head) = read_head(&mut reader)? {
        if head.waits {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = if head.chunked { read_chunks(&mut reader)? } else { read_exact(&mut reader, head.len)? };
        let mut body = decompress(body, &head)?;
        if body.last().is_some_and(|last| *last != b'\n') {
            body.push(b'\n');
        }
        let count = memchr::memmem::find_iter(&body, MARK).count() as u64;
        shared.file.lock().expect("nobody panics with it").write_all(&body)?;
        shared.count.fetch_add(count, Ordering::SeqCst);
        // In one piece: the second of two would wait for the acknowledgement of the first.
        writer
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")?;
        if head.closes {
            break;
        }
    }
    Ok(())
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut head = Head::default();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some(head)) };
        let value = value.trim().to_ascii_lowercase();
        match &*name.to_ascii_lowercase() {
            "content-length" => head.len = value.parse().map_err(io::Error::other)?,
            "transfer-encoding" => head.chunked = value.contains("chunked"),
            "expect" => head.waits = value == "100-continue",
            "connection" => head.closes = value == "close",
            "content-encoding" => head.encoding = value,
            "content-type" => head.kind = value,
            _ => {}
        }
    }
}

fn read_exact(reader: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let (mut body, mut line) = (Vec::new(), String::new());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let size = line.trim().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        body.extend(read_exact(reader, size)?);
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn decompress(body: Vec<u8>, head: &Head) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match &*head.encoding {
        "zstd" => zstd::stream::copy_decode(&*body, &mut text)?,
        "gzip" => drop(flate2::read::MultiGzDecoder::new(&*body).read_to_end(&mut text)?),
        // Loki's clients compress their protobuf with snappy and do not say so in a header.
        "snappy" => text = unsnap(&body)?,
        "" if head.kind == "application/x-protobuf" => text = unsnap(&body)?,
        _ => text = body,
    }
    Ok(text)
}

fn unsnap(body: &[u8]) -> io::Result<Vec<u8>> {
    snap::raw::Decoder::new().decompress_vec(body).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(sink: &HttpSink, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(sink.address).expect("it listens");
        stream
            .write_all(format!("POST /x HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").as_bytes())
            .expect("sent");
        stream.write_all(body).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn bodies_of_every_encoding_are_kept_uncompressed_and_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        let sink = HttpSink::start(dir.path()).expect("a port");
        let body = b"vsb:1 vsb:2";
        let snappy = snap::raw::Encoder::new().compress_vec(body).expect("compressed");
        let zstd = zstd::encode_all(&body[..], 1).expect("compressed");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(body).expect("compressed");
        let gzip = gzip.finish().expect("compressed");
        for (headers, body) in [
            (format!("Content-Length: {}\r\n", body.len()), body.to_vec()),
            (format!("content-encoding: zstd\r\ncontent-length: {}\r\n", zstd.len()), zstd),
            (format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", gzip.len()), gzip),
            (format!("Content-Type: application/x-protobuf\r\nContent-Length: {}\r\n", snappy.len()), snappy),
            ("Transfer-Encoding: chunked\r\n".to_owned(), b"5\r\nvsb:1\r\n6\r\n vsb:2\r\n0\r\n\r\n".to_vec()),
        ] {
            assert!(post(&sink, &headers, &body).starts_with("HTTP/1.1 200"), "{headers}");
        }
        assert_eq!(sink.count(), 10);
        let kept = std::fs::read_to_string(dir.path().join("received")).expect("text");
        assert_eq!(kept, "vsb:1 vsb:2\n".repeat(5));
    }
}
