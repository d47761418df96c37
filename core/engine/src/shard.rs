//! A shard: one thread with one ring and its own lineages. Its loop is the picture of the design:
//!
//! ```text
//! listings -> lineages -> views -> reads -> decoded chunks -> open batches -> outlets
//!                                                               answers  -> positions -> checkpoint
//! ```
//! No lock is taken here but the slab pool's, once per MiB; what crosses threads are messages in, batches out,
//! answers in, and rows of the checkpoint out.
//!
//! Limits: [`READS_IN_FLIGHT`] and [`LARGE_IN_FLIGHT`] reads at a time, those of remote mounts apart (`remote`); a view has
//! one of them at most.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use ringtail_io::{Clock, Event, Io, ReadId, Waker};
use ringtail_memory::{CarryPool, SlabPool};
use ringtail_parse::Table;
use ringtail_read::{Claim, Identity, Lineage, Listing, OpenFile, OpenFiles, Turn};
use ringtail_record::{Acks, BatchId, Outcome, Source};

use crate::activity::{Activity, Epoch};
use crate::buffers::{Buffers, ReadSize};
use crate::checkpointer::CheckpointWriter;
use crate::config::{HoldDeleted, Mode, Pipeline};
use crate::maps::{HashMap, HashSet};
use crate::names::{CursorId, LineageId, ViewId};
use crate::remote::{Mount, RemoteReads};
use crate::row::{Key, Row};
use crate::sink::Sink;
use crate::stats::{PipelineStats, Stats};
use crate::view::{Known, View};
use crate::watches::Watches;

/// Reads that a shard has in flight at most: what one system call serves.
const READS_IN_FLIGHT: usize = 64;

/// Large reads in flight at most: 2 MiB, so that what was read is still in the cache when it is parsed.
const LARGE_IN_FLIGHT: usize = 8;

/// How often the slow things are looked at: unfinished lines, positions, lag, stalled views, memory.
const TICK: Duration = Duration::from_millis(200);

/// How often files are looked at whose directory cannot be watched.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// How often the lag is measured, which looks at every cursor.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// What a shard is told.
pub(crate) enum Message {
    /// The pipelines that run from now on, by the number of their spec.
    Pipelines(HashMap<u32, Arc<Running>>, Epoch),
    /// What the scanner saw.
    Listings(Vec<Listing>),
    /// A closed file was opened again.
    Opened(Arc<Path>, u32, Arc<OpenFile>, Identity),
    /// The first scan after the change of pipelines that began this epoch is complete.
    Scanned(Epoch),
    /// Read nothing more, seal everything, and tell when all is answered.
    Drain(Epoch),
    /// End.
    Stop,
}

/// A pipeline as it runs.
pub(crate) struct Running {
    pub(crate) name: Arc<str>,
    pub(crate) config: Pipeline,
    pub(crate) outputs: Vec<Arc<str>>,
    pub(crate) stats: Arc<PipelineStats>,
    /// It ran before, by the checkpoint: `start` no longer concerns it.
    pub(crate) has_started: bool,
}

/// What a shard tells the scanner: how far it has come, and that it wants to have looked at something.
#[derive(Debug)]
pub(crate) enum Wish {
    /// How far the generations of a lineage were consumed.
    Claims(Arc<Path>, Vec<Claim>),
    /// A file was closed, and is wanted again.
    Reopen(Arc<Path>, u32),
    /// Where a generation was read, in this file, something else is now.
    Look(Arc<Path>, u32, Identity),
    /// Nothing will be read again from generations before this one.
    Release(Arc<Path>, u32),
    /// All files of a lineage are gone and read.
    Forget(Arc<Path>),
}

/// An output's answer to a batch.
pub(crate) type Answer = (BatchId, Outcome);

/// What the last run left of each lineage.
pub(crate) type RowsByLineage = HashMap<Arc<Path>, Vec<(Key, Row)>>;

/// Everything a shard is made of that others made.
pub(crate) struct ShardParts {
    pub(crate) number: usize,
    pub(crate) io: Box<dyn Io>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) slabs: SlabPool,
    pub(crate) carries: CarryPool,
    pub(crate) open_files: OpenFiles,
    pub(crate) hold_deleted: HoldDeleted,
    pub(crate) mode: Mode,
    pub(crate) stats: Arc<Stats>,
    pub(crate) messages: Receiver<Message>,
    pub(crate) answers: (Sender<Answer>, Receiver<Answer>),
    pub(crate) wishes: Sender<Wish>,
    /// Ends the scanner's wait, for a wish that cannot wait.
    pub(crate) scanner: Waker,
    pub(crate) checkpoint: CheckpointWriter,
    /// Rows of the last run for lineages that belong to this shard.
    pub(crate) restored: RowsByLineage,
    /// The last run's positions are lost: `start` is overruled, everything present is read from its beginning.
    pub(crate) was_reset: bool,
    pub(crate) activity: Arc<Activity>,
}

/// One lineage that this shard follows.
pub(crate) struct Followed {
    pub(crate) lineage: Lineage,
    pub(crate) path: Arc<Path>,
    /// The log of which it is a stray.
    pub(crate) log: Option<Arc<Path>>,
    pub(crate) hash: u64,
    /// The path that was matched.
    pub(crate) shown: Arc<Path>,
    pub(crate) source: Arc<Source>,
    pub(crate) specs: Vec<u32>,
    pub(crate) views: Vec<View>,
    pub(crate) cursors: Vec<CursorId>,
    /// Its files, under the names by which they are watched.
    pub(crate) watched: Vec<Arc<Path>>,
    /// When something of it was last read.
    pub(crate) active_at: Duration,
}

impl Followed {
    /// Where a generation lies, as far as is known.
    pub(crate) fn path_of(&self, generation: u32) -> &Arc<Path> {
        let file = self.lineage.generations().iter().find(|file| file.number == generation);
        file.map_or(&self.shown, |file| &file.path)
    }
}

/// A read in flight.
pub(crate) struct Flight {
    pub(crate) lineage: LineageId,
    pub(crate) view: ViewId,
    pub(crate) size: ReadSize,
    pub(crate) generation: u32,
    pub(crate) gz: bool,
    pub(crate) turn: Turn,
    pub(crate) known: Known,
    /// Where it may never end.
    pub(crate) mount: Option<Mount>,
}

pub(crate) struct Shard {
    pub(crate) parts: ShardParts,
    pub(crate) buffers: Buffers,
    pub(crate) table: Table,
    pub(crate) sink: Sink,
    pub(crate) pipelines: HashMap<u32, Arc<Running>>,
    /// Boxed, so that room in the map for more costs little, and growing it too: there may be tens of thousands.
    pub(crate) lineages: HashMap<LineageId, Box<Followed>>,
    pub(crate) by_path: HashMap<Arc<Path>, LineageId>,
    pub(crate) watches: Watches,
    pub(crate) ready: VecDeque<(LineageId, ViewId)>,
    pub(crate) stalled: Vec<(LineageId, ViewId)>,
    pub(crate) flights: HashMap<ReadId, Flight>,
    /// Of files on this machine.
    pub(crate) large_in_flight: usize,
    pub(crate) remote: RemoteReads,
    /// Views that want to be woken at a certain time.
    pub(crate) timers: Vec<(Duration, LineageId, ViewId)>,
    /// Views with a half line or an open partial.
    pub(crate) unfinished: HashSet<(LineageId, ViewId)>,
    /// Lineages with more than one view.
    pub(crate) parted: HashSet<LineageId>,
    /// Lineages with deleted files that are held.
    pub(crate) holding: HashSet<LineageId>,
    /// Lineages whose directories cannot be watched.
    pub(crate) polled: HashSet<LineageId>,
    /// Pipelines that had their first start in this run.
    pub(crate) started: HashSet<Arc<str>>,
    /// Those of them that the checkpoint does not know yet.
    pub(crate) first_starts: HashSet<Arc<str>>,
    /// Lineages whose files are gone and read.
    pub(crate) finished: HashSet<LineageId>,
    pub(crate) last_number: u64,
    pub(crate) ticked_at: Duration,
    pub(crate) polled_at: Duration,
    /// The same, of files on mounts that may never answer.
    pub(crate) polled_far_at: Duration,
    /// When the lag is to be measured next.
    measure_at: Duration,
    pub(crate) draining: bool,
    epoch: Epoch,
    /// The one that the pipelines came with.
    pipelines_in: Epoch,
    /// What the engine was told last.
    told: Option<(Epoch, bool)>,
    scanned: bool,
    stopped: bool,
    events: Vec<Event>,
}

/// Answers from any thread to a shard.
struct Answers {
    sender: Sender<Answer>,
    waker: Waker,
}

impl Acks for Answers {
    fn settled(&self, id: BatchId, outcome: Outcome) {
        // The shard may have ended before the answer: then nobody waits for it.
        if self.sender.send((id, outcome)).is_ok() {
            self.waker.wake();
        }
    }
}

impl Shard {
    pub(crate) fn new(parts: ShardParts) -> Self {
        let waker = parts.io.waker();
        let acks = Arc::new(Answers { sender: parts.answers.0.clone(), waker: waker.clone() });
        Shard {
            buffers: Buffers::new(parts.slabs.clone(), parts.carries.clone()),
            table: Table::default(),
            sink: Sink::new(acks, waker),
            pipelines: HashMap::default(),
            lineages: HashMap::default(),
            by_path: HashMap::default(),
            watches: Watches::default(),
            ready: VecDeque::new(),
            stalled: Vec::new(),
            flights: HashMap::default(),
            large_in_flight: 0,
            remote: RemoteReads::default(),
            timers: Vec::new(),
            unfinished: HashSet::default(),
            parted: HashSet::default(),
            polled: HashSet::default(),
            started: HashSet::default(),
            first_starts: HashSet::default(),
            finished: HashSet::default(),
            last_number: 0,
            ticked_at: Duration::ZERO,
            holding: HashSet::default(),
            polled_at: Duration::ZERO,
            polled_far_at: Duration::ZERO,
            measure_at: Duration::ZERO,
            draining: false,
            epoch: 0,
            pipelines_in: 0,
            told: None,
            scanned: false,
            stopped: false,
            events: Vec::new(),
            parts,
        }
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        while !self.stopped {
            self.step(Duration::from_secs(1));
        }
    }

    /// One turn: takes what came in, submits what can be read, waits for at most `longest`, handles what happened.
    pub(crate) fn step(&mut self, longest: Duration) {
        self.parts.activity.turn(self.parts.number);
        self.take_messages();
        if self.stopped {
            return;
        }
        self.take_answers();
        self.close_idle();
        self.submit_reads();
        self.tell_activity();
        let wait = self.time_to_wait().min(longest);
        let mut events = std::mem::take(&mut self.events);
        self.parts.io.wait(wait, &mut events);
        for event in events.drain(..) {
            self.handle(event);
        }
        self.events = events;
        let now = self.now();
        self.sink.flush(now, self.seals_at_once());
        if now >= self.ticked_at + TICK {
            self.ticked_at = now;
            self.tick(now);
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.parts.clock.now()
    }

    /// A number that was never used in this shard.
    pub(crate) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Whether another read may be submitted.
    pub(crate) fn has_room(&self) -> bool {
        self.flights.len() - self.remote.in_flight() < READS_IN_FLIGHT
            && self.large_in_flight < LARGE_IN_FLIGHT
    }

    /// Whether reads are awaited. A stop does not wait for those that may never end: what they bring comes after the next
    /// start.
    fn awaits_reads(&self) -> bool {
        let not_awaited = if self.draining { self.remote.in_flight() } else { 0 };
        self.flights.len() > not_awaited
    }

    fn take_messages(&mut self) {
        while let Ok(message) = self.parts.messages.try_recv() {
            match message {
                Message::Pipelines(pipelines, epoch) => {
                    (self.epoch, self.pipelines_in, self.scanned) = (epoch, epoch, false);
                    self.set_pipelines(pipelines);
                }
                Message::Listings(listings) => listings.iter().for_each(|listing| self.take_listing(listing)),
                Message::Opened(lineage, generation, file, identity) => {
                    self.opened(&lineage, generation, file, identity)
                }
                // One that began before other pipelines came says nothing of what these want.
                Message::Scanned(epoch) if epoch != self.pipelines_in => {}
                Message::Scanned(_) => self.scanned(),
                Message::Drain(epoch) => (self.epoch, self.draining) = (epoch, true),
                Message::Stop => {
                    self.take_answers();
                    self.measure_files();
                    self.all_dirty();
                    self.write_positions();
                    self.stopped = true;
                }
            }
        }
    }

    fn take_answers(&mut self) {
        let (mut any, now) = (false, self.now());
        while let Ok((batch, outcome)) = self.parts.answers.1.try_recv() {
            any = true;
            let returned = self.sink.settle(batch, outcome);
            // An output that ends with the agent gives back what it could not deliver: it comes after the restart.
            if !self.draining {
                returned.into_iter().for_each(|cursor| self.rewind(cursor, now));
            }
        }
        if any {
            self.sink.flush(now, false);
            self.wake_stalled();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Read { read, result } => self.complete(read, result),
            Event::Changed { watch, name, .. } => {
                if let Some(lineage) = self.watches.find(watch, &name) {
                    self.changed(lineage);
                }
            }
            Event::Unwatched { watch } => {
                for lineage in self.watches.lost(watch) {
                    self.unwatched(lineage);
                }
            }
            Event::Overflow => {
                let all: Vec<LineageId> = self.lineages.keys().copied().collect();
                all.into_iter().for_each(|lineage| self.changed(lineage));
            }
        }
    }

    fn time_to_wait(&self) -> Duration {
        let may_read = !self.ready.is_empty() && self.has_room();
        if may_read || (self.seals_at_once() && self.sink.due().is_some()) {
            return Duration::ZERO;
        }
        let now = self.now();
        let due = self.sink.due().map_or(TICK, |due| due.saturating_sub(now));
        due.min((self.ticked_at + TICK).saturating_sub(now))
    }

    /// With nothing more to come, a batch need not wait for its delay.
    fn seals_at_once(&self) -> bool {
        let at_rest = self.ready.is_empty() && !self.awaits_reads();
        at_rest && (self.draining || self.parts.mode == Mode::Once)
    }

    /// All files that were there have been seen: what comes from now on is new to the pipelines.
    fn scanned(&mut self) {
        self.scanned = true;
        self.measure_at = Duration::ZERO;
        let new = self.pipelines.values().filter(|running| !running.has_started);
        let new: Vec<Arc<str>> = new.map(|running| running.name.clone()).collect();
        self.started.extend(new.iter().cloned());
        self.first_starts.extend(new);
    }

    fn opened(&mut self, lineage: &Path, generation: u32, file: Arc<OpenFile>, identity: Identity) {
        let Some(id) = self.by_path.get(lineage).copied() else { return };
        if let Some(followed) = self.lineages.get_mut(&id) {
            followed.lineage.opened(generation, file, identity);
        }
        self.changed(id);
    }

    fn tick(&mut self, now: Duration) {
        self.part_uneven_views(now);
        self.wake_stalled();
        self.wake_remote();
        self.wake_timed(now);
        self.flush_unfinished(now);
        self.rejoin_views();
        if now >= self.polled_at + POLL_EVERY {
            self.polled_at = now;
            self.poll(now);
            self.enforce_hold(now);
        }
        if now >= self.measure_at {
            self.measure_at = now + MEASURE_EVERY;
            self.measure_lag();
        }
        self.write_positions();
        self.end_unwanted_outlets();
        self.sweep_finished(now);
        if self.ready.is_empty() && self.flights.is_empty() && self.sink.is_clear() {
            self.buffers.release();
            self.parts.slabs.trim(0);
            // It had room for what happened to all logs at once.
            self.events = Vec::new();
        }
    }

    /// After a change of pipelines: cursors go over to their new outlets with the first scan.
    fn end_unwanted_outlets(&mut self) {
        let wanted = self.pipelines.values().flat_map(|running| &running.config.outputs);
        self.sink.end_unwanted(wanted);
    }

    /// Tells the engine whether this shard has anything left to do, when that changed: others wait on that lock.
    fn tell_activity(&mut self) {
        let stalled = !self.stalled.is_empty() || self.remote.has_waiting();
        let waiting = !self.ready.is_empty() || stalled || !self.timers.is_empty();
        let has_unread = !self.draining && (!self.scanned || waiting);
        let is_idle =
            !has_unread && !self.awaits_reads() && self.parts.messages.is_empty() && self.sink.is_clear();
        if self.told != Some((self.epoch, is_idle)) {
            self.told = Some((self.epoch, is_idle));
            self.parts.activity.set_idle(self.parts.number, self.epoch, is_idle);
        }
    }
}
