//! A writer at full speed whose log is rotated every 100 ms, in every way.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringtail_agent::demo::{Verdict, kubelet};

use crate::support::all;
use crate::support::log::Log;
use crate::support::metrics::{count, free_addr, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, settle, verdict};
use crate::support::until;

crate::support::on_both_backends! {
    renamed_every_100_ms;
    renamed_and_compressed_every_100_ms;
    copied_and_truncated_every_100_ms;
    truncated_every_100_ms;
    unlinked_and_recreated_every_300_ms;
}

const EVERY: Duration = Duration::from_millis(100);

/// Rotated files that are kept: of five seconds.
const KEPT: u32 = 50;

/// How the log is rotated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Rename,
    Gzip,
    CopyTruncate,
    Truncate,
    Unlink,
}

/// What the writer did.
struct Done {
    log: Log,
    /// Bytes of the log.
    bytes: u64,
    rotations: u32,
}

fn renamed_every_100_ms(io: Io) {
    run(io, Way::Rename, EVERY);
}

fn renamed_and_compressed_every_100_ms(io: Io) {
    run(io, Way::Gzip, EVERY);
}

/// logrotate's copytruncate, with numbered copies, as many of which are kept as a loaded machine may be late by.
fn copied_and_truncated_every_100_ms(io: Io) {
    run(io, Way::CopyTruncate, EVERY);
}

/// Emptied in place, without a copy: what was not read is gone, and what was known of that is counted. What comes is whole, in
/// order, and comes once; a message whose rest is gone is marked.
fn truncated_every_100_ms(io: Io) {
    run(io, Way::Truncate, EVERY);
}

/// As dockerd with `max-file=1`. A file has to be there long enough to be opened.
fn unlinked_and_recreated_every_300_ms(io: Io) {
    run(io, Way::Unlink, 3 * EVERY);
}

fn run(io: Io, way: Way, every: Duration) {
    let (scene, sink, admin) = (Scene::new(io), good_sink(), free_addr());
    let path = scene.logs().join("0.log");
    let config = scene.config().admin(admin).path(&path).http("main", &sink.url(), "compression: lz4,");
    let log = Log::create(path);
    let mut agent = scene.start(&config);
    until("it runs", PATIENCE, || scene.said().contains(" started"));
    let time = Duration::from_secs(if all() { 60 } else { 3 });
    let Done { mut log, mut bytes, rotations } =
        write(log, way, every, time).join().expect("the writer ends well");
    settle(&sink, &log.written(), Duration::from_secs(12));
    agent.must_live();
    // Whatever is gone by now, what comes from now on is not.
    let (before, held) = (sink.verifier().messages(), size(log.path()));
    log.print(100);
    until("what is printed after the storm arrives", PATIENCE, || sink.verifier().messages() >= before + 100);
    bytes += size(log.path()) - held;
    let written = log.written();
    let total = |name: &str, label: &str| count(metric(admin, name, label).expect("metrics"));
    let read = total("ringtail_read_bytes_total", "");
    let truncated = total("ringtail_lost_bytes_total", "reason=\"truncated\"");
    let counted = total("ringtail_lost_bytes_total", "");
    agent.stop();
    let verdict = verdict(&sink, &written);
    println!(
        "FIG {} {rotations} rotations of {} MB: {verdict}; {bytes} bytes, {read} read, {counted} counted as lost, {truncated} truncated",
        name(way),
        bytes / 1_000_000
    );
    assert!(rotations > 5, "it was rotated");
    match way {
        // In a minute, a busy machine may be behind by more than `hold_deleted` lets it hold of what is removed (1 GiB), or later than the
        // copies that are kept, and miss a file that was there for 300 ms.
        Way::Rename | Way::Gzip | Way::CopyTruncate | Way::Unlink if all() && verdict.lost > 0 => {
            assert!(Verdict { lost: 0, ..verdict.clone() }.exact(), "{verdict}");
            // What is removed is held open until it was read, or given up; nothing was emptied.
            assert!(
                !matches!(way, Way::Rename | Way::Gzip) || truncated == 0,
                "{truncated} bytes: {verdict}"
            );
            // Of a line that was read in part, when the rest went with its file, all is lost.
            let most = bytes + 4096 * u64::from(rotations);
            assert!(
                way == Way::Unlink || (bytes..most).contains(&(read + counted)),
                "{counted} of {} bytes are counted",
                bytes - read
            );
        }
        Way::Rename | Way::Gzip | Way::CopyTruncate | Way::Unlink => {
            assert!(verdict.exact(), "{verdict}");
            assert_eq!(counted, 0, "bytes are counted and arrived");
        }
        Way::Truncate => {
            assert!(verdict.repeated == 0 && verdict.out_of_order == 0, "{verdict}");
            // A part whose rest is gone, of either stream, is delivered and marked.
            assert!(verdict.damaged <= 2 * u64::from(rotations), "{verdict}");
            // Each truncation that was met is told: with what it lost, or that this is not known.
            let told = ["bytes were lost unread", "was emptied or made anew"];
            let told = told.map(|text| scene.said().matches(text).count()).into_iter().sum::<usize>();
            println!("FIG truncate: {told} of {rotations} were met and told");
            assert!(told > usize::try_from(rotations / 5).expect("few"), "{told} of {rotations}: {verdict}");
            // What is known is counted, once: a byte is read, or counted, or gone before anybody saw it.
            assert!(verdict.lost > 0 && truncated == counted, "{truncated} of {counted} bytes");
            assert!(truncated > 0 || !all(), "in a minute, some of what is gone was seen: {verdict}");
            assert!(read + counted <= bytes, "{read} read and {counted} counted of {bytes}: {verdict}");
            assert!(
                verdict.delivered > 0 && verdict.delivered + verdict.lost == verdict.written,
                "{verdict}"
            );
        }
    }
}

fn name(way: Way) -> &'static str {
    match way {
        Way::Rename => "rename",
        Way::Gzip => "rename and gzip",
        Way::CopyTruncate => "copytruncate",
        Way::Truncate => "truncate",
        Way::Unlink => "unlink and recreate",
    }
}

/// Prints as fast as it can and rotates in between.
fn write(mut log: Log, way: Way, every: Duration, time: Duration) -> JoinHandle<Done> {
    thread::spawn(move || {
        let began = Instant::now();
        let (mut bytes, mut rotations, mut rotated_at) = (0, 0, began);
        let mut compressing: Option<JoinHandle<()>> = None;
        while began.elapsed() < time {
            log.print(50);
            if rotated_at.elapsed() < every {
                continue;
            }
            rotated_at = Instant::now();
            rotations += 1;
            bytes += size(log.path());
            match way {
                Way::Rename => {
                    log.rotate(&suffix(rotations));
                    remove_oldest(log.path(), rotations);
                }
                Way::Gzip => {
                    let rotated = log.rotate(&suffix(rotations));
                    // One at a time, while the next file is written.
                    compressing.take().map(JoinHandle::join).transpose().expect("compressed");
                    compressing =
                        Some(thread::spawn(move || kubelet::compress(&rotated).expect("compressed")));
                    remove_oldest(log.path(), rotations);
                }
                Way::CopyTruncate => {
                    let numbered = |number: u32| kubelet::with_suffix(log.path(), &number.to_string());
                    shift(numbered, KEPT);
                    log.copytruncate("1");
                }
                Way::Truncate => log.truncate(),
                Way::Unlink => log.unlink(),
            }
        }
        compressing.map(JoinHandle::join).transpose().expect("compressed");
        bytes += size(log.path());
        Done { log, bytes, rotations }
    })
}

/// `.1` becomes `.2` and so on; the last one goes.
fn shift(numbered: impl Fn(u32) -> PathBuf, keep: u32) {
    for number in (1..keep).rev() {
        // The first rounds have fewer copies.
        let _ = fs::rename(numbered(number), numbered(number + 1));
    }
}

/// What was rotated too long ago, compressed or not, goes.
fn remove_oldest(path: &Path, rotations: u32) {
    if let Some(oldest) = rotations.checked_sub(KEPT) {
        for ending in ["", ".gz"] {
            // The first rounds have fewer, and either is there.
            let _ = fs::remove_file(kubelet::with_suffix(path, &format!("{}{ending}", suffix(oldest))));
        }
    }
}

/// Ascending, as kubelet's.
fn suffix(rotation: u32) -> String {
    format!("20260102-{:02}{:02}{:02}", rotation / 3600, rotation / 60 % 60, rotation % 60)
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}
