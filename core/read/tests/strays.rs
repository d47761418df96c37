//! A rotated file is found when its log has a number already: it is read beside the log, which goes on where it was.

mod follower;

use follower::{Follower, Writer};
use ringtail_read::{LINGER, log_of};

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
