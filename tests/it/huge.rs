//! A log that was never rotated: positions beyond what 32 bits hold.

use std::fs::File;

use crate::support::log::Log;
use crate::support::program::Io;
use crate::support::scene::{Scene, append, good_sink, require_exact};

crate::support::on_both_backends! {
    a_log_beyond_four_gigabytes_goes_on_where_it_was;
}

/// Twelve GiB of nothing before what is written: begun near its end, stopped and rotated.
fn a_log_beyond_four_gigabytes_goes_on_where_it_was(io: Io) {
    let (scene, sink) = (Scene::new(io), good_sink());
    let path = scene.logs().join("0.log");
    let sparse = File::create(&path).expect("a file");
    sparse.set_len(12 << 30).expect("a file system that knows holes");
    // The end of the line in whose middle it will begin.
    append(&path, b"\n");
    let mut log = Log::of("huge", path.clone());
    let config = scene.config().path(&path).start("{last: 4KiB}").files("input: cri");
    let config = config.http("main", &sink.url(), "");
    log.print(5);
    for round in 0..3 {
        let agent = scene.start(&config);
        require_exact(&sink, &log.written());
        log.print(1000);
        require_exact(&sink, &log.written());
        if round == 1 {
            log.rotate("20260102-030405");
            log.print(10);
            require_exact(&sink, &log.written());
        }
        agent.stop();
        log.print(10);
    }
}
