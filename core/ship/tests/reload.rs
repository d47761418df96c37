//! What a reload keeps, changes and ends.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::backend::{Backend, OK, Reply};
use common::{PATIENCE, Shard, all_delivered, eventually, http, messages, output, within};
use ringtail_record::Outcome;
use ringtail_ship::{RETIRE_GRACE, Rotate, Shippers, SinkConfig, StartError};

/// An unchanged output is the same outlet as before; one that is added works, one that is gone is not found.
#[test]
fn an_unchanged_output_keeps_running_beside_those_that_come_and_go() {
    let backend = Backend::start(|_, _| OK);
    let (same, gone, new) = (http("same", &backend.url), output("gone", SinkConfig::Null), {
        let mut config = http("new", &backend.url);
        config.concurrency = 3;
        config
    });
    let shippers = Shippers::start(vec![same.clone(), gone], 2, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("same").expect("outlet"));
    shard.ship(&*outlet, 0, 0, &["before"]);
    shard.answers.wait(1);
    shippers.apply(vec![new, same]).expect("apply");
    let after = shippers.outlet("same").expect("outlet");
    assert!(std::ptr::addr_eq(std::sync::Arc::as_ptr(&outlet), std::sync::Arc::as_ptr(&after)));
    shard.ship(&*outlet, 0, 1, &["after"]);
    shard.answers.wait(2);
    assert!(shippers.outlet("gone").is_none());
    assert_eq!(shippers.outlet("new").expect("outlet").lanes(), 3);
    let names: Vec<_> =
        shippers.stats().into_iter().map(|stats| (stats.name, stats.delivered_records)).collect();
    assert_eq!(names, [("new".to_owned(), 0), ("same".to_owned(), 2)]);
    // One lane, one connection: nothing was reopened.
    assert_eq!(backend.connections(), 1);
}

/// A changed output delivers what it has where it was to go, and counts on; the new one begins empty.
#[test]
fn a_changed_output_finishes_its_old_work_at_the_old_place() {
    let old = Backend::start(|_, _| Reply::Late(Duration::from_millis(30)));
    let new = Backend::start(|_, _| OK);
    let shippers = Shippers::start(vec![http("main", &old.url)], 1, 1).expect("start");
    let shard = Shard::new();
    let outlet = shippers.outlet("main").expect("outlet");
    (0..5).for_each(|id| shard.ship(&*outlet, 0, id, &["old"]));
    shippers.apply(vec![http("main", &new.url)]).expect("apply");
    // A shard that has not noticed yet still hands over.
    shard.ship(&*outlet, 0, 5, &["old"]);
    drop(outlet);
    assert!(all_delivered(&shard.answers.wait(6)));
    shard.ship(&*shippers.outlet("main").expect("outlet"), 0, 6, &["new"]);
    assert!(all_delivered(&shard.answers.wait(7)));
    assert_eq!((old.requests().len(), new.requests().len()), (6, 1));
    assert_eq!(shippers.stats()[0].delivered_records, 7);
}

/// The new writer of a file waits for the old one, so that the two never write at once.
#[test]
fn a_changed_file_output_goes_on_in_the_same_file() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("out");
    let config = |rotate| output("main", SinkConfig::File { path: path.clone(), rotate });
    let shippers = Shippers::start(vec![config(None)], 2, 1).expect("start");
    let shard = Shard::new();
    let mut expected = Vec::new();
    for round in 0..5 {
        let outlet = shippers.outlet("main").expect("outlet");
        for n in 0..20 {
            expected.push(format!("{round}.{n}"));
            shard.ship(&*outlet, 0, expected.len() as u64, &[expected.last().expect("pushed")]);
        }
        let rotate = Rotate { max_bytes: 1 << 30, keep: round };
        drop(outlet);
        shippers.apply(vec![config(Some(rotate))]).expect("apply");
    }
    assert!(all_delivered(&shard.answers.wait(expected.len())));
    assert_eq!(messages(&fs::read(&path).expect("file")), expected);
}

/// A config that cannot start changes nothing.
#[test]
fn a_refused_reload_leaves_everything_running() {
    let backend = Backend::start(|_, _| OK);
    let shippers = Shippers::start(vec![http("main", &backend.url)], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    let null = output("null", SinkConfig::Null);
    for wrong in [
        vec![null.clone(), http("main", "nonsense")],
        vec![null.clone(), null.clone()],
        vec![{
            let mut config = null.clone();
            config.concurrency = 0;
            config
        }],
    ] {
        assert!(shippers.apply(wrong).is_err());
    }
    assert!(shippers.outlet("null").is_none());
    shard.ship(&*outlet, 0, 0, &["a"]);
    assert!(all_delivered(&shard.answers.wait(1)));
    shippers.stop(within(PATIENCE));
    assert!(matches!(shippers.apply(Vec::new()), Err(StartError::Stopped)));
}

/// A stop ends a retired output as well, whoever still holds its outlet.
#[test]
fn a_stop_ends_what_a_reload_left_behind() {
    let hangs = Backend::start(|_, _| Reply::Late(PATIENCE));
    let shippers = Shippers::start(vec![http("old", &hangs.url)], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("old").expect("outlet"));
    shard.ship(&*outlet, 0, 0, &["a"]);
    eventually("it is sent", || !hangs.requests().is_empty());
    shippers.apply(Vec::new()).expect("apply");
    let start = Instant::now();
    let left = shippers.stop(within(Duration::from_millis(100)));
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!((left.len(), left[0].batches), (1, 1));
    shard.ship(&*outlet, 0, 1, &["b"]);
    assert_eq!(shard.answers.wait(2), [(0, Outcome::Returned), (1, Outcome::Returned)]);
}

/// An old output whose backend is gone does not go on for ever: after its grace everything comes back, so that a wrong
/// URL can be corrected by a reload.
#[test]
fn an_old_output_that_cannot_finish_gives_its_batches_back() {
    let hangs = Backend::start(|_, _| Reply::Late(PATIENCE));
    let shippers = Shippers::start(vec![http("main", &hangs.url)], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("main").expect("outlet"));
    shard.ship(&*outlet, 0, 0, &["a"]);
    shard.ship(&*outlet, 0, 1, &["b"]);
    let start = Instant::now();
    shippers.apply(vec![output("main", SinkConfig::Null)]).expect("apply");
    assert_eq!(shard.answers.wait(2), [(0, Outcome::Returned), (1, Outcome::Returned)]);
    assert!(start.elapsed() >= RETIRE_GRACE && start.elapsed() < RETIRE_GRACE + Duration::from_secs(2));
    shard.ship(&*outlet, 0, 2, &["c"]);
    assert_eq!(shard.answers.wait(3)[2], (2, Outcome::Returned));
    assert_eq!(shippers.stop(Instant::now()), []);
}

/// Nothing is encoded and nothing waits: the answer is there before the hand-over returns.
#[test]
fn null_delivers_at_once() {
    let shippers = Shippers::start(vec![output("null", SinkConfig::Null)], 1, 1).expect("start");
    let (shard, outlet) = (Shard::new(), shippers.outlet("null").expect("outlet"));
    shard.ship(&*outlet, 0, 0, &["a", "bc"]);
    assert_eq!(shard.answers.so_far(), [(0, Outcome::Delivered)]);
    let stats = shippers.stats().swap_remove(0);
    assert_eq!((stats.delivered_records, stats.delivered_input_bytes, stats.delivered_bytes), (2, 5, 0));
    assert_eq!((outlet.credit().used(), outlet.queue_credit(0).used()), (0, 0));
    assert_eq!(shippers.stop(within(PATIENCE)), []);
}
