//! An HTTP backend on 127.0.0.1, written by hand so that it can also break off, hang and lie.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first message of an uncompressed body.
    pub fn first(&self) -> String {
        super::messages(&self.body).swap_remove(0)
    }
}

/// What to do with a request.
pub enum Reply {
    /// Status line and further header lines, then a body.
    Status(&'static str, String),
    /// Closes without an answer.
    Reset,
    /// Answers nothing for this long, then 200.
    Late(Duration),
}

pub const OK: Reply = Reply::Status("200 OK", String::new());

pub struct Backend {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Backend {
    /// Answers request number n (from 0, over all connections) with `script(n, request)`.
    pub fn start(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        Backend::on(TcpListener::bind("127.0.0.1:0").expect("port"), script)
    }

    /// The same on a port that the caller chose.
    pub fn on(
        listener: TcpListener,
        script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let url = format!("http://{}/ingest", listener.local_addr().expect("address"));
        let backend = Backend { url, requests: Arc::default(), connections: Arc::default() };
        let (requests, connections) = (backend.requests.clone(), backend.connections.clone());
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.lock().expect("connections").push(stream.try_clone().expect("clone"));
                let (requests, script) = (requests.clone(), script.clone());
                thread::spawn(move || serve(&stream, &requests, &*script));
            }
        });
        backend
    }

    /// Everything that arrived, in order, the refused included.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("requests").clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.lock().expect("connections").len()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        for stream in self.connections.lock().expect("connections").iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(stream: &TcpStream, requests: &Mutex<Vec<Request>>, script: &dyn Fn(usize, &Request) -> Reply) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let number = {
            let mut requests = requests.lock().expect("requests");
            requests.push(request.clone());
            requests.len() - 1
        };
        let (status, body) = match script(number, &request) {
            Reply::Status(status, body) => (status, body),
            Reply::Reset => return drop(stream.shutdown(Shutdown::Both)),
            Reply::Late(time) => {
                thread::sleep(time);
                ("200 OK", String::new())
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if (&*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let split = |line: &String| {
        line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
    };
    let headers: Vec<_> = lines.iter().filter_map(split).collect();
    assert!(lines[0].starts_with("POST /ingest HTTP/1.1"), "{}", lines[0]);
    let len = headers.iter().find(|(name, _)| name == "content-length").expect("length").1.parse();
    let mut body = vec![0; len.expect("number")];
    reader.read_exact(&mut body).ok()?;
    Some(Request { at: Instant::now(), headers, body })
}
