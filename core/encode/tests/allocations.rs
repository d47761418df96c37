//! Once its buffers have grown, a packer allocates nothing.

use std::path::Path;
use std::sync::Arc;

use ringtail_encode::{Compression, Packer, Selection, Wire};
use ringtail_memory::{Budget, CarryPool, Frozen};
use ringtail_record::{Batch, Flags, Record, Source, Stream};

#[test]
fn packing_a_batch_again_allocates_nothing() {
    let carries = CarryPool::new(&Budget::new(64 << 20));
    let mut carry = carries.take(64).expect("within budget");
    carry.push(b"a message with \"quotes\", gr\xc3\xbcn and \xff").expect("within budget");
    let record = Record {
        time_ns: 1,
        buffer: 0,
        off: 0,
        len: u32::try_from(carry.len()).expect("short"),
        source: 0,
        stream: Stream::Stdout,
        flags: Flags::PARTIAL,
    };
    let mut batch = Batch::default();
    let source = Arc::new(Source::from_path(Path::new("/var/log/pods/a_b_c/d/0.log")));
    let records = (0..10_000).map(|n| Record { time_ns: n * 1_000_000_007, ..record });
    batch.append(&Frozen::from(carry), &source, records);
    for compression in Compression::ALL {
        let mut packer = Packer::new(Wire::Ndjson { attributes: Selection::all() }, compression);
        let mut out = Vec::new();
        packer.pack(&batch, &mut out);
        out.clear();
        let counted = allocation_counter::measure(|| {
            packer.pack(&batch, &mut out);
        });
        assert_eq!(counted.count_total, 0, "{compression}");
    }
}
