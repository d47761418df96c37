//! The thread of an output that writes to a file descriptor: one for all lanes.
//!
//! Plain blocking writes on a thread of its own, not tokio-uring: there is one descriptor and one order, so that a ring
//! would have one operation in flight just the same; what saves time is one `fdatasync` for all that waits, and that
//! needs no ring. A thread also works where the ring is refused.
//!
//! Limits: [`GROUP_PAYLOADS`] payloads are made durable together. A write that the kernel never ends (a dead network
//! file system) cannot be interrupted: a stop then returns at its deadline and leaves the thread behind.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Builder;

use crossbeam_channel::{Receiver, RecvTimeoutError, select_biased, unbounded};

use crate::backoff::Backoff;
use crate::output::{Done, Queue, Service, Working};
use crate::payload::{Message, Payload};
use crate::stats::Stats;

/// Payloads written before one sync, at most: an answer waits for no more than these.
const GROUP_PAYLOADS: usize = 64;

/// Where a writer thread's payloads go.
pub(crate) trait Writer: Send + 'static {
    /// Writes `payloads` in order and makes them durable, as far as the place can. Returns how many of them, from the
    /// first on, are done with, and what kept the next one from it. `abandoned` disconnects when it is no use to go on.
    fn write(&mut self, payloads: &[Payload], abandoned: &Done) -> (usize, Result<(), Failure>);

    /// Ends well.
    fn close(&mut self) -> io::Result<()>;
}

/// Why a writer did not go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be tried again.
    Retry(io::Error),
    /// Nobody reads any more: nothing will ever be delivered.
    Closed,
    /// It was told to give up.
    Abandoned,
}

/// Starts a writer for `lanes` lanes, once everything in `after` has ended: what wrote to the same place before.
pub(crate) fn start(
    writer: impl Writer,
    lanes: u32,
    after: Vec<Done>,
    stats: Arc<Stats>,
) -> io::Result<Service> {
    let (queue, messages) = unbounded();
    let (abandon, abandoned) = crossbeam_channel::bounded(0);
    let (working, done) = crossbeam_channel::bounded(0);
    let mut desk = Desk { writer, messages, abandoned, open_lanes: lanes, stats };
    Builder::new().name("ship-write".into()).spawn(move || {
        desk.run(&after);
        drop::<Working>(working);
    })?;
    Ok(Service { queues: vec![Queue::Thread(queue)], tasks: Vec::new(), abandon: Some(abandon), done })
}

struct Desk<W> {
    writer: W,
    messages: Receiver<Message>,
    abandoned: Done,
    /// Lanes that have not ended.
    open_lanes: u32,
    stats: Arc<Stats>,
}

impl<W: Writer> Desk<W> {
    fn run(&mut self, after: &[Done]) {
        for previous in after {
            select_biased! {
                recv(previous) -> _ => {}
                recv(self.abandoned) -> _ => return,
            }
        }
        let mut group = Vec::with_capacity(GROUP_PAYLOADS);
        while self.gather(&mut group) {
            if !self.deliver(&mut group) {
                break;
            }
        }
        if let Err(error) = self.writer.close() {
            self.stats.retry(format!("closing: {error}"));
        }
    }

    /// Waits for a payload and takes what else is there. False when nothing will come.
    fn gather(&mut self, group: &mut Vec<Payload>) -> bool {
        while group.is_empty() && self.open_lanes > 0 {
            select_biased! {
                recv(self.abandoned) -> _ => return false,
                recv(self.messages) -> message => self.sort(message.ok(), group),
            }
        }
        while group.len() < GROUP_PAYLOADS {
            let Ok(message) = self.messages.try_recv() else { break };
            self.sort(Some(message), group);
        }
        !group.is_empty()
    }

    fn sort(&mut self, message: Option<Message>, group: &mut Vec<Payload>) {
        match message {
            Some(Message::Payload(payload)) => group.push(payload),
            Some(Message::End) => self.open_lanes = self.open_lanes.saturating_sub(1),
            None => self.open_lanes = 0,
        }
    }

    /// Writes the group, however often it takes. False when there is no use in going on.
    fn deliver(&mut self, group: &mut Vec<Payload>) -> bool {
        let mut backoff = Backoff::default();
        loop {
            let (written, result) = self.writer.write(group, &self.abandoned);
            if written > 0 {
                backoff = Backoff::default();
            }
            group.drain(..written).for_each(Payload::delivered);
            match result {
                Ok(()) => return true,
                Err(Failure::Retry(error)) => self.stats.retry(error.to_string()),
                Err(Failure::Abandoned) => return false,
                Err(Failure::Closed) => {
                    self.stats.closed_pipe.store(true, Ordering::SeqCst);
                    return false;
                }
            }
            if self.abandoned.recv_timeout(backoff.next(None)) != Err(RecvTimeoutError::Timeout) {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Sender, bounded};

    use super::*;
    use crate::payload::testing::payload;

    /// Tells how large each group was, and waits for leave before it takes one.
    struct Slow {
        groups: Sender<usize>,
        leave: Receiver<()>,
    }

    impl Writer for Slow {
        fn write(&mut self, payloads: &[Payload], _: &Done) -> (usize, Result<(), Failure>) {
            self.groups.send(payloads.len()).expect("the test listens");
            self.leave.recv().expect("the test gives leave");
            (payloads.len(), Ok(()))
        }

        fn close(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// While one payload is written, others come: they are written together, but never more than a group.
    #[test]
    fn what_waits_is_written_together() {
        let ((groups, sizes), (give, leave)) = (unbounded(), bounded(9));
        let stats = Arc::new(Stats::new("o"));
        let service = start(Slow { groups, leave }, 1, Vec::new(), stats.clone()).expect("thread");
        let Queue::Thread(queue) = &service.queues[0] else { panic!("a thread's queue") };
        let send = |n| (0..n).for_each(|_| drop(queue.send(Message::Payload(payload("a", &stats)))));
        send(1);
        assert_eq!(sizes.recv(), Ok(1));
        send(GROUP_PAYLOADS + 6);
        queue.send(Message::End).expect("open");
        (0..3).for_each(|_| give.send(()).expect("the writer waits"));
        assert_eq!((sizes.recv(), sizes.recv()), (Ok(GROUP_PAYLOADS), Ok(6)));
        assert!(service.done.recv().is_err());
        assert_eq!(stats.delivered_records.load(Ordering::Relaxed), 7 + GROUP_PAYLOADS as u64);
    }
}
