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

/// An output gives back what it had; the file that is to be read again was rotated and is emptied just then, and nothing can be looked
/// at. Where a reader finds a file shorter than what was read of it, that may be a copy that has nothing more, or an emptied file, whose
/// rest is lost and counts.
#[test]
fn what_was_not_delivered_of_a_rotated_file_counts_where_it_is_emptied() {
    for seed in 0..20 {
        for left in ["", "something shorter\n"] {
            let world = World::new(seed);
            world.mkdir_all("/logs").expect("an empty world");
            let lines: Vec<String> = (0..200).map(|number| format!("{number} of the first file")).collect();
            let len = lines.iter().map(|line| line.len() + 1).sum::<usize>();
            world.append("/logs/app.log", lines.join("\n") + "\n").expect("a new file");
            let backend = Arc::new(Backend::new("out".to_owned(), 1, 1 << 20, true));
            let mut process = start(&world, vec![pipeline(&backend)]);
            let go_on = |process: &mut Process, turns: usize| {
                for _ in 0..turns {
                    world.advance(Duration::from_millis(200));
                    turn(process);
                }
            };
            go_on(&mut process, 20);
            let got = backend.deliver(0).expect("the first lines");
            let delivered: usize = got.iter().map(|message| message.body.len() + 1).sum();
            backend.answer(0, Outcome::Delivered);
            go_on(&mut process, 1);
            world.rename("/logs/app.log", "/logs/app.log.1").expect("there");
            world.append("/logs/app.log", "of the next file\n").expect("a new file");
            go_on(&mut process, 20);
            backend.give_back(0, 0, |_| 0);
            go_on(&mut process, 1);
            world.truncate("/logs/app.log.1", 0).expect("there");
            world.append("/logs/app.log.1", left).expect("there");
            world.set_faults(Faults {
                stat_error: 1.0,
                read_dir_error: 1.0,
                open_error: 1.0,
                ..Faults::none()
            });
            go_on(&mut process, 20);
            world.set_faults(Faults::none());
            world.heal();
            go_on(&mut process, 40);
            let lost: u64 = process.stats.lost.iter().map(|count| count.get()).sum();
            assert_eq!(lost, (len - delivered) as u64, "seed {seed}, {left:?}");
        }
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
