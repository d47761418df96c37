//! Checkpoint files with single bits flipped.

use std::fs;

use crate::support::all;
use crate::support::log::Log;
use crate::support::program::Io;
use crate::support::scene::{PATIENCE, Scene, good_sink, require_exact, settle, verdict};

crate::support::on_both_backends! {
    flipped_bits_lose_nothing;
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
