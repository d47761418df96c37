//! Packers: threads that encode and compress.
//!
//! A packer never waits for an output: what a lane cannot send yet waits in the lane's queue, which the output's credit
//! bounds. So one slow output holds up no other. Limits: [`PACKER_QUEUE_BYTES`] sealed before each packer; one buffer
//! each, as large as its largest payload.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use ringtail_encode::{Packer, Wire};
use ringtail_memory::{Credit, CreditLease};
use ringtail_record::Batch;

use crate::config::SinkConfig;
use crate::output::{Output, Working};
use crate::payload::{Payload, Ticket};
use crate::stats::add;

/// Bytes that may wait, sealed but not yet encoded, before one packer: a reader ten times as fast as compression must
/// not fill the memory it may use.
pub const PACKER_QUEUE_BYTES: usize = 4 << 20;

/// A packer's buffer that grew beyond this is given back after use.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// What a packer is asked to do.
pub(crate) enum Job {
    Pack {
        output: Arc<Output>,
        lane: u32,
        batch: Batch,
        queued: CreditLease,
        ticket: Ticket,
    },
    /// Nothing follows on this lane.
    End {
        output: Arc<Output>,
        lane: u32,
    },
    Stop,
}

/// The way to a packer. What waits there is bounded by its credit.
pub(crate) struct PackerPort {
    jobs: Sender<Job>,
    queue_credit: Credit,
}

impl PackerPort {
    /// To a packer that has stopped, a job is dropped: its batch is returned.
    pub(crate) fn send(&self, job: Job) {
        drop(self.jobs.send(job));
    }

    pub(crate) fn queue_credit(&self) -> &Credit {
        &self.queue_credit
    }
}

/// Starts packer number `index`. It drops `working` when it has stopped.
pub(crate) fn start(index: usize, working: Working) -> io::Result<(PackerPort, JoinHandle<()>)> {
    let (jobs, queue) = unbounded();
    let thread = Builder::new().name(format!("pack-{index}")).spawn(move || {
        run(&queue);
        drop(working);
    })?;
    Ok((PackerPort { jobs, queue_credit: Credit::new(PACKER_QUEUE_BYTES) }, thread))
}

fn run(queue: &Receiver<Job>) {
    // One encoder an output: it knows the output's format, and its compressor's tables are large.
    let mut encoders: HashMap<u64, Packer> = HashMap::new();
    let mut buffer = Vec::new();
    while let Ok(job) = queue.recv() {
        match job {
            Job::Pack { output, lane, batch, queued, ticket } if !output.is_abandoned() => {
                let encoder = encoders.entry(output.id).or_insert_with(|| encoder(&output));
                let payload = pack(encoder, &mut buffer, &output, &batch, ticket);
                // The slabs go before the payload does: what waits for an answer is the payload alone.
                drop((batch, queued));
                match payload.bytes.is_empty() {
                    true => payload.delivered(),
                    false => output.send(lane, payload),
                }
            }
            Job::Pack { .. } => {}
            Job::End { output, lane } => {
                encoders.remove(&output.id);
                output.end(lane);
            }
            Job::Stop => return,
        }
    }
}

fn encoder(output: &Output) -> Packer {
    let wire = match output.config.sink {
        SinkConfig::Stdout { text: true } => Wire::Text,
        _ => Wire::Ndjson { attributes: output.config.attributes.clone() },
    };
    Packer::new(wire, output.config.compression)
}

/// Encodes into `buffer` and copies out exactly what there is: a payload then holds the bytes that its credit says and
/// no spare capacity, and the buffer stays warm. The copy runs at ten times the speed of the compression before it.
fn pack(
    encoder: &mut Packer,
    buffer: &mut Vec<u8>,
    output: &Output,
    batch: &Batch,
    mut ticket: Ticket,
) -> Payload {
    buffer.clear();
    let packed = encoder.pack(batch, buffer);
    add(&output.stats.replaced_utf8, packed.replaced_utf8);
    let bytes = Bytes::copy_from_slice(buffer);
    if buffer.capacity() > BUFFER_KEPT_BYTES {
        *buffer = Vec::new();
    }
    ticket.shrink_to(bytes.len());
    Payload { bytes, ticket }
}
