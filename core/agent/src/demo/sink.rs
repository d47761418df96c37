//! A log backend that takes ndjson over HTTP, fails as it is told, and gives every record to a [`Verifier`].

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::Verifier;
use super::http::{Answer, Request, Server};

/// A body that unpacks to more is refused.
const MAX_UNPACKED_LEN: u64 = 512 * 1024 * 1024;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether its records count as delivered. They may, although the answer says otherwise: a backend can fail
    /// after it has stored them.
    pub take: bool,
    /// How long the answer takes.
    pub delay: Duration,
    /// What the client is told.
    pub answer: Answer,
}

impl Reply {
    /// Taken and acknowledged at once.
    pub const OK: Reply = Reply { take: true, delay: Duration::ZERO, answer: Answer::Status(200) };

    /// Not taken, and told so.
    pub fn refused(answer: Answer) -> Self {
        Reply { take: false, delay: Duration::ZERO, answer }
    }
}

/// The backend, until dropped.
#[derive(Debug)]
pub struct Sink {
    server: Server,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    verifier: Mutex<Verifier>,
    requests: AtomicU64,
    taken_unacknowledged: AtomicU64,
    body_bytes: AtomicU64,
    message_bytes: AtomicU64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Sink {
    /// Takes requests as `policy` says, which is asked once a request.
    pub fn start(policy: impl Fn() -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let taking = Arc::clone(&state);
        let server = Server::start(move |request| {
            let reply = policy();
            taking.request(&request, reply);
            thread::sleep(reply.delay);
            reply.answer
        })?;
        Ok(Sink { server, state })
    }

    /// For the output's configuration.
    pub fn url(&self) -> String {
        format!("http://{}/logs", self.server.addr())
    }

    /// What was delivered. Requests wait while it is held.
    pub fn verifier(&self) -> MutexGuard<'_, Verifier> {
        self.state.verifier()
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Relaxed)
    }

    /// Records taken from requests whose answer was a failure: the client has to send them again.
    pub fn taken_unacknowledged(&self) -> u64 {
        self.state.taken_unacknowledged.load(Relaxed)
    }

    /// Bytes of the bodies taken, as they were sent.
    pub fn body_bytes(&self) -> u64 {
        self.state.body_bytes.load(Relaxed)
    }

    /// Bytes of the messages taken.
    pub fn message_bytes(&self) -> u64 {
        self.state.message_bytes.load(Relaxed)
    }
}

impl State {
    fn verifier(&self) -> MutexGuard<'_, Verifier> {
        self.verifier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, request: &Request, reply: Reply) {
        self.requests.fetch_add(1, Relaxed);
        if !reply.take {
            return;
        }
        self.body_bytes.fetch_add(request.body.len().try_into().unwrap_or(0), Relaxed);
        let mut verifier = self.verifier();
        let before = verifier.messages();
        match unpack(&request.encoding, &request.body) {
            Ok(body) => {
                self.message_bytes.fetch_add(take_ndjson(&body, &mut verifier), Relaxed);
            }
            Err(error) => verifier.damage(&error.to_string(), "a body that cannot be unpacked"),
        }
        if !matches!(reply.answer, Answer::Status(200..=299)) {
            self.taken_unacknowledged.fetch_add(verifier.messages() - before, Relaxed);
        }
    }
}

/// Undoes a `Content-Encoding`.
pub fn unpack(encoding: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    match encoding {
        "" | "identity" => return Ok(body.to_vec()),
        "zstd" => zstd::Decoder::new(body)?.take(MAX_UNPACKED_LEN).read_to_end(&mut unpacked)?,
        "gzip" => {
            flate2::read::MultiGzDecoder::new(body).take(MAX_UNPACKED_LEN).read_to_end(&mut unpacked)?
        }
        "lz4" => {
            lz4_flex::frame::FrameDecoder::new(body).take(MAX_UNPACKED_LEN).read_to_end(&mut unpacked)?
        }
        other => return Err(io::Error::other(format!("unknown encoding {other}"))),
    };
    Ok(unpacked)
}

/// A record as far as it is checked.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(default, borrow, rename = "log.flags")]
    flags: Vec<Cow<'a, str>>,
}

/// Gives each line's message to the verifier; returns their length in bytes.
pub fn take_ndjson(body: &[u8], verifier: &mut Verifier) -> u64 {
    let mut bytes = 0;
    for line in body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice::<Record<'_>>(line) {
            Ok(record) if record.flags.is_empty() => {
                bytes += u64::try_from(record.message.len()).unwrap_or(0);
                verifier.record(&record.message, record.stream.as_deref());
            }
            Ok(record) => verifier.damage(&record.message, &format!("flagged {:?}", record.flags)),
            Err(error) => verifier.damage(&String::from_utf8_lossy(line), &error.to_string()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::message::{Messages, Text};
    use super::*;

    fn ndjson(messages: &mut Messages, lines: usize) -> Vec<u8> {
        let (mut body, mut message) = (Vec::new(), String::new());
        for _ in 0..lines {
            messages.next_into(&mut message);
            let record = serde_json::json!({"message": message, "stream": "stdout", "log.file.path": "/a"});
            writeln!(body, "{record}").unwrap();
        }
        body
    }

    #[test]
    fn every_encoding_is_unpacked_and_every_record_reaches_the_verifier() {
        let mut messages = Messages::new("a/stdout", Text::Unicode);
        let state = State::default();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&ndjson(&mut messages, 10)).unwrap();
        let zstd = zstd::encode_all(ndjson(&mut messages, 10).as_slice(), 1).unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&ndjson(&mut messages, 10)).unwrap();
        let plain = ndjson(&mut messages, 10);
        for (encoding, body) in
            [("gzip", gzip.finish().unwrap()), ("zstd", zstd), ("lz4", lz4.finish().unwrap()), ("", plain)]
        {
            state.request(&Request { encoding: encoding.into(), body, ..Request::default() }, Reply::OK);
        }
        assert!(state.verifier().verdict([("a/stdout", 40)]).exact());
        assert_eq!(state.taken_unacknowledged.load(Relaxed), 0);

        let late = Reply { answer: Answer::Status(503), ..Reply::OK };
        state.request(&Request { body: ndjson(&mut messages, 5), ..Request::default() }, late);
        assert_eq!(state.taken_unacknowledged.load(Relaxed), 5);
        let refused = Reply::refused(Answer::Reset);
        state.request(&Request { body: ndjson(&mut messages, 5), ..Request::default() }, refused);
        assert_eq!(state.verifier().verdict([("a/stdout", 50)]).lost, 5);
    }

    #[test]
    fn what_is_flagged_or_torn_counts_as_damaged() {
        let mut verifier = Verifier::default();
        take_ndjson(b"{\"message\":\"x\",\"log.flags\":[\"partial\"]}\n{\"mess\n\n", &mut verifier);
        assert_eq!(verifier.verdict([]).damaged, 2);
    }
}
