//! Scenes that are too rare for seeds, step by step.

use std::sync::Arc;
use std::time::Duration;

use ringtail_io::sim::{Faults, World};
use ringtail_parse::{Input, Limits};
use ringtail_read::Start;
use ringtail_record::Outcome;

use super::backend::Backend;
use super::process::{NO_WAIT, Process, Size};
use crate::config::{BatchLimits, Pipeline, PipelineOutput};
use crate::maps::HashMap;
use crate::scanning::Order;
use crate::shard::Message;

const SIZE: Size = Size { shards: 1, memory: 32 << 20, open_files: 100, piece: NO_WAIT };

fn start(world: &World, pipelines: Vec<Pipeline>) -> Process {
    world.mkdir_all("/data").expect("an empty world");
    Process::start(world, Arc::new(world.fs()), SIZE, pipelines).expect("an empty checkpoint")
}

fn turn(process: &mut Process) {
    process.step_scanner();
    process.step_shard(0);
}

/// The shards know of other pipelines before the scanner does: a look that ends between says nothing of what these want. Files that
/// are there would count as new to them, and be read from their beginning.
#[test]
fn a_look_that_ends_after_a_reload_is_not_the_one_that_new_pipelines_wait_for() {
    let world = World::new(1);
    let mut process = start(&world, Vec::new());
    let epoch = process.activity.begin();
    process.tell_all(|| Message::Pipelines(HashMap::default(), epoch));
    (0..5).for_each(|_| turn(&mut process));
    assert!(!process.is_idle(), "nothing was seen of what the new pipelines want");
    process.orders.send(Order::Specs(Vec::new(), epoch)).expect("the scanner is in this process");
    (0..5).for_each(|_| turn(&mut process));
    assert!(process.is_idle());
}

/// An output gives back what it had, so that the reader does not know what lies before its position; the log is emptied in place
/// just then and grows past it, nothing can be looked at, and some reads fail: the beginning of the file tells, once it can be read.
#[test]
fn a_reader_that_was_sent_back_does_not_go_on_in_the_middle_of_a_line() {
    for seed in 0..50 {
        let world = World::new(seed);
        world.mkdir_all("/logs").expect("an empty world");
        let lines =
            |what: &str| -> Vec<String> { (0..200).map(|number| format!("{number} {what}")).collect() };
        let (old, new) = (lines("of the first file"), lines("of the file that came after it"));
        world.append("/logs/app.log", old.join("\n") + "\n").expect("a new file");
        let backend = Arc::new(Backend::new("out".to_owned(), 1, 1 << 20, true));
        let mut process = start(&world, vec![pipeline(&backend)]);
        let mut got = Vec::new();
        let go_on = |process: &mut Process| {
            for _ in 0..20 {
                world.advance(Duration::from_millis(200));
                turn(process);
            }
        };
        go_on(&mut process);
        let mut deliver = || {
            let messages = backend.deliver(0)?;
            got.extend(messages.into_iter().map(|message| message.body));
            backend.answer(0, Outcome::Delivered);
            Some(())
        };
        deliver().expect("the first lines");
        backend.give_back(0, 0, |_| 0);
        world.copy("/logs/app.log", "/logs/app.log.1").expect("there");
        world.truncate("/logs/app.log", 0).expect("there");
        world.append("/logs/app.log", new.join("\n") + "\n").expect("there");
        world.set_faults(Faults {
            stat_error: 1.0,
            read_dir_error: 1.0,
            open_error: 1.0,
            read_error: 0.5,
            ..Faults::none()
        });
        go_on(&mut process);
        world.set_faults(Faults::none());
        world.heal();
        for _ in 0..20 {
            go_on(&mut process);
            while deliver().is_some() {}
        }
        assert_eq!(got, [old, new].concat(), "seed {seed}");
    }
}

fn pipeline(backend: &Arc<Backend>) -> Pipeline {
    let batch = BatchLimits { max_bytes: 500, max_records: 100, max_delay: Duration::from_millis(50) };
    Pipeline {
        name: "logs".to_owned(),
        paths: vec!["/logs/*.log".to_owned()],
        exclude: Vec::new(),
        ignore_older: None,
        input: Input::Auto,
        limits: Limits { max_line: 1 << 20, max_record: 1 << 20 },
        flush_after: Duration::from_secs(3600),
        start: Start::Beginning,
        outputs: vec![PipelineOutput { name: backend.name.clone(), outlet: backend.clone(), batch }],
    }
}
