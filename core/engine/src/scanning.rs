//! The scanner's thread: it lists, opens and recognises files, since any of that may block, and tells the shards.
//!
//! Limits: a look at everything every [`RESCAN_EVERY`], or [`RESCAN_BLIND`] where some directory cannot be watched; in
//! between the directories that inotify reports, not sooner than [`GATHER`] after the look before, and so that looking at
//! them takes at most a tenth of the time.
//!
//! What lies on NFS, CIFS or FUSE may take minutes to be looked at. It comes last, and in pieces of [`PIECE`]: between
//! them comes what changes elsewhere, and each piece is told at once. A look that is not at its end when the next one is due
//! goes on behind it.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use ringtail_io::{Clock, Event, Interest, Waker, Watch, WatchId};
use ringtail_read::{FileSpec, Listing, Reopened, Scanner};

use crate::activity::Epoch;
use crate::following::hash_of;
use crate::maps::{HashMap, HashSet};
use crate::shard::{Message, Wish};
use crate::stats::Stats;

/// How often everything is looked at, though watches tell what happens: they may be blind without saying so.
const RESCAN_EVERY: Duration = Duration::from_secs(5);

/// How often, where watches are known to be missing.
const RESCAN_BLIND: Duration = Duration::from_secs(2);

/// How long a look at everything keeps the thread from anything else; what lies in one lineage is looked at in one go.
pub(crate) const PIECE: Duration = Duration::from_millis(100);

/// How long changes are gathered before a directory is listed.
const GATHER: Duration = Duration::from_millis(10);

/// Looking takes at most one part in this many of the thread's time, or the machine's one core with many files.
const SHARE: u32 = 10;

/// What the scanner's thread is told.
pub(crate) enum Order {
    /// Look for these from now on, then tell the shards that all was seen. The pipelines that want them came in this epoch.
    Specs(Vec<FileSpec>, Epoch),
    /// End.
    Stop,
}

/// A way to a shard.
#[derive(Clone)]
pub(crate) struct ShardLink {
    pub(crate) sender: Sender<Message>,
    pub(crate) waker: Waker,
}

impl ShardLink {
    pub(crate) fn tell(&self, message: Message) {
        // A shard ends after the scanner; an error means that it panicked, which was told.
        if self.sender.send(message).is_ok() {
            self.waker.wake();
        }
    }
}

/// The scanner with its watches and its ways to the shards.
pub(crate) struct Scanning {
    pub(crate) scanner: Scanner,
    pub(crate) watch: Box<dyn Watch>,
    pub(crate) orders: Receiver<Order>,
    pub(crate) wishes: Receiver<Wish>,
    pub(crate) shards: Vec<ShardLink>,
    pub(crate) watched: HashMap<Arc<Path>, Option<WatchId>>,
    pub(crate) by_id: HashMap<WatchId, Arc<Path>>,
    /// A watch ended by itself: its directory may be there again.
    lost: bool,
    pub(crate) dirty: HashSet<Arc<Path>>,
    /// Files to open again as soon as others are closed.
    busy: HashSet<(Arc<Path>, u32)>,
    stats: Arc<Stats>,
    /// No look at what inotify reported before this.
    pub(crate) not_before: Duration,
    pub(crate) rescan_at: Duration,
    /// When the look at everything began that is under way.
    began_at: Duration,
    /// The shards are to be told when it is at its end, for the pipelines of this epoch.
    awaited: Option<Epoch>,
    piece: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stopped: bool,
    events: Vec<Event>,
}

impl Scanning {
    pub(crate) fn new(
        scanner: Scanner,
        watch: Box<dyn Watch>,
        clock: Arc<dyn Clock>,
        (orders, wishes): (Receiver<Order>, Receiver<Wish>),
        shards: Vec<ShardLink>,
        stats: Arc<Stats>,
        piece: Duration,
    ) -> Self {
        Scanning {
            scanner,
            watch,
            orders,
            wishes,
            shards,
            watched: HashMap::default(),
            by_id: HashMap::default(),
            lost: false,
            dirty: HashSet::default(),
            busy: HashSet::default(),
            stats,
            not_before: Duration::ZERO,
            rescan_at: Duration::MAX,
            began_at: Duration::ZERO,
            awaited: None,
            piece,
            clock,
            stopped: false,
            events: Vec::new(),
        }
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        while !self.stopped {
            self.step(RESCAN_EVERY);
        }
    }

    /// One turn: takes what came in, looks at what is due, waits for at most `longest`.
    pub(crate) fn step(&mut self, longest: Duration) {
        self.stats.scanner_turns.add(1);
        self.take_wishes();
        self.take_orders();
        for (lineage, generation) in std::mem::take(&mut self.busy) {
            self.reopen(&lineage, generation);
        }
        let now = self.clock.now();
        // Where all that lies near takes longer than that, it has its turn all the same, and then what lies far.
        if now >= self.rescan_at && !self.scanner.is_looking_near() {
            self.begin_look();
        } else if !self.dirty.is_empty() && now >= self.not_before {
            self.look_at_dirty();
        }
        if self.scanner.is_looking() {
            self.go_on_looking();
        }
        self.wait(longest);
    }

    fn take_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Specs(specs, epoch) => {
                    if let Err(error) = self.scanner.set_specs(&specs) {
                        // The engine checks patterns before it sends them.
                        tracing::error!(%error, "a pipeline's paths cannot be used");
                    }
                    self.awaited = Some(epoch);
                    self.begin_look();
                }
                Order::Stop => self.stopped = true,
            }
        }
    }

    fn take_wishes(&mut self) {
        while let Ok(wish) = self.wishes.try_recv() {
            match wish {
                Wish::Claims(lineage, claims) => self.scanner.claim(&lineage, claims),
                Wish::Release(lineage, generation) => self.scanner.release_before(&lineage, generation),
                Wish::Forget(lineage) => drop(self.scanner.forget(&lineage)),
                Wish::Reopen(lineage, generation) => self.reopen(&lineage, generation),
                Wish::Look(lineage, generation, file) => {
                    self.dirty.extend(self.scanner.doubt(&lineage, generation, file));
                }
            }
        }
    }

    fn reopen(&mut self, lineage: &Arc<Path>, generation: u32) {
        match self.scanner.reopen(lineage, generation) {
            Ok(Reopened { file, identity }) => {
                self.shard_of(lineage).tell(Message::Opened(lineage.clone(), generation, file, identity));
            }
            // At the bound on open files: the shards close idle ones.
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                self.busy.insert((lineage.clone(), generation));
            }
            // The shard asks again, or a listing tells it what became of the file.
            Err(_) => {}
        }
    }

    fn begin_look(&mut self) {
        // It looks at all that is near again. What lies far is not watched, and has its turn in the look that is under way.
        self.dirty.clear();
        if !self.scanner.is_looking() {
            self.began_at = self.clock.now();
        }
        self.scanner.begin();
        self.watch_directories();
        self.rescan_at = self.clock.now() + self.rescan_every();
    }

    fn go_on_looking(&mut self) {
        let was_near = self.scanner.is_looking_near();
        let listings = self.scanner.go_on(self.piece);
        self.report(listings);
        let now = self.clock.now();
        if was_near && !self.scanner.is_looking_near() {
            self.watch_directories();
            if self.rescan_at > Duration::ZERO {
                self.rescan_at = now + self.rescan_every();
            }
        }
        if self.scanner.is_looking() {
            return;
        }
        self.watch_directories();
        let (took, every) = (now.saturating_sub(self.began_at), self.rescan_every());
        // After one that took long there is a pause; not where events were lost meanwhile.
        if self.rescan_at > Duration::ZERO {
            self.rescan_at = now + every.saturating_sub(took).max(took.min(every));
        }
        if let Some(epoch) = self.awaited.take() {
            self.shards.iter().for_each(|shard| shard.tell(Message::Scanned(epoch)));
        }
    }

    fn rescan_every(&self) -> Duration {
        let is_blind = self.watched.values().any(Option::is_none);
        if is_blind { RESCAN_BLIND } else { RESCAN_EVERY }
    }

    fn look_at_dirty(&mut self) {
        let (began, mut listings) = (self.clock.now(), Vec::new());
        for directory in std::mem::take(&mut self.dirty) {
            listings.extend(self.scanner.scan_dir(&directory));
        }
        self.report(listings);
        self.watch_directories();
        let now = self.clock.now();
        self.not_before = now + GATHER.max(now.saturating_sub(began) * (SHARE - 1));
    }

    /// Tells the shards what was seen, and what could not be.
    fn report(&mut self, listings: Vec<Listing>) {
        for error in self.scanner.take_errors() {
            self.stats.unreadable.add(1);
            tracing::warn!(path = %error.path.display(), %error, "cannot look at a log file or directory");
        }
        let mut by_shard: Vec<Vec<Listing>> = self.shards.iter().map(|_| Vec::new()).collect();
        for listing in listings {
            by_shard[shard_number(&listing.lineage, self.shards.len())].push(listing);
        }
        for (shard, listings) in self.shards.iter().zip(by_shard) {
            if !listings.is_empty() {
                shard.tell(Message::Listings(listings));
            }
        }
    }

    fn shard_of(&self, lineage: &Path) -> &ShardLink {
        &self.shards[shard_number(lineage, self.shards.len())]
    }

    /// Watches the directories that the scanner names, and only these.
    fn watch_directories(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if !self.scanner.directories_changed() && !lost {
            return;
        }
        let wanted = self.scanner.directories();
        let gone: HashSet<Arc<Path>> = self.watched.keys().cloned().collect();
        let gone = wanted.iter().fold(gone, |mut gone, path| {
            gone.remove(path);
            gone
        });
        for path in gone {
            if let Some(Some(id)) = self.watched.remove(&path) {
                self.by_id.remove(&id);
                self.watch.unwatch(id);
            }
        }
        for path in wanted {
            if !self.watched.contains_key(&path) {
                // What cannot be watched is seen by the next look at everything.
                let id = self.watch.watch(&path, Interest::Entries).ok();
                if id.is_some() {
                    // Something may have come between the look and the watch.
                    self.dirty.insert(path.clone());
                }
                self.by_id.extend(id.map(|id| (id, path.clone())));
                self.watched.insert(path, id);
            }
        }
    }

    fn wait(&mut self, longest: Duration) {
        let now = self.clock.now();
        let due = if self.dirty.is_empty() { self.rescan_at } else { self.not_before.min(self.rescan_at) };
        let longest = if self.busy.is_empty() { longest } else { GATHER };
        let is_busy = self.stopped || self.scanner.is_looking();
        let wait = if is_busy { Duration::ZERO } else { due.saturating_sub(now).min(longest) };
        let mut events = std::mem::take(&mut self.events);
        self.watch.wait(wait, &mut events);
        for event in events.drain(..) {
            match event {
                Event::Changed { watch, .. } => self.dirty.extend(self.by_id.get(&watch).cloned()),
                Event::Unwatched { watch } => {
                    if let Some(path) = self.by_id.remove(&watch) {
                        self.watched.remove(&path);
                        self.dirty.insert(path);
                        self.lost = true;
                    }
                }
                Event::Overflow => self.rescan_at = Duration::ZERO,
                Event::Read { .. } => {}
            }
        }
        self.events = events;
        if !self.dirty.is_empty() {
            self.not_before = self.not_before.max(now);
        }
    }
}

/// The shard that a lineage belongs to.
pub(crate) fn shard_number(lineage: &Path, shards: usize) -> usize {
    // The low bits choose the lane.
    let number = (hash_of(lineage) >> 32) % shards as u64;
    usize::try_from(number).expect("below the number of shards")
}
