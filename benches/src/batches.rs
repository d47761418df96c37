//! Batches as the engine would seal them: read into slabs, decoded in place, with the attributes of one pod.

use std::path::Path;
use std::sync::Arc;

use ringtail_memory::{Budget, CarryPool, SLAB_BYTES, SlabPool};
use ringtail_parse::{Decoder, Format, Input, Limits, Table};
use ringtail_record::{Attribute, Batch, Position, Record, Source};

use crate::corpus::Corpus;

/// An output's default `batch.max_bytes`, on the wire.
const BATCH_BYTES: usize = 1 << 20;
/// What a record has on the wire besides message and attributes, about.
const FRAME_BYTES: usize = 72;
/// An agent's default `max_line` and `max_record`.
pub const LIMITS: Limits = Limits { max_line: 1 << 20, max_record: 4 << 20 };

/// The source of the corpus: a pod of a deployment, with what kubelet's path and the container's id say.
pub fn source() -> Arc<Source> {
    let path = "/var/log/pods/shop_checkout-7c5d9f8b6d-x2x7k_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9/app/0.log";
    let mut source = Source::from_path(Path::new(path));
    source.set(Attribute::text("container.id", &"0123456789abcdef".repeat(4)));
    Arc::new(source)
}

/// The records of a CRI file in which no line is a part, in batches of the default size.
///
/// # Panics
/// When `cri` is something else.
pub fn batches(cri: &Corpus) -> Vec<Batch> {
    let budget = Budget::new(4 * cri.file.len() + (64 << 20));
    let (slabs, carries) = (SlabPool::new(&budget), CarryPool::new(&budget));
    let mut decoder = Decoder::new(Input::Fixed(Format::Cri), LIMITS, carries);
    let (mut table, mut batches, source) = (Table::default(), vec![Batch::default()], source());
    let per_record = FRAME_BYTES + source.wire_len();
    let mut at = 0;
    while at < cri.file.len() {
        let mut slab = slabs.take().expect("within budget");
        // A batch of the default size holds less than a slab.
        let mut region = slab.split_to((SLAB_BYTES / 4).min(cri.file.len() - at));
        let len = region.len();
        region.copy_from_slice(&cri.file[at..at + len]);
        table.clear();
        let position = Position { generation: 0, offset: at as u64 };
        at += decoder.decode(&mut region, position, 0, &mut table).expect("no carry is needed");
        assert!(table.joined.is_empty() && table.malformed_lines == 0);
        let record = |decoded: &ringtail_parse::Decoded| Record {
            time_ns: decoded.time_ns,
            buffer: 0,
            off: decoded.off,
            len: decoded.len,
            source: 0,
            stream: decoded.stream,
            flags: decoded.flags,
        };
        let full = |batch: &Batch| batch.body_bytes() + batch.len() * per_record >= BATCH_BYTES;
        if batches.last().is_some_and(full) {
            batches.push(Batch::default());
        }
        let batch = batches.last_mut().expect("never empty");
        batch.append(&region.freeze(), &source, table.records.iter().map(record));
    }
    batches
}
