//! What a run came to, for people and for programs.

use std::time::Duration;

use super::agent::Usage;
use super::screen::{mebibytes, per_second};
use super::verifier::Verdict;

/// The end of a demo.
pub(super) struct Report {
    pub(super) verdict: Verdict,
    /// How long the containers printed.
    pub(super) writing: Duration,
    /// From the start until everything had arrived.
    pub(super) delivering: Duration,
    pub(super) rotations: u64,
    pub(super) message_bytes: u64,
    pub(super) body_bytes: u64,
    pub(super) usage: Usage,
    /// Why the run counts as failed although its lines may have arrived.
    pub(super) problem: Option<String>,
}

impl Report {
    /// Every line once and in order, and a clean end.
    pub(super) fn passed(&self) -> bool {
        self.verdict.exact() && self.problem.is_none()
    }

    /// Prints it to standard output.
    pub(super) fn print(&self, json: bool) {
        match json {
            true => println!("{}", self.json()),
            false => println!("{}", self.text()),
        }
    }

    fn text(&self) -> String {
        let rate = per_second(self.message_bytes, self.delivering);
        let cpu = self.usage.cpu.as_secs_f64();
        let gigabytes = per_second(self.message_bytes, Duration::from_secs(1)) / 1e9;
        let mut text = format!(
            "\n{}\n{:.1} MB/s of messages through {} rotations; the last line arrived {} ms after it was written; \
             {} sent as {} compressed\nCPU {:.1} s ({:.1} s per GB), memory at most {}\n",
            self.verdict,
            rate / 1e6,
            self.rotations,
            self.delivering.saturating_sub(self.writing).as_millis(),
            mebibytes(self.message_bytes),
            mebibytes(self.body_bytes),
            cpu,
            cpu / gigabytes.max(1e-9),
            mebibytes(self.usage.peak_rss),
        );
        if let Some(problem) = &self.problem {
            text.push_str(problem);
            text.push('\n');
        }
        text.push_str(if self.passed() { "PASSED: nothing lost, nothing repeated" } else { "FAILED" });
        text
    }

    fn json(&self) -> serde_json::Value {
        let Verdict { written, delivered, lost, repeated, out_of_order, damaged, .. } = &self.verdict;
        serde_json::json!({
            "passed": self.passed(),
            "written": written,
            "delivered": delivered,
            "lost": lost,
            "repeated": repeated,
            "out_of_order": out_of_order,
            "damaged": damaged,
            "rotations": self.rotations,
            "message_bytes": self.message_bytes,
            "sent_bytes": self.body_bytes,
            "seconds": self.delivering.as_secs_f64(),
            "cpu_seconds": self.usage.cpu.as_secs_f64(),
            "peak_memory_bytes": self.usage.peak_rss,
            "problem": self.problem,
        })
    }
}
