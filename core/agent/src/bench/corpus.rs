//! Log lines to measure with: the same on every machine.

use std::fmt::Write;

/// Bytes of a log, about: larger than the caches that a core has for itself.
const LOG_BYTES: usize = 16 << 20;

/// A log and the number of its lines.
pub(super) struct Corpus {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: usize,
}

/// As containerd writes it.
pub(super) fn cri() -> Corpus {
    log(|out, time, message| writeln!(out, "{time} stdout F {message}"))
}

/// As dockerd's json-file driver writes it: the messages' quotes are escaped.
pub(super) fn docker() -> Corpus {
    log(|out, time, message| {
        let escaped = message.replace('"', "\\\"");
        writeln!(out, "{{\"log\":\"{escaped}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}")
    })
}

fn log(line: impl Fn(&mut String, &str, &str) -> std::fmt::Result) -> Corpus {
    let mut random = fastrand::Rng::with_seed(1);
    let mut out = String::with_capacity(LOG_BYTES + 4096);
    let mut lines = 0;
    while out.len() < LOG_BYTES {
        let time = format!(
            "2026-01-02T{:02}:{:02}:{:02}.{:09}Z",
            lines / 3_600_000 % 24,
            lines / 60_000 % 60,
            lines / 1000 % 60,
            random.u32(..1_000_000_000)
        );
        line(&mut out, &time, &message(&mut random)).expect("writing to a text never fails");
        lines += 1;
    }
    Corpus { bytes: out.into_bytes(), lines }
}

/// Application JSON and access lines, 200 bytes in the mean.
fn message(random: &mut fastrand::Rng) -> String {
    let (id, status, ms) =
        (random.u64(..), random.choice([200, 200, 200, 204, 404, 500]).unwrap_or(200), random.u16(..900));
    match random.u8(..10) {
        0..=4 => format!(
            "{{\"level\":\"info\",\"ts\":{},\"caller\":\"http/server.go:214\",\"msg\":\"request handled\",\"method\":\"GET\",\"path\":\"/api/v1/orders/{:08x}\",\"status\":{status},\"duration_ms\":{ms},\"trace_id\":\"{id:016x}\",\"user\":\"u{}\"}}",
            1_767_323_045 + random.u32(..1000),
            random.u32(..),
            random.u16(..)
        ),
        5..=8 => format!(
            "10.1.{}.{} - - [02/Jan/2026:03:04:05 +0000] \"GET /static/app.{:08x}.js HTTP/1.1\" {status} {} \"https://shop.example.com/cart\" \"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0\" {ms}",
            random.u8(..),
            random.u8(..),
            random.u32(..),
            random.u32(..200_000)
        ),
        _ => format!("worker {} finished batch {id:016x} in {ms} ms", random.u8(..32)),
    }
}
