//! HTTP: one POST a payload, one request in flight a lane.
//!
//! | answer | what follows |
//! |---|---|
//! | 2xx | delivered |
//! | 408, 429, 5xx, no answer | the same payload again, for ever |
//! | 1xx, 3xx | the same: they say nothing about the payload. Redirects are not followed: most would turn the POST into a GET, and all would carry the secret headers to a place that nobody configured |
//! | other 4xx | refused for good: lost, counted, logged |
//!
//! Servers' certificates are always checked, against the system's. Environment variables that name a proxy are not
//! read: the configuration says where logs go. Limits: [`CONNECT_TIMEOUT`], [`ANSWER_SHOWN_BYTES`] of an answer are
//! shown, [`ANSWER_READ_BYTES`] read so that the connection can be used again.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::TryRecvError;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use ringtail_encode::Compression;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::backoff::{Backoff, retry_after};
use crate::config::{OutputConfig, Secret, StartError};
use crate::hidden::Hidden;
use crate::output::{Done, Queue, Service};
use crate::payload::{Message, Payload};
use crate::stats::Stats;
use crate::tls;

/// How often is looked whether a former generation of an output has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The longest wait for a connection; the request's timeout when that is shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a refusing answer that are logged.
const ANSWER_SHOWN_BYTES: usize = 200;

/// Bytes of an answer that are read to its end; after a longer one the connection is closed.
const ANSWER_READ_BYTES: usize = 64 << 10;

/// How long the rest of an accepting answer is waited for.
const ANSWER_REST_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of an error's text.
const ERROR_SHOWN_BYTES: usize = 300;

/// Where an output's requests go, and with what.
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
    headers: HeaderMap,
    hidden: Hidden,
}

impl Endpoint {
    /// Checks what can be checked without the network.
    pub(crate) fn new(
        config: &OutputConfig,
        url: &str,
        headers: &[(String, Secret)],
        timeout: Duration,
    ) -> Result<Self, StartError> {
        let url = parse_url(config, url)?;
        let headers_sent = header_map(config, headers)?;
        let tls_error = |reason| StartError::Tls { output: config.name.clone(), reason };
        let tls = tls::client_config(url.scheme() == "https").map_err(tls_error)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("ringtail/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .pool_max_idle_per_host(usize::try_from(config.concurrency).unwrap_or(usize::MAX))
            .build()
            .map_err(|error| tls_error(chain(&error)))?;
        let hidden = Hidden::new(&url, headers);
        Ok(Endpoint { client, url, headers: headers_sent, hidden })
    }

    /// One attempt.
    async fn post(&self, payload: &Payload) -> Answer {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let response = match request.body(payload.bytes.clone()).send().await {
            Ok(response) => response,
            Err(error) => return Answer::Later { why: chain(&error.without_url()), after: None },
        };
        let status = response.status();
        if status.is_success() {
            return Answer::Accepted(response);
        }
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|value| retry_after(value, SystemTime::now()));
        let start = read_start(response, ANSWER_SHOWN_BYTES + self.hidden.longest()).await;
        let why = format!("{status}: {}", self.hidden.shown(&start, ANSWER_SHOWN_BYTES));
        if is_refusal(status) { Answer::Refused { why } } else { Answer::Later { why, after } }
    }
}

/// What an attempt came to.
enum Answer {
    Accepted(Response),
    Refused { why: String },
    Later { why: String, after: Option<Duration> },
}

/// Whether the server says that this payload will never be accepted.
fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error()
        && status != StatusCode::REQUEST_TIMEOUT
        && status != StatusCode::TOO_MANY_REQUESTS
}

/// Starts the lanes, each a task, that send nothing before everything in `after` has ended: what came earlier to this
/// output comes first.
pub(crate) fn start(
    endpoint: Endpoint,
    lanes: u32,
    after: Vec<Done>,
    stats: &Arc<Stats>,
    runtime: &Handle,
) -> Service {
    let (endpoint, after) = (Arc::new(endpoint), Arc::new(after));
    let (working, done) = crossbeam_channel::bounded(0);
    let (mut queues, mut tasks) = (Vec::new(), Vec::new());
    for _ in 0..lanes {
        let (queue, messages) = unbounded_channel();
        let (endpoint, stats, working) = (endpoint.clone(), stats.clone(), working.clone());
        let after = after.clone();
        let task = runtime.spawn(async move {
            ended(&after).await;
            serve(&endpoint, messages, &stats).await;
            drop(working);
        });
        queues.push(Queue::Task(queue));
        tasks.push(task.abort_handle());
    }
    Service { queues, tasks, abandon: None, done }
}

/// Waits for the end of other generations of an output; they are few, and end within seconds.
async fn ended(after: &[Done]) {
    for previous in after {
        while previous.try_recv() != Err(TryRecvError::Disconnected) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// One lane: the next payload is not looked at before this one is answered.
async fn serve(endpoint: &Endpoint, mut messages: UnboundedReceiver<Message>, stats: &Stats) {
    while let Some(Message::Payload(payload)) = messages.recv().await {
        deliver(endpoint, payload, stats).await;
    }
}

async fn deliver(endpoint: &Endpoint, payload: Payload, stats: &Stats) {
    let mut backoff = Backoff::default();
    loop {
        match endpoint.post(&payload).await {
            Answer::Accepted(response) => {
                payload.delivered();
                return read_rest(response).await;
            }
            Answer::Refused { why } => return payload.ticket.refused(why),
            Answer::Later { why, after } => {
                stats.retry(why);
                tokio::time::sleep(backoff.next(after)).await;
            }
        }
    }
}

/// Reads an answer to its end, so that its connection serves the next request. What takes long is cut off.
async fn read_rest(response: Response) {
    let rest = read_start(response, ANSWER_READ_BYTES);
    // Either way the payload was accepted: a late or broken rest changes nothing.
    let _ = tokio::time::timeout(ANSWER_REST_TIMEOUT, rest).await;
}

/// The first `limit` bytes of an answer, or what came of them before it broke off.
async fn read_start(mut response: Response, limit: usize) -> Vec<u8> {
    let mut start = Vec::new();
    while start.len() < limit {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        start.extend_from_slice(&chunk[..chunk.len().min(limit - start.len())]);
    }
    start
}

fn parse_url(config: &OutputConfig, url: &str) -> Result<Url, StartError> {
    let error = |reason: String| StartError::Url { output: config.name.clone(), reason };
    let url = Url::parse(url).map_err(|reason| error(reason.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        // What stands there instead is not repeated: in `user:password@host` it is the user.
        _ => Err(error("it begins with neither http:// nor https://".to_owned())),
    }
}

fn header_map(config: &OutputConfig, headers: &[(String, Secret)]) -> Result<HeaderMap, StartError> {
    let mut map = HeaderMap::new();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    if let Some(encoding) = Compression::content_encoding(config.compression) {
        map.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    for (name, value) in headers {
        let error = || StartError::Header { output: config.name.clone(), header: name.clone() };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| error())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| error())?;
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok(map)
}

/// An error with its causes, which hold what an operator wants to know ("connection refused").
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if text.len() >= ERROR_SHOWN_BYTES {
            break;
        }
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.truncate(text.floor_char_boundary(ERROR_SHOWN_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_error_about_the_payload_is_a_refusal() {
        let refused: Vec<u16> =
            (100..600).filter(|code| is_refusal(StatusCode::from_u16(*code).expect("in range"))).collect();
        assert!(refused.iter().all(|code| (400..500).contains(code)));
        assert_eq!(refused.len(), 98);
        assert!(!refused.contains(&408) && !refused.contains(&429));
    }
}
