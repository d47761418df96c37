//! Checkpoint files with single bits flipped, and one of another version.

use std::fs;

use crate::support::all;
use crate::support::log::Log;
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact, settle, verdict};

crate::support::on_both_backends! {
    flipped_bits_lose_nothing;
    a_checkpoint_of_another_version_is_an_error_and_kept;
}

/// Wherever a bit is flipped, the agent starts, loses nothing, and either knows its positions or says that it does not.
fn flipped_bits_lose_nothing(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut logs: Vec<Log> = (0..5).map(|log| Log::create(scene.logs().join(format!("{log}.log")))).collect();
    let config = scene.config().path(&scene.logs().join("*.log")).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    for log in &mut logs {
        log.print(100);
        require_exact(&sink, &log.written());
    }
    agent.stop();
    let file = scene.path("data/checkpoint.redb");
    let mut random = fastrand::Rng::with_seed(7);
    let (rounds, mut resets) = (if all() { 300 } else { 12 }, 0);
    for round in 0..rounds {
        let mut bytes = fs::read(&file).expect("the checkpoint");
        // Where there is something; a quarter of them in the header.
        let place = loop {
            let end = if round % 4 == 0 { 512 } else { bytes.len() };
            let place = random.usize(0..end);
            if bytes[place] != 0 {
                break place;
            }
        };
        bytes[place] ^= 1 << random.u8(0..8);
        fs::write(&file, bytes).expect("written");
        let before = (sink.verifier().repeated(), resets_told(&scene));
        let agent = scene.start(&config);
        for log in &mut logs {
            log.print(10);
            settle(&sink, &log.written(), PATIENCE);
        }
        agent.stop();
        let after = (sink.verifier().repeated(), resets_told(&scene));
        let was_reset = after.1 > before.1;
        resets += u32::from(was_reset);
        assert!(was_reset || after.0 == before.0, "bit flipped at {place}: repeated without a word");
    }
    for log in &logs {
        let verdict = verdict(&sink, &log.written());
        assert!(verdict.nothing_lost(), "{verdict}");
    }
    println!("FIG {rounds} flipped bits, {resets} of them in use: nothing lost");
}

fn resets_told(scene: &Scene) -> usize {
    let said = scene.said();
    said.lines().filter(|line| line.contains("\"ERROR\"") && line.contains("checkpoint")).count()
}

/// Where redb's header says the version of its format, twice.
const VERSIONS: [usize; 2] = [64, 192];

/// Somebody went back to an older build: it says so and ends, and the right one goes on without repeating.
fn a_checkpoint_of_another_version_is_an_error_and_kept(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let mut log = Log::create(scene.logs().join("0.log"));
    let config = scene.config().path(log.path()).http("main", &sink.url(), "");
    let agent = scene.start(&config);
    log.print(100);
    require_exact(&sink, &log.written());
    agent.stop();
    let file = scene.path("data/checkpoint.redb");
    let whole = fs::read(&file).expect("the checkpoint");
    let mut later = whole.clone();
    VERSIONS.iter().for_each(|at| later[*at] = 9);
    fs::write(&file, &later).expect("written");
    log.print(100);
    let mut refusing = scene.start(&config);
    let status = refusing.0.wait(PATIENCE).expect("it ends by itself");
    assert_eq!(status.code(), Some(1));
    let said = scene.said();
    let told = said.contains("checkpoint.redb") && said.contains("run the version of ringtail that wrote it");
    assert!(told && !said.contains("set aside"), "{said}");
    assert_eq!(fs::read(&file).expect("it is there"), later);
    fs::write(&file, &whole).expect("written");
    let agent = scene.start(&config);
    require_exact(&sink, &log.written());
    agent.stop();
    assert_eq!(sink.verifier().repeated(), 0);
}
