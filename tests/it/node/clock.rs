//! A clock that jumps by hours and years.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use ringtail_agent::demo::Sink;
use ringtail_agent::demo::http::Answer;
use ringtail_agent::demo::sink::Reply;

use crate::support::log::Log;
use crate::support::metrics::{free_addr, get};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, require_exact};
use crate::support::{not_run, until};

crate::support::on_both_backends! {
    a_wall_clock_that_jumps_changes_nothing;
}

/// By what the agent's wall clock is wrong, one after the other.
const JUMPS: [&str; 8] = ["+2h", "-3h", "+5y", "+5y", "-4y", "-30d", "+90s", "+0"];

/// Puts a wall clock of its own into a program that asks libc for the time. Files keep the times of the machine.
struct Clock {
    preload: PathBuf,
    offset: PathBuf,
}

impl Clock {
    fn new(scene: &Scene) -> Result<Self, &'static str> {
        let lib = fs::read_dir("/usr/lib").map_err(|_| "there is no /usr/lib")?;
        let mut dirs = lib.flatten().map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
        let preload =
            dirs.find(|path| path.exists()).ok_or("libfaketime is not installed (apt install faketime)")?;
        let clock = Clock { preload, offset: scene.path("offset") };
        clock.jump("+0");
        Ok(clock)
    }

    /// From now on the clock is wrong by this.
    fn jump(&self, offset: &str) {
        let next = self.offset.with_extension("next");
        fs::write(&next, format!("{offset}\n")).expect("written");
        fs::rename(next, &self.offset).expect("renamed");
    }

    fn wrap(&self) -> Vec<String> {
        let variables = [
            format!("LD_PRELOAD={}", self.preload.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.offset.display()),
        ];
        let settings = ["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"];
        ["env".to_owned()].into_iter().chain(variables).chain(settings.map(str::to_owned)).collect()
    }
}

/// A backend that refuses some requests, so that there are waits and retries at every jump.
fn moody_sink() -> Sink {
    let requests = AtomicU32::new(0);
    let reply = move || match requests.fetch_add(1, Relaxed) % 7 {
        1 => Reply::refused(Answer::Status(503)),
        4 => Reply::refused(Answer::Reset),
        6 => Reply::refused(Answer::TooMany(1)),
        _ => Reply::OK,
    };
    Sink::start(reply).expect("a sink on the loopback address")
}

/// The counters; each is finite and not below what it was.
#[track_caller]
fn require_sane(admin: SocketAddr, before: &mut BTreeMap<String, f64>) {
    let (_, page) = get(admin, "/metrics").expect("served");
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        let value: f64 = value.parse().expect("a number");
        assert!(value.is_finite() && value >= 0.0, "{line}");
        if series.contains("_total") {
            let last = before.insert(series.to_owned(), value).unwrap_or_default();
            assert!(value >= last, "{line} after {last}");
        }
    }
}

/// Rotations, retries and a restart while the wall clock jumps: each record once and in order, soon, and sane metrics.
fn a_wall_clock_that_jumps_changes_nothing(io: Io) {
    let (scene, sink, admin) = (Scene::new(io), moody_sink(), free_addr());
    let clock = match Clock::new(&scene) {
        Ok(clock) => clock,
        Err(why) => return not_run("a wall clock that jumps", why),
    };
    let mut logs: Vec<Log> =
        ["a", "b"].map(|name| Log::create(scene.logs().join(format!("{name}.log")))).into();
    let config = scene.config().admin(admin).path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let wrap = clock.wrap();
    let wrap: Vec<&str> = wrap.iter().map(String::as_str).collect();
    let start = || scene.start_under(&config, &wrap);
    let (mut agent, mut counters) = (start(), BTreeMap::new());
    for (round, jump) in JUMPS.iter().enumerate() {
        logs.iter_mut().for_each(|log| log.print(200));
        clock.jump(jump);
        for log in &mut logs {
            let rotated = log.rotate(&format!("20260102-0304{round:02}"));
            log.print(200);
            if round % 2 == 1 {
                ringtail_agent::demo::kubelet::compress(&rotated).expect("compressed");
            }
        }
        if round == 4 {
            agent.stop();
            logs.iter_mut().for_each(|log| drop(log.rotate("20260102-030504")));
            (agent, counters) = (start(), BTreeMap::new());
        }
        logs.iter_mut().for_each(|log| log.print(200));
        logs.iter().for_each(|log| require_exact(&sink, &log.written()));
        until("it is well and says so", PATIENCE, || {
            get(admin, "/healthz").is_some_and(|(status, _)| status == 200)
        });
        require_sane(admin, &mut counters);
    }
    agent.stop();
    logs.iter().for_each(|log| require_exact(&sink, &log.written()));
    require_jumps_were_seen(&scene.said());
}

/// The agent's own lines have its wall time: without several years among them nothing was tried.
#[track_caller]
fn require_jumps_were_seen(said: &str) {
    let lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut years: Vec<String> =
        lines.filter_map(|line| Some(line["timestamp"].as_str()?.get(..4)?.to_owned())).collect();
    years.sort_unstable();
    years.dedup();
    assert!(years.len() > 1, "{years:?}: {said}");
}
