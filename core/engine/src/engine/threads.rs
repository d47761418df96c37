//! The engine's threads: the shards' and the scanner's.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use ringtail_io::{Clock, Fs, Io, RealClock, RealFs, Waker, Watch};
use ringtail_memory::{CarryPool, SlabPool};
use ringtail_read::Scanner;

use super::restored::{restore_scanner, split_rows};
use super::{Engine, StartError};
use crate::alarm::Alarm;
use crate::checkpoint::Restored;
use crate::checkpointer::{CheckpointWriter, Checkpointer};
use crate::config::EngineConfig;
use crate::scanning::{Order, PIECE, Scanning, ShardLink};
use crate::shard::{Message, RowsByLineage, Shard, ShardParts, Wish};

/// How long a stop waits for the scanner's thread, when all else has ended.
const SCAN_GRACE: Duration = Duration::from_secs(1);

/// The scanner's thread, and the way to it.
pub(super) struct ScannerThread {
    orders: Sender<Order>,
    waker: Waker,
    pub(super) thread: JoinHandle<()>,
}

impl ScannerThread {
    pub(super) fn tell(&self, order: Order) {
        // The thread ends after the engine; an error means that it panicked, which was told.
        if self.orders.send(order).is_ok() {
            self.waker.wake();
        }
    }

    /// Waits for its end. A scan that hangs in the kernel must not hold a stop up: its thread is left to the process's end.
    pub(super) fn join(self) {
        let until = Instant::now() + SCAN_GRACE;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.thread.is_finished() {
            join(self.thread);
        }
    }
}

/// What the shards have in common, beside what the engine keeps.
#[derive(Clone)]
struct Common {
    slabs: SlabPool,
    carries: CarryPool,
    wishes: Sender<Wish>,
    /// Ends the scanner's wait.
    scanner: Waker,
    was_reset: bool,
}

impl Engine {
    pub(super) fn start_shards(
        &mut self,
        count: usize,
        restored: &Restored,
        wishes: Sender<Wish>,
        scanner: Waker,
    ) -> Result<(), StartError> {
        let (slabs, carries) = (SlabPool::new(&self.budget), CarryPool::new(&self.budget));
        let common = Common { slabs, carries, wishes, scanner, was_reset: restored.was_reset };
        for (number, rows) in split_rows(restored, count).into_iter().enumerate() {
            let (sender, messages) = unbounded();
            let (ready, started) = bounded(1);
            let (choice, parts) = (self.config.io, self.parts(number, messages, rows, common.clone()));
            let thread = spawn(format!("rt-shard-{number}"), &self.alarm, move || {
                // The ring belongs to the thread that made it.
                let io = match ringtail_io::open(choice) {
                    Ok(io) => io,
                    Err(error) => return drop(ready.send(Err(StartError::Io(error.to_string())))),
                };
                let _ = ready.send(Ok((io.backend().clone(), io.waker())));
                Shard::new(parts(io)).run();
            })?;
            self.shards.push(thread);
            let (backend, waker) = started.recv().map_err(|_| ended_early())??;
            self.backend = backend;
            self.links.push(ShardLink { sender, waker });
        }
        Ok(())
    }

    /// What a shard needs, but for its backend, which its own thread opens.
    fn parts(
        &self,
        number: usize,
        messages: Receiver<Message>,
        restored: RowsByLineage,
        common: Common,
    ) -> impl FnOnce(Box<dyn Io>) -> ShardParts + use<> {
        let Common { slabs, carries, wishes, scanner, was_reset } = common;
        let EngineConfig { hold_deleted, mode, .. } = self.config;
        let (open_files, stats, activity) =
            (self.open_files.clone(), self.stats.clone(), self.activity.clone());
        let checkpoint = self.checkpointer.as_ref().map_or_else(CheckpointWriter::none, Checkpointer::writer);
        move |io| ShardParts {
            number,
            io,
            clock: Arc::new(RealClock::new()),
            slabs,
            carries,
            open_files,
            hold_deleted,
            mode,
            stats,
            messages,
            answers: unbounded(),
            wishes,
            scanner,
            checkpoint,
            restored,
            was_reset,
            activity,
        }
    }

    pub(super) fn start_scanner(
        &mut self,
        restored: &Restored,
        wishes: Receiver<Wish>,
        watch: Box<dyn Watch>,
    ) -> Result<(), StartError> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let waker = watch.waker();
        let open_files = self.open_files.clone();
        let mut scanner = Scanner::new(fs, clock.clone(), open_files, &[]).map_err(StartError::Pattern)?;
        restore_scanner(&mut scanner, restored);
        let (orders, ordered) = unbounded();
        let scanning = Scanning::new(
            scanner,
            watch,
            clock,
            (ordered, wishes),
            self.links.clone(),
            self.stats.clone(),
            PIECE,
        );
        let thread = spawn("rt-scanner".to_owned(), &self.alarm, move || scanning.run())?;
        self.scanner = Some(ScannerThread { orders, waker, thread });
        Ok(())
    }

    pub(super) fn end_shards(&mut self) {
        self.links.iter().for_each(|link| link.tell(Message::Stop));
        self.shards.drain(..).for_each(join);
    }
}

fn spawn(
    name: String,
    alarm: &Alarm,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let guard = alarm.guard(&name);
    let body = move || {
        let _guard = guard;
        body();
    };
    std::thread::Builder::new().name(name).spawn(body).map_err(StartError::Thread)
}

fn ended_early() -> StartError {
    StartError::Thread(std::io::Error::other("a shard ended while it started"))
}

fn join(thread: JoinHandle<()>) {
    // A panic was told by the panic hook; the stop goes on.
    let _ = thread.join();
}
