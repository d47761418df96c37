//! The data directory: damaged, not writable, taken.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::support::log::Log;
use crate::support::metrics::{free_addr, metric};
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact, settle, verdict};
use crate::support::until;

crate::support::on_both_backends! {
    a_damaged_checkpoint_is_told_counted_and_read_again;
    a_data_dir_that_cannot_be_written_is_an_error_that_names_it;
    a_second_agent_on_a_data_dir_waits_and_names_the_holder;
}

/// Every kind of damage: zeros in the middle, a file cut short, one of noise, an empty one.
fn a_damaged_checkpoint_is_told_counted_and_read_again(io: Io) {
    for (at, damage) in [zeroed as Damage, cut, noise, Vec::clear].into_iter().enumerate() {
        let admin = free_addr();
        let (scene, sink) = (Scene::new(io), good_sink());
        let mut log = Log::create(scene.logs().join("0.log"));
        log.print(200);
        let config = scene.config().admin(admin).path(log.path()).http("main", &sink.url(), "");
        let agent = scene.start(&config);
        require_exact(&sink, &log.written());
        agent.stop();
        let before = log.written().iter().map(|written| written.count()).sum::<u64>();

        for file in data_files(&scene) {
            let mut bytes = fs::read(&file).expect("read");
            damage(&mut bytes);
            fs::write(&file, bytes).expect("written");
        }
        let agent = scene.start(&config);
        log.print(100);
        settle(&sink, &log.written(), PATIENCE);
        until("what was there comes again", PATIENCE, || sink.verifier().repeated() >= before);
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.nothing_lost() && verdict.repeated == before, "damage {at}: {verdict}");
        let resets = metric(admin, "ringtail_checkpoint_resets_total", "");
        assert_eq!(resets.map(|resets| format!("{resets}")), Some("1".into()), "damage {at}");
        let said = scene.said().to_lowercase();
        assert!(said.contains("checkpoint") && said.contains("error"), "damage {at} is told");
        agent.stop();
        // The new one is sound.
        let agent = scene.start(&config);
        log.print(10);
        settle(&sink, &log.written(), PATIENCE);
        agent.stop();
        assert_eq!(sink.verifier().repeated(), before, "damage {at}");
    }
}

type Damage = fn(&mut Vec<u8>);

#[allow(clippy::ptr_arg, reason = "other damage changes the length")]
fn zeroed(bytes: &mut Vec<u8>) {
    let len = bytes.len();
    bytes[len / 8..].fill(0);
}

fn cut(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() / 2);
}

#[allow(clippy::ptr_arg, reason = "other damage changes the length")]
fn noise(bytes: &mut Vec<u8>) {
    let mut random = fastrand::Rng::with_seed(1);
    bytes.iter_mut().for_each(|byte| *byte = random.u8(..));
}

/// The files that hold the checkpoints: whatever is large enough to.
fn data_files(scene: &Scene) -> Vec<PathBuf> {
    let files = fs::read_dir(scene.path("data")).expect("a data directory");
    let files: Vec<PathBuf> = files
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() >= 4096))
        .collect();
    assert!(!files.is_empty());
    files
}

fn a_data_dir_that_cannot_be_written_is_an_error_that_names_it(io: Io) {
    let scene = Scene::new(io);
    // Root may write everywhere, but not below a file.
    fs::write(scene.path("data"), "a file").expect("written");
    let mut agent = scene.start(&scene.config().path(&scene.logs()).http("main", "http://127.0.0.1:9/", ""));
    let status = agent.0.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code().filter(|code| matches!(code, 1 | 2)), status.code());
    let said = scene.said();
    assert!(said.contains(scene.path("data").to_str().expect("UTF-8")), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

fn a_second_agent_on_a_data_dir_waits_and_names_the_holder(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().path(log.path()).http("main", &sink.url(), "");
    let mut first = scene.start(&config);
    log.print(100);
    require_exact(&sink, &log.written());
    let mut second = scene.start(&config);
    let holder = first.0.id().to_string();
    until("the second names the first", PATIENCE, || scene.said().contains(&holder));
    log.print(100);
    require_exact(&sink, &log.written());
    second.must_live();

    first.end(Signal::TERM);
    log.print(100);
    require_exact(&sink, &log.written());
    second.must_live();
    second.stop();
}
