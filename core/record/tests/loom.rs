//! Every order of events for the answer to a batch: `make loom`.
#![cfg(loom)]

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;
use ringtail_memory::{Budget, Credit, SlabPool};
use ringtail_record::{Acks, Batch, BatchId, Flags, Outcome, Receipt, Record, Sealed, Source, Stream};

#[derive(Default)]
struct Answers(Mutex<Vec<(BatchId, Outcome)>>);

impl Acks for Answers {
    fn settled(&self, id: BatchId, outcome: Outcome) {
        self.0.lock().expect("nobody panicked").push((id, outcome));
    }
}

/// One output delivers while one closes and drops what it has: each batch is answered once, the credit is whole again, and
/// the slab that both refer to comes back.
#[test]
fn every_batch_is_answered_once_and_gives_back_what_it_held() {
    loom::model(|| {
        let budget = Budget::new(4 << 20);
        let slabs = SlabPool::new(&budget);
        let answers = Arc::new(Answers::default());
        let (credit, queue) = (Credit::new(100), Credit::new(100));
        let source = Arc::new(Source::from_path("/a.log".as_ref()));
        let chunk = slabs.take().expect("within the budget").split_to(8).freeze();
        let record = Record {
            time_ns: 1,
            buffer: 0,
            off: 0,
            len: 8,
            source: 0,
            stream: Stream::Stdout,
            flags: Flags::NONE,
        };
        let seal = |id: BatchId| {
            let mut batch = Batch::default();
            batch.append(&chunk, &source, [record]);
            let [credit, queued] = [&credit, &queue].map(|credit| credit.take(50).expect("within the share"));
            Sealed { batch, lane: 0, credit, queued, receipt: Receipt::new(id, answers.clone()) }
        };
        let (delivered, returned) = (seal(1), seal(2));
        drop(chunk);
        let closing = thread::spawn(move || drop(returned));
        let Sealed { batch, credit: held, queued, receipt, .. } = delivered;
        drop((batch, queued, held));
        receipt.settle(Outcome::Delivered);
        closing.join().expect("the output");
        let mut answered = answers.0.lock().expect("nobody panicked").clone();
        answered.sort_by_key(|(id, _)| *id);
        assert_eq!(answered, [(1, Outcome::Delivered), (2, Outcome::Returned)]);
        assert_eq!((credit.used(), queue.used(), slabs.idle()), (0, 0, 1));
    });
}
