//! One incarnation of the collection in a world: scanner, shards and checkpoint, on one thread. It is put together as
//! [`Engine::start`](crate::Engine::start) does it, but for the threads.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use ringtail_io::sim::World;
use ringtail_io::{Clock, Fs, Io, Watch};
use ringtail_memory::{Budget, CarryPool, SlabPool};
use ringtail_read::{FileSpec, OpenFiles, Scanner};

use crate::activity::Activity;
use crate::checkpoint::{Changes, Checkpoint, CheckpointError, Restored};
use crate::checkpointer::{COMMIT_EVERY, CheckpointWriter, Order as Write, Store};
use crate::config::{HoldDeleted, Mode, Pipeline};
use crate::engine::restored::{restore_scanner, split_rows};
use crate::engine::spec;
use crate::maps::HashMap;
use crate::scanning::{Order, Scanning, ShardLink};
use crate::shard::{Message, Running, Shard, ShardParts};
use crate::stats::Stats;

/// Where the checkpoint lies in the world.
const CHECKPOINT: &str = "/data/checkpoint.redb";

/// No step waits: the world's time is the driver's.
pub(super) const NO_WAIT: Duration = Duration::ZERO;

/// What a run chooses for its processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) shards: usize,
    pub(super) memory: usize,
    pub(super) open_files: usize,
    /// How much of a look at everything is done in one turn: all of it, since no time passes in a turn, or one lineage.
    pub(super) piece: Duration,
}

/// One incarnation.
pub(super) struct Process {
    world: World,
    scanning: Scanning,
    pub(super) orders: Sender<Order>,
    shards: Vec<Shard>,
    links: Vec<ShardLink>,
    store: Store,
    rows: Receiver<Write>,
    pending: Changes,
    committed_at: Duration,
    pub(super) activity: Arc<Activity>,
    pub(super) stats: Arc<Stats>,
    pub(super) budget: Budget,
}

impl Process {
    /// Starts on what the checkpoint in `world` holds, with these pipelines.
    pub(super) fn start(
        world: &World,
        fs: Arc<dyn Fs>,
        size: Size,
        pipelines: Vec<Pipeline>,
    ) -> Result<Process, CheckpointError> {
        let (checkpoint, restored) = open_or_reset(world)?;
        for (key, row) in &restored.rows {
            world.note(format_args!("restored {} {}: {row:?}", key.output, key.lineage.display()));
        }
        let elsewhere = world.clone();
        let reopen = Box::new(move || open(&elsewhere).map(|(checkpoint, _)| checkpoint));
        let clock: Arc<dyn Clock> = Arc::new(world.clock());
        let open_files = OpenFiles::new(size.open_files);
        let stats = Arc::new(Stats::default());
        let (wishes, wished) = unbounded();
        let (writes, rows) = unbounded();
        let mut process = Process {
            scanning: {
                let mut scanner = Scanner::new(fs, clock.clone(), open_files.clone(), &[])
                    .expect("no patterns, none wrong");
                restore_scanner(&mut scanner, &restored);
                let watch: Box<dyn Watch> = Box::new(world.watcher());
                let (_, nothing) = unbounded();
                Scanning::new(
                    scanner,
                    watch,
                    clock.clone(),
                    (nothing, wished),
                    Vec::new(),
                    Arc::default(),
                    size.piece,
                )
            },
            orders: unbounded().0,
            shards: Vec::new(),
            links: Vec::new(),
            store: Store::new(checkpoint, reopen),
            rows,
            pending: Changes::default(),
            committed_at: clock.now(),
            activity: Arc::new(Activity::new(size.shards)),
            stats,
            budget: Budget::new(size.memory),
            world: world.clone(),
        };
        process.start_shards(size, &restored, &open_files, &wishes, &writes);
        process.set_pipelines(&restored, pipelines);
        Ok(process)
    }

    fn start_shards(
        &mut self,
        size: Size,
        restored: &Restored,
        open_files: &OpenFiles,
        wishes: &Sender<crate::shard::Wish>,
        writes: &Sender<Write>,
    ) {
        let (slabs, carries) = (SlabPool::new(&self.budget), CarryPool::new(&self.budget));
        for (number, rows) in split_rows(restored, size.shards).into_iter().enumerate() {
            let io = self.world.io();
            let (sender, messages) = unbounded();
            self.links.push(ShardLink { sender, waker: io.waker() });
            self.shards.push(Shard::new(ShardParts {
                number,
                io: Box::new(io),
                clock: Arc::new(self.world.clock()),
                slabs: slabs.clone(),
                carries: carries.clone(),
                open_files: open_files.clone(),
                hold_deleted: HoldDeleted::default(),
                mode: Mode::Follow,
                stats: self.stats.clone(),
                messages,
                answers: unbounded(),
                wishes: wishes.clone(),
                scanner: self.world.watcher().waker(),
                checkpoint: CheckpointWriter::to(writes.clone()),
                restored: rows,
                was_reset: restored.was_reset,
                activity: self.activity.clone(),
            }));
        }
        let (orders, ordered) = unbounded();
        self.orders = orders;
        self.scanning.orders = ordered;
        self.scanning.shards.clone_from(&self.links);
    }

    fn set_pipelines(&mut self, restored: &Restored, pipelines: Vec<Pipeline>) {
        let mut running = HashMap::default();
        let mut specs: Vec<FileSpec> = Vec::new();
        for (id, config) in (1..).zip(pipelines) {
            let name: Arc<str> = config.name.as_str().into();
            specs.push(spec(id, &config));
            let outputs = config.outputs.iter().map(|output| output.name.as_str().into()).collect();
            let (stats, has_started) = (self.stats.pipeline(&name), restored.pipelines.contains(&name));
            running.insert(id, Arc::new(Running { name, config, outputs, stats, has_started }));
        }
        let epoch = self.activity.begin();
        self.tell_all(|| Message::Pipelines(running.clone(), epoch));
        self.orders.send(Order::Specs(specs, epoch)).expect("the scanner is in this process");
    }

    /// One turn of the scanner.
    pub(super) fn step_scanner(&mut self) {
        self.scanning.step(NO_WAIT);
    }

    /// One turn of a shard.
    pub(super) fn step_shard(&mut self, number: usize) {
        self.shards[number].step(NO_WAIT);
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// What the checkpointer's thread does at this moment.
    pub(super) fn step_checkpoint(&mut self) {
        let now = self.world.clock().now();
        if now >= self.committed_at + COMMIT_EVERY {
            self.committed_at = now;
            self.commit();
        }
    }

    /// Commits all rows that were sent. True when they are on disk.
    pub(super) fn commit(&mut self) -> bool {
        for order in self.rows.try_iter() {
            if let Write::Write(changes) = order {
                self.pending.merge(changes);
            }
        }
        self.store.commit(&mut self.pending);
        self.pending.is_empty()
    }

    /// Where every view of every shard stands, in words.
    pub(super) fn standing(&self) -> String {
        let mut text = String::new();
        for followed in self.shards.iter().flat_map(|shard| shard.lineages.values()) {
            let _ = writeln!(text, "{}", followed.path.display());
            for known in followed.lineage.generations() {
                let _ = writeln!(text, "  {known:?}");
            }
            for view in &followed.views {
                let _ =
                    writeln!(text, "  view at {:?}, {:?}, of {:?}", view.read_at(), view.place, view.cursors);
            }
        }
        text
    }

    /// Whether a shard has the file with this inode number open: then it reads that to its end.
    pub(super) fn holds(&self, ino: u64) -> bool {
        let followed = self.shards.iter().flat_map(|shard| shard.lineages.values());
        let mut open = followed.flat_map(|followed| followed.lineage.open_files());
        open.any(|(_, file)| file.stat().is_ok_and(|stat| stat.ino == ino))
    }

    /// Whether all shards say that nothing is left to do.
    pub(super) fn is_idle(&self) -> bool {
        self.activity.is_idle()
    }

    /// Read no more, seal everything.
    pub(super) fn drain(&mut self) {
        let epoch = self.activity.begin();
        self.tell_all(|| Message::Drain(epoch));
    }

    /// The end of a stop: the last rows, committed.
    pub(super) fn stop(&mut self) -> bool {
        self.tell_all(|| Message::Stop);
        (0..self.shards.len()).for_each(|number| self.step_shard(number));
        self.commit()
    }

    pub(super) fn tell_all(&self, message: impl Fn() -> Message) {
        self.links.iter().for_each(|link| link.tell(message()));
    }
}

/// As the engine does, but what is damaged is not kept. Only a power cut before the first commit leaves damage: after
/// that the ledger would miss what was kept.
fn open_or_reset(world: &World) -> Result<(Checkpoint, Restored), CheckpointError> {
    match open(world) {
        Err(CheckpointError::Damaged(why)) => {
            world.note(format_args!("the checkpoint is damaged: {why}"));
            world.unlink(CHECKPOINT).expect("it was just opened");
            open(world).map(|(checkpoint, restored)| (checkpoint, Restored { was_reset: true, ..restored }))
        }
        opened => opened,
    }
}

fn open(world: &World) -> Result<(Checkpoint, Restored), CheckpointError> {
    let storage =
        world.storage(Path::new(CHECKPOINT)).map_err(|error| CheckpointError::Unusable(error.to_string()))?;
    Checkpoint::open(storage)
}
