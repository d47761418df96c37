//! A rotated file is found when its log has a number already: it is read beside the log, which goes on where it was.

mod follower;

use std::fs;
use std::time::Duration;

use follower::{Follower, Saved, Writer};
use ringtail_read::{Change, LINGER, Lineage, LostReason, log_of};

struct Scene {
    log: Writer,
    /// What is found behind its successor, as `.1`.
    stray: Writer,
    follower: Follower,
}

impl Scene {
    /// A log with one rotated file, both read; then a second one lies between them.
    fn new(gz: bool) -> Self {
        let mut log = Writer::new("app.log");
        log.lines(20);
        log.rename("", ".1");
        log.gzip(".1");
        log.lines(20);
        let mut follower = Follower::new(std::slice::from_ref(&log.path));
        follower.look();
        let mut stray = Writer::new("unused");
        stray.lines_to(&log.sibling(".found"), 30);
        log.rename(".1.gz", ".2.gz");
        log.rename(".found", ".1");
        if gz {
            log.gzip(".1");
        }
        follower.look();
        let scene = Scene { log, stray, follower };
        scene.expect();
        scene
    }

    /// Stops and starts; what was written before counts no more.
    fn restart(&mut self, while_stopped: impl FnOnce(&mut Writer)) {
        self.log.written.clear();
        self.stray.written.clear();
        let nothing = Follower::new(&[]);
        let saved = std::mem::replace(&mut self.follower, nothing).save();
        while_stopped(&mut self.log);
        self.follower = Follower::with(std::slice::from_ref(&self.log.path), &saved, 1000);
        self.look();
    }

    fn look(&mut self) {
        self.follower.look();
        self.expect();
    }

    /// Each was read once, to its end and in order, and nothing else.
    #[track_caller]
    fn expect(&self) {
        let logs = &self.follower.logs;
        assert!(logs.keys().all(|lineage| log_of(lineage) == self.log.path), "{:?}", logs.keys());
        let read: Vec<&[u8]> = logs.values().map(|log| log.read.as_slice()).collect();
        assert!(read == [self.log.written.as_bytes(), self.stray.written.as_bytes()]);
        assert!(logs.values().all(|log| log.late.is_empty()));
        assert_eq!(self.follower.lost, []);
    }
}

#[test]
fn it_is_read_beside_the_log_over_restarts_and_rotations() {
    for gz in [false, true] {
        let (name, older) = if gz { (".1.gz", ".2.gz") } else { (".1", ".2") };
        let mut scene = Scene::new(gz);
        scene.log.lines(5);
        scene.look();
        scene.restart(|log| log.lines(7));
        scene.restart(|log| {
            log.rename(".2.gz", ".3.gz");
            log.rename(name, older);
            log.lines(3);
            log.rename("", ".1");
            log.lines(7);
        });
        scene.log.rename(".1", ".1.moved");
        scene.log.rename(older, &format!(".3{}", &older[2..]));
        scene.log.rename(".1.moved", ".2");
        scene.log.rename("", ".1");
        scene.log.lines(4);
        scene.look();
    }
}

#[test]
fn where_it_was_not_read_to_its_end_it_goes_on() {
    let mut scene = Scene::new(false);
    scene.restart(|_| ());
    let path = scene.log.sibling(".1");
    scene.stray.lines_to(&path, 5);
    scene.look();
    scene.restart(|log| log.rename(".1", ".2"));
    scene.stray.lines_to(&scene.log.sibling(".2"), 5);
    scene.look();
}

#[test]
fn with_its_file_its_lineage_ends() {
    let mut scene = Scene::new(false);
    scene.log.remove(".1");
    scene.look();
    scene.follower.pass(LINGER);
    scene.log.lines(5);
    scene.look();
    let finished: Vec<bool> = scene.follower.logs.values().map(|log| log.finished).collect();
    assert_eq!(finished, [false, true]);
    let lineages: Vec<_> = scene.follower.logs.keys().cloned().collect();
    assert!(scene.follower.scanner.forget(&lineages[1]));
    assert!(!scene.follower.scanner.forget(&lineages[0]), "the log is still there");
    assert_eq!(scene.follower.look().len(), 0, "nothing is told of what was forgotten");
}

/// The log and its other files go first: what the scanner knows of them stays until the stray has gone too.
#[test]
fn a_log_that_is_gone_is_forgotten_with_its_last_stray() {
    let mut scene = Scene::new(false);
    scene.log.remove("");
    scene.log.remove(".2.gz");
    scene.look();
    let lineages: Vec<_> = scene.follower.logs.keys().cloned().collect();
    assert!(scene.follower.scanner.forget(&lineages[0]));
    assert_eq!(scene.follower.scanner.lineages(), 1);
    scene.log.remove(".1");
    scene.look();
    assert!(scene.follower.scanner.forget(&lineages[1]));
    assert_eq!(scene.follower.scanner.lineages(), 0);
}

/// A log and its only rotated file, both read.
fn plain() -> (Writer, Follower) {
    let mut log = Writer::new("app.log");
    log.lines(20);
    log.rename("", ".1");
    log.lines(20);
    let mut follower = Follower::new(std::slice::from_ref(&log.path));
    follower.look();
    follower.expect(&log.written);
    (log, follower)
}

/// Lines that no other file has, as a file of the log.
fn put(log: &Writer, suffix: &str) {
    let mut others = Writer::new("unused");
    others.lines(500);
    others.lines_to(&log.sibling(suffix), 20);
}

/// The same with a stray as `.1`, stopped: what the checkpoint knows of the log and of the stray.
fn stopped() -> (Writer, Vec<Saved>) {
    let (mut log, mut follower) = plain();
    log.rename(".1", ".2");
    put(&log, ".1");
    follower.look();
    log.written.clear();
    let saved = follower.save();
    assert_eq!(saved.len(), 2);
    (log, saved)
}

fn start(log: &Writer, saved: &[Saved]) -> Follower {
    let mut follower = Follower::with(std::slice::from_ref(&log.path), saved, 1000);
    follower.look();
    follower
}

/// It is found while the log is between its two names, or by the look that sees the rotation: the writer goes on in the renamed
/// file, as under kubelet until the runtime opens the new one.
#[test]
fn found_amid_a_rotation_it_does_not_end_the_rotated_log() {
    for is_made_anew in [false, true] {
        let (mut log, mut follower) = plain();
        log.rename(".1", ".3");
        log.rename("", ".1");
        put(&log, ".2");
        if is_made_anew {
            fs::File::create(&log.path).expect("the new log");
        }
        follower.look();
        assert_eq!(follower.logs.len(), 2);
        let to = log.sibling(".1");
        log.lines_to(&to, 5);
        follower.look();
        let read = &follower.logs.values().next().expect("the log").read;
        assert!(read.as_slice() == log.written.as_bytes());
    }
}

#[test]
fn found_while_the_log_is_away_it_does_not_end_the_log_that_comes_back() {
    let (mut log, mut follower) = plain();
    log.rename(".1", ".3");
    log.rename("", ".1");
    put(&log, ".2");
    follower.look();
    log.rename(".1", "");
    follower.look();
    let saved = follower.save();
    log.written.clear();
    log.lines(5);
    assert_eq!(start(&log, &saved).all_read(), log.written);
}

/// Readers have gone on to another file, and the one that they left is the log again: after a restart (as a checkpoint says it that
/// counted such a file among those of the log), or while it runs.
#[test]
fn a_file_that_is_the_log_again_is_read_from_its_beginning() {
    let (mut log, mut saved) = stopped();
    let stray = saved.pop().expect("the stray");
    saved[0].records.extend(stray.records);
    saved[0].claim = stray.claim;
    log.lines(5);
    let mut follower = start(&log, &saved);
    log.lines(5);
    follower.look();
    assert!(follower.all_read().ends_with(&log.written), "repeats, no loss");
    assert_eq!(follower.lost, []);

    let (mut log, mut follower) = plain();
    log.rename(".1", ".2");
    log.rename("", ".1");
    log.lines(10);
    follower.look();
    log.rename(".1", "");
    log.written.clear();
    log.lines(5);
    follower.look();
    log.lines(5);
    follower.look();
    assert!(follower.all_read().ends_with(&log.written), "repeats, no loss");
    assert_eq!(follower.lost, []);
}

/// A stray that was damaged has no record, and is gone when the log is rotated.
#[test]
fn its_number_is_not_given_to_another_file() {
    let (mut log, mut saved) = stopped();
    saved[1].records.clear();
    log.remove(".1");
    log.rename("", ".1");
    log.lines(30);
    for _ in 0..2 {
        // In whichever order they are restored.
        saved.reverse();
        assert_eq!(start(&log, &saved).all_read(), log.written);
    }
}

#[test]
fn a_log_of_which_only_a_stray_was_left_is_forgotten_after_a_restart() {
    let (log, saved) = stopped();
    log.remove("");
    log.remove(".2");
    let mut follower = start(&log, &saved[1..]);
    log.remove(".1");
    follower.look();
    assert!(follower.scanner.forget(&saved[1].lineage));
    assert_eq!(follower.scanner.lineages(), 0);
}

/// What was in it is lost, though what is in it now is another lineage.
#[test]
fn a_rotated_file_that_is_written_anew_in_its_place_counts_as_truncated() {
    let mut log = Writer::new("app.log");
    log.lines(20);
    log.rename("", ".1");
    log.lines(20);
    let mut follower = Follower::new(std::slice::from_ref(&log.path));
    let seen = follower.scanner.scan_all();
    let mut lineage = Lineage::new(seen[0].lineage.clone());
    lineage.apply(&seen[0], Duration::ZERO, |_| 0);
    let rotated = log.sibling(".1");
    fs::File::options().write(true).open(&rotated).expect("open").set_len(0).expect("truncated");
    put(&log, ".1");
    put(&log, ".1");
    let seen = follower.scanner.scan_all();
    let lost = |change: &Change| matches!(change, Change::Lost { reason: LostReason::Truncated, .. });
    let changes = lineage.apply(&seen[0], Duration::ZERO, |_| 0);
    assert!(changes.iter().any(lost), "{changes:?}");
}
