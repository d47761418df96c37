//! What an HTTP backend receives, whatever it answers.

mod common;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use common::backend::{Backend, OK, Reply};
use common::{PATIENCE, Shard, all_delivered, eventually, http, messages, output, within};
use ringtail_encode::Compression;
use ringtail_record::{Lost, Outcome};
use ringtail_ship::{OutputConfig, Secret, Shippers, SinkConfig, StartError};

/// Every third request fails in one of six ways, differently timed: each lane still receives its batches in order, and
/// never the next before the one before it was accepted.
#[test]
fn lanes_keep_their_order_through_failures_and_do_not_wait_for_each_other() {
    const LANES: u32 = 4;
    const BATCHES: u64 = 12;
    const TOTAL: usize = 48;
    let accepted = std::sync::Arc::new(Mutex::new(Vec::new()));
    let list = accepted.clone();
    let backend = Backend::start(move |number, request| match number {
        1 => Reply::Status("503 Busy", String::new()),
        4 => Reply::Reset,
        7 => Reply::Status("429 Slow down", String::new()),
        10 => Reply::Status("408 Timeout", String::new()),
        13 => Reply::Status("302 Found\r\nLocation: http://127.0.0.1:1/elsewhere", String::new()),
        16 => Reply::Status("500 Oops", "x".repeat(100_000)),
        _ => {
            list.lock().expect("list").push(request.first());
            OK
        }
    });
    let mut config = http("main", &backend.url);
    config.concurrency = LANES;
    let shippers = Shippers::start(vec![config], 2, 2).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    assert_eq!(outlet.lanes(), LANES);
    for batch in 0..BATCHES {
        for lane in 0..LANES {
            shard.ship(&*outlet, lane, batch * 10 + u64::from(lane), &[&format!("{lane}/{batch}"), "more"]);
        }
    }
    assert!(all_delivered(&shard.answers.wait(TOTAL)));
    let mut next: HashMap<String, u64> = HashMap::new();
    for message in accepted.lock().expect("list").iter() {
        let (lane, batch) = message.split_once('/').expect("lane/batch");
        let expected = next.entry(lane.to_owned()).or_default();
        assert_eq!(batch.parse(), Ok(*expected), "lane {lane}");
        *expected += 1;
    }
    assert!(next.values().all(|batches| *batches == BATCHES) && next.len() == LANES as usize);
    let stats = shippers.stats().swap_remove(0);
    assert_eq!((stats.retries, stats.refused_records, stats.in_flight), (6, 0, 0));
    assert_eq!(stats.delivered_records, 2 * TOTAL as u64);
    let sent: usize = backend.requests().iter().map(|request| request.body.len()).sum();
    assert!(stats.delivered_bytes > 0 && stats.delivered_bytes < sent as u64);
    // A reset and a half-read answer cost a connection; otherwise each lane keeps its own.
    assert!(backend.connections() <= LANES as usize + 3, "{} connections", backend.connections());
    assert_eq!(shippers.stop(within(PATIENCE)), []);
}

/// One lane is stuck behind a failing payload: the payloads of the other lane pass.
#[test]
fn a_lane_that_retries_holds_up_no_other_lane() {
    let backend = Backend::start(|_, request| match request.first().as_str() {
        "stuck" => Reply::Status("503 Busy", String::new()),
        _ => OK,
    });
    let mut config = http("main", &backend.url);
    config.concurrency = 2;
    let shippers = Shippers::start(vec![config], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    shard.ship(&*outlet, 0, 0, &["stuck"]);
    shard.ship(&*outlet, 0, 1, &["behind it"]);
    for id in 10..15 {
        shard.ship(&*outlet, 1, id, &["free"]);
    }
    let answers = shard.answers.wait(5);
    assert!(all_delivered(&answers) && answers.iter().all(|(id, _)| *id >= 10), "{answers:?}");
    let left = shippers.stop(Instant::now());
    assert_eq!((left.len(), left[0].batches), (1, 2));
    assert!(backend.requests().iter().all(|request| request.first() != "behind it"));
    assert_eq!(shard.answers.wait(7)[5..].iter().filter(|(_, o)| *o == Outcome::Returned).count(), 2);
}

/// `Retry-After` in seconds and as a date is waited for, where our own first wait would have been a tenth of a second.
#[test]
fn a_server_s_retry_after_is_honoured() {
    let backend = Backend::start(|number, _| match number {
        0 => Reply::Status("429 Slow down\r\nRetry-After: 1", String::new()),
        1 => {
            // Dates have whole seconds: two from now is between one and two.
            let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
            let status = format!("503 Busy\r\nRetry-After: {date}");
            Reply::Status(Box::leak(status.into_boxed_str()), String::new())
        }
        _ => OK,
    });
    let shippers = Shippers::start(vec![http("main", &backend.url)], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    shard.ship(&*outlet, 0, 0, &["a"]);
    shard.answers.wait(1);
    let at: Vec<Instant> = backend.requests().iter().map(|request| request.at).collect();
    let waits = [at[1] - at[0], at[2] - at[1]];
    assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(990)), "{waits:?}");
    assert!(waits[0] < Duration::from_millis(1900) && waits[1] < Duration::from_millis(3000), "{waits:?}");
}

/// A refusal is lost, counted with what the server said but without the secret that it repeats, and the next passes.
#[test]
fn what_the_server_refuses_for_good_is_lost_and_the_next_is_delivered() {
    let backend = Backend::start(|number, _| match number {
        1 => Reply::Status("400 Bad", "no such index\nfor Bearer hunter2".into()),
        _ => OK,
    });
    let shippers = Shippers::start(vec![http("main", &backend.url)], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    for (id, message) in ["a", "refused", "c"].into_iter().enumerate() {
        shard.ship(&*outlet, 0, id as u64, &[message]);
    }
    let expected = [(0, Outcome::Delivered), (1, Outcome::Lost(Lost::Refused)), (2, Outcome::Delivered)];
    assert_eq!(shard.answers.wait(3), expected);
    let stats = shippers.stats().swap_remove(0);
    assert_eq!((stats.delivered_records, stats.refused_records, stats.refused_input_bytes), (2, 1, 8));
    assert_eq!((stats.retries, stats.delivered_input_bytes, stats.credit_used), (0, 4, 0));
    let error = stats.last_error.expect("error").text;
    assert_eq!(error, "400 Bad Request: no such index\\nfor ***");
}

/// What goes over the wire: method and path (the backend checks), headers, a body that the named decoder opens.
#[test]
fn requests_say_what_they_carry() {
    let backend = Backend::start(|_, _| OK);
    let mut configs = Vec::new();
    for compression in Compression::ALL {
        let mut config = http(compression.name(), &backend.url);
        config.compression = compression;
        configs.push(config);
    }
    let shippers = Shippers::start(configs, 1, 1).expect("start");
    let shard = Shard::new();
    for (id, compression) in Compression::ALL.into_iter().enumerate() {
        let outlet = shippers.outlet(compression.name()).expect("outlet");
        shard.ship(&*outlet, 0, 0, &["one", "two"]);
        shard.answers.wait(id + 1);
        let request = backend.requests().swap_remove(id);
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(request.header("authorization"), Some("Bearer hunter2"));
        assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("ringtail/")));
        assert_eq!(request.header("content-encoding"), compression.content_encoding());
        let body = match compression {
            Compression::None => request.body,
            Compression::Zstd => zstd::decode_all(&request.body[..]).expect("zstd"),
            Compression::Lz4 => read(lz4_flex::frame::FrameDecoder::new(&request.body[..])),
            Compression::Gzip => read(flate2::read::MultiGzDecoder::new(&request.body[..])),
        };
        assert_eq!(messages(&body), ["one", "two"]);
    }
}

/// Nothing listens at the first output's address. The second one, served by the same packer, delivers everything.
#[test]
fn a_dead_backend_stops_no_other_output_and_gets_everything_when_it_is_back() {
    let address = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        closed.local_addr().expect("address")
    };
    let alive = Backend::start(|_, _| OK);
    let configs = vec![http("dead", &format!("http://{address}/ingest")), http("alive", &alive.url)];
    let shippers = Shippers::start(configs, 1, 1).expect("start");
    let (to_dead, to_alive) = (Shard::new(), Shard::new());
    let dead = shippers.outlet("dead").expect("outlet");
    let outlet = shippers.outlet("alive").expect("outlet");
    for id in 0..50 {
        to_dead.ship(&*dead, 0, id, &["late"]);
        to_alive.ship(&*outlet, 0, id, &["now"]);
    }
    assert!(all_delivered(&to_alive.answers.wait(50)));
    assert_eq!(to_dead.answers.so_far(), []);
    eventually("an error is shown", || shippers.stats()[0].last_error.is_some());
    let error = shippers.stats()[0].last_error.clone().expect("error").text;
    assert!(error.to_lowercase().contains("refused"), "{error}");

    let listener = std::net::TcpListener::bind(address).expect("the port is free again");
    let _back = Backend::on(listener, |_, _| OK);
    let answers = to_dead.answers.wait(50);
    assert_eq!(answers, (0..50).map(|id| (id, Outcome::Delivered)).collect::<Vec<_>>());
}

/// The backend never answers: the batches that wait never hold more than the output's share, their credit is exactly
/// what their payloads hold, and their slabs are free again.
#[test]
fn what_waits_for_a_slow_backend_stays_within_the_output_s_share() {
    let backend = Backend::start(|_, _| Reply::Late(PATIENCE));
    let mut config = http("main", &backend.url);
    config.payload_bytes = 64 << 10;
    let shippers = Shippers::start(vec![config], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    let message = "x".repeat(1000);
    let full = || !shard.try_ship(&*outlet, 0, 0, &[message.as_str(); 4]);
    eventually("the share is used up and everything is encoded", || {
        full() && outlet.queue_credit(0).used() == 0 && !backend.requests().is_empty() && full()
    });
    let payload_bytes = backend.requests()[0].body.len();
    let stats = shippers.stats().swap_remove(0);
    let in_flight = usize::try_from(stats.in_flight).expect("few");
    assert_eq!(stats.credit_used, in_flight * payload_bytes);
    assert!(stats.credit_used <= 64 << 10 && in_flight >= 12, "{stats:?}");
    eventually("all slabs are back", || shard.slabs.idle() > 0 && shard.slabs.take().is_some());
    assert_eq!(backend.requests().len(), 1, "one request in flight a lane");
    shippers.stop(Instant::now());
    assert_eq!((outlet.credit().used(), shard.answers.so_far().len()), (0, in_flight));
}

/// A server that takes a request and says nothing does not hold up a stop.
#[test]
fn a_stop_gives_up_a_hanging_request_at_its_deadline() {
    let backend = Backend::start(|number, _| if number == 0 { OK } else { Reply::Late(PATIENCE) });
    let shippers = Shippers::start(vec![http("main", &backend.url)], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    for id in 0..4 {
        shard.ship(&*outlet, 0, id, &["a"]);
    }
    shard.answers.wait(1);
    let start = Instant::now();
    let left = shippers.stop(within(Duration::from_millis(300)));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_millis(2300), "{took:?}");
    assert_eq!((left.len(), left[0].output.as_str(), left[0].batches), (1, "main", 3));
    assert!(shard.answers.so_far()[1..].iter().all(|(_, outcome)| *outcome == Outcome::Returned));
    // What comes after the end is returned at once.
    shard.ship(&*outlet, 0, 9, &["late"]);
    assert_eq!(shard.answers.wait(5)[4], (9, Outcome::Returned));
}

/// What was handed over before a stop is still delivered by it.
#[test]
fn a_stop_delivers_what_is_queued() {
    let backend = Backend::start(|_, _| Reply::Late(Duration::from_millis(20)));
    let shippers = Shippers::start(vec![http("main", &backend.url)], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    for id in 0..10 {
        shard.ship(&*outlet, 0, id, &["a"]);
    }
    assert_eq!(shippers.stop(within(PATIENCE)), []);
    assert_eq!(shard.answers.so_far(), (0..10).map(|id| (id, Outcome::Delivered)).collect::<Vec<_>>());
}

/// A request that takes longer than its timeout is made again.
#[test]
fn a_request_that_takes_too_long_is_tried_again() {
    let backend = Backend::start(|number, _| if number == 0 { Reply::Late(PATIENCE) } else { OK });
    let mut config = http("main", &backend.url);
    set_timeout(&mut config, Duration::from_millis(200));
    let shippers = Shippers::start(vec![config], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    shard.ship(&*outlet, 0, 0, &["a"]);
    assert!(all_delivered(&shard.answers.wait(1)));
    assert_eq!(shippers.stats()[0].retries, 1);
}

/// A server whose certificate nobody vouches for (here one that does not even speak TLS) gets nothing.
#[test]
fn https_is_not_spoken_in_the_clear() {
    let backend = Backend::start(|_, _| OK);
    let mut config = http("main", &backend.url.replace("http://", "https://"));
    set_timeout(&mut config, Duration::from_millis(300));
    let shippers = match Shippers::start(vec![config], 1, 1) {
        Ok(shippers) => shippers,
        // A machine without certificates says so instead of skipping the check.
        Err(error) => return assert!(matches!(error, StartError::Tls { .. }), "{error}"),
    };
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    shard.ship(&*outlet, 0, 0, &["a"]);
    eventually("an attempt fails", || shippers.stats()[0].retries > 0);
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn wrong_urls_and_headers_are_told_without_their_secrets() {
    let start = |sink| Shippers::start(vec![output("main", sink)], 1, 1).expect_err("wrong").to_string();
    let sink = |url: &str, name: &str, value: &str| SinkConfig::Http {
        url: url.into(),
        headers: vec![(name.into(), Secret::new(value))],
        timeout: PATIENCE,
    };
    let url = "ftp://user:hunter2@host/";
    for text in [
        start(sink(url, "a", "b")),
        start(sink("http://:hunter2@/", "a", "b")),
        start(sink("http://host/", "a b", "hunter2")),
        start(sink("http://host/", "a", "hunter2\n")),
        format!("{:?}", output("main", sink(url, "a", "hunter2"))),
    ] {
        assert!(text.contains("main") && !text.contains("hunter2"), "{text}");
    }
}

fn set_timeout(config: &mut OutputConfig, time: Duration) {
    if let SinkConfig::Http { timeout, .. } = &mut config.sink {
        *timeout = time;
    }
}

fn read(mut reader: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("decodes");
    bytes
}
