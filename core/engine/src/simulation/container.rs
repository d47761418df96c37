//! A container that logs, and whoever rotates its files: kubelet, dockerd or logrotate.
//!
//! Every record has a number in its stream and says so itself, see [`text`](super::text). Lines are written in pieces, streams are
//! mixed, partials stay open over rotations; a rotation never cuts a line in two.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ringtail_io::Clock;
use ringtail_io::sim::{World, Writer};
use ringtail_record::Stream;

use super::text::{escaped, text};

/// The format of the lines, and with it who writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cri,
    Docker,
    Raw,
}

/// How the log is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// Renamed to a time; the writer opens the new file later; the older ones are compressed.
    Kubelet,
    /// Renamed to `.1`, what was `.1` to `.2`; the writer opens the new file at once.
    Numbered { compress: bool },
    /// Copied to `.1`, then truncated.
    CopyTruncate,
    /// Deleted; the writer opens the new file at once, as dockerd does where it is to keep one file.
    Recreate,
}

/// Records of a container, per stream: from the first to before the second.
pub(super) type Numbers = [Range<u64>; Stream::ALL.len()];

/// What is in no file with a name any more.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) records: Numbers,
    /// Of the whole file: a copy of its beginning need not be taken for one.
    pub(super) bytes: u64,
    /// Who has this file open may read it still. Open here, no other file gets its inode number.
    pub(super) file: Option<Writer>,
}

/// A file that was rotated away.
#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    gz: bool,
    /// The first number per stream that is not in it, nor begun.
    end: [u64; Stream::ALL.len()],
}

/// A line that is still to be written, and the record that it ends.
struct Line {
    bytes: Vec<u8>,
    stream: Stream,
    ends: bool,
}

/// What was written before: the first number per stream that is not, and bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Begin {
    records: [u64; Stream::ALL.len()],
    bytes: u64,
}

/// See the module's description.
pub(super) struct Container {
    world: World,
    pub(super) number: usize,
    kind: Kind,
    rotation: Rotation,
    path: PathBuf,
    writer: Writer,
    /// Renamed, and the writer writes to the renamed file.
    reopens: bool,
    lines: VecDeque<Line>,
    /// Bytes of the first of `lines` that are written.
    begun: usize,
    /// Copied, and not truncated yet: what was in it then.
    copied: Option<Begin>,
    /// Where the file that is written to begins.
    begin: Begin,
    /// What went, and nobody was told of yet.
    gone: Vec<Gone>,
    /// Oldest first.
    rotated: Vec<Rotated>,
    /// The time in the name of the last one, in seconds.
    stamped_at: i64,
    /// The next number per stream.
    next: [u64; Stream::ALL.len()],
    /// Lines that were given a time.
    timed: u32,
    /// The first number per stream that is not wholly in a file.
    pub(super) written: [u64; Stream::ALL.len()],
    /// Bytes of all lines that were ended.
    pub(super) bytes: u64,
}

impl Container {
    pub(super) fn new(world: &World, number: usize, is_jumpy: bool) -> Self {
        let kind = [Kind::Cri, Kind::Docker, Kind::Raw][pick(world, 3)];
        let numbered = Rotation::Numbered { compress: pick(world, 2) == 0 };
        let rotation = match kind {
            Kind::Cri => Rotation::Kubelet,
            Kind::Docker => [numbered, numbered, Rotation::Recreate][pick(world, 3)],
            // How old a short copy is, only the clock tells: where that jumps, it is read twice, or counts as lost.
            Kind::Raw if is_jumpy => numbered,
            Kind::Raw => {
                [Rotation::CopyTruncate, numbered, Rotation::Kubelet, Rotation::Recreate][pick(world, 4)]
            }
        };
        let path = PathBuf::from(match kind {
            Kind::Cri => format!("/var/log/pods/shop_web-{number}_8f1c/app/0.log"),
            Kind::Docker => format!("/var/lib/docker/containers/{number}/{number}-json.log"),
            Kind::Raw => format!("/var/log/apps/app-{number}.log"),
        });
        world.note(format_args!("container {number}: {kind:?}, {rotation:?}"));
        world.mkdir_all(path.parent().expect("an absolute path")).expect("an empty world");
        let writer = world.writer(&path).expect("a new file");
        let mut container = Container {
            world: world.clone(),
            number,
            kind,
            rotation,
            path,
            writer,
            reopens: false,
            lines: VecDeque::new(),
            begun: 0,
            copied: None,
            begin: Begin::default(),
            gone: Vec::new(),
            rotated: Vec::new(),
            stamped_at: 0,
            next: [0; 3],
            timed: 0,
            written: [0; 3],
            bytes: 0,
        };
        if container.rotation == Rotation::CopyTruncate {
            container.begin();
        }
        container
    }

    /// What leads to the logs of all containers.
    pub(super) fn paths() -> Vec<String> {
        ["/var/log/pods/*/*/*.log", "/var/lib/docker/containers/*/*-json.log", "/var/log/apps/*.log"]
            .map(str::to_owned)
            .to_vec()
    }

    /// A log that is emptied in place begins with a line before anybody sees it: what the next rotation finds in one that
    /// was empty cannot be told from what comes after it.
    fn begin(&mut self) {
        if self.lines.is_empty() {
            self.compose(1);
        }
        self.end_line();
    }

    /// The streams that it writes.
    pub(super) fn streams(&self) -> &'static [Stream] {
        match self.kind {
            Kind::Cri | Kind::Docker => &[Stream::Stdout, Stream::Stderr],
            Kind::Raw => &[Stream::None],
        }
    }

    /// Writes up to `most` lines, the last one perhaps not to its end.
    pub(super) fn write(&mut self, most: usize) {
        self.truncate();
        if self.lines.len() < most {
            self.compose(1 + pick(&self.world, most));
        }
        let lines = 1 + pick(&self.world, most.min(self.lines.len()));
        let mut bytes = Vec::new();
        for _ in 0..lines {
            bytes.extend(self.finish_line());
        }
        if let Some(line) = self.lines.front()
            && pick(&self.world, 4) == 0
        {
            let begun = pick(&self.world, line.bytes.len());
            bytes.extend(&line.bytes[..begun]);
            self.begun = begun;
        }
        self.writer.append(bytes).expect("no fault hits a writer");
    }

    /// Writes all that is begun.
    pub(super) fn finish(&mut self) {
        self.truncate();
        let mut bytes = Vec::new();
        while !self.lines.is_empty() {
            bytes.extend(self.finish_line());
        }
        self.writer.append(bytes).expect("no fault hits a writer");
        self.reopen();
    }

    /// Writes the rest of the first line.
    fn end_line(&mut self) {
        let line = self.finish_line();
        self.writer.append(line).expect("no fault hits a writer");
    }

    /// The rest of the first line.
    fn finish_line(&mut self) -> Vec<u8> {
        let Some(mut line) = self.lines.pop_front() else { return Vec::new() };
        self.written[line.stream.index()] += u64::from(line.ends);
        self.bytes += line.bytes.len() as u64;
        line.bytes.drain(..std::mem::take(&mut self.begun));
        line.bytes
    }

    /// Thinks of records, and mixes the lines of the streams.
    fn compose(&mut self, records: usize) {
        let mut streams: Vec<VecDeque<Line>> = Vec::new();
        for stream in self.streams() {
            let mut lines = VecDeque::new();
            for _ in 0..records {
                lines.extend(self.record(*stream));
            }
            streams.push(lines);
        }
        while streams.iter().any(|lines| !lines.is_empty()) {
            let from = pick(&self.world, streams.len());
            self.lines.extend(streams[from].pop_front());
        }
    }

    /// The lines of the next record of `stream`.
    fn record(&mut self, stream: Stream) -> Vec<Line> {
        let number = self.next[stream.index()];
        self.next[stream.index()] += 1;
        let text = text(self.number, stream, number);
        let parts =
            if self.kind != Kind::Raw && pick(&self.world, 5) == 0 { 2 + pick(&self.world, 3) } else { 1 };
        let mut lines = Vec::new();
        let mut rest = &text[..];
        for part in 1..=parts {
            let mut at = if part == parts { rest.len() } else { pick(&self.world, rest.len() + 1) };
            while !rest.is_char_boundary(at) {
                at += 1;
            }
            let (front, back) = rest.split_at(at);
            rest = back;
            let is_last = part == parts;
            let bytes = self.line(stream, front, is_last).into_bytes();
            lines.push(Line { bytes, stream, ends: is_last });
        }
        lines
    }

    fn line(&mut self, stream: Stream, text: &str, is_last: bool) -> String {
        let name = stream.name();
        // No two lines of a runtime bear the same time.
        self.timed += 1;
        let time = format!("2026-01-02T03:04:05.{:09}Z", self.timed);
        match self.kind {
            Kind::Cri => format!("{time} {name} {} {text}\n", if is_last { "F" } else { "P" }),
            Kind::Docker => {
                let end = if is_last { "\\n" } else { "" };
                format!("{{\"log\":\"{}{end}\",\"stream\":\"{name}\",\"time\":\"{time}\"}}\n", escaped(text))
            }
            Kind::Raw => format!("{text}\n"),
        }
    }

    /// Rotates, or ends a rotation that was begun.
    pub(super) fn rotate(&mut self) {
        if self.copied.is_some() {
            return self.truncate();
        }
        if self.begun > 0 {
            self.end_line();
        }
        if self.reopens {
            return self.reopen();
        }
        match self.rotation {
            Rotation::Kubelet => self.kubelet(),
            Rotation::Numbered { compress } => {
                self.shift(compress);
                self.move_away(with_suffix(&self.path, ".1"));
                self.reopens = true;
                self.reopen();
            }
            Rotation::CopyTruncate => {
                self.shift(false);
                let copy = with_suffix(&self.path, ".1");
                self.world.copy(&self.path, &copy).expect("it is there");
                self.rotated.push(Rotated { path: copy, gz: false, end: self.next });
                self.copied = Some(self.here());
            }
            Rotation::Recreate => self.recreate(),
        }
    }

    /// Ends a rotation that copied the log. What is written at the last moment is in no file then, and nobody has seen it.
    pub(super) fn truncate(&mut self) {
        let Some(copied) = self.copied.take() else { return };
        for _ in 0..pick(&self.world, 8).saturating_sub(4) {
            if self.lines.is_empty() {
                self.compose(1);
            }
            self.end_line();
        }
        self.cut(copied);
    }

    /// Empties the log, and nobody has copied it.
    pub(super) fn empty(&mut self) {
        if self.rotation == Rotation::CopyTruncate && self.copied.is_none() {
            self.end_line();
            self.cut(self.begin);
        }
    }

    /// Truncates the log, which loses what was written to it from `from` on.
    fn cut(&mut self, from: Begin) {
        self.writer.truncate(0).expect("it is open");
        self.lose(from, None);
        self.begin();
    }

    /// Deletes the log and begins a new one. No record is in both: whoever sees only the second could not tell its part from
    /// a record.
    fn recreate(&mut self) {
        while !self.lines.is_empty() {
            self.end_line();
        }
        self.world.unlink(&self.path).expect("it is there");
        let writer = self.world.writer(&self.path).expect("a new file");
        let deleted = std::mem::replace(&mut self.writer, writer);
        self.lose(self.begin, Some(deleted));
    }

    /// What was written from `from` on has gone; a file begins here.
    fn lose(&mut self, from: Begin, file: Option<Writer>) {
        let here = self.here();
        let records = std::array::from_fn(|stream| from.records[stream]..here.records[stream]);
        if here.bytes > from.bytes {
            let gone = Gone { records, bytes: here.bytes - self.begin.bytes, file };
            self.world.note(format_args!("container {} loses {gone:?}", self.number));
            self.gone.push(gone);
        }
        self.begin = here;
    }

    fn here(&self) -> Begin {
        Begin { records: self.written, bytes: self.bytes }
    }

    /// What has gone since this was asked last.
    pub(super) fn take_gone(&mut self) -> Vec<Gone> {
        std::mem::take(&mut self.gone)
    }

    /// Renames the log away and back, as kubelet does when the runtime does not reopen it.
    pub(super) fn rename_back(&mut self) {
        if self.reopens || self.copied.is_some() {
            return;
        }
        let away = with_suffix(&self.path, ".20260101-000000");
        self.world.rename(&self.path, &away).expect("it is there");
        if pick(&self.world, 2) == 0 {
            self.write(3);
        }
        self.world.rename(&away, &self.path).expect("it is there");
    }

    /// Deletes the oldest rotated file, if `may` says so of what is in it.
    pub(super) fn delete_oldest(&mut self, may: impl FnOnce([u64; Stream::ALL.len()]) -> bool) {
        if self.reopens || self.copied.is_some() {
            return;
        }
        if self.rotated.first().is_some_and(|oldest| may(oldest.end)) {
            let oldest = self.rotated.remove(0);
            self.world.unlink(&oldest.path).expect("it is there");
        }
    }

    fn kubelet(&mut self) {
        self.compress();
        let to = self.stamped();
        self.move_away(to);
        self.reopens = true;
    }

    /// The log's name with the time; never one before the last. Where the clock goes back kubelet's names do so too, and the order
    /// of its files is not in their names any more: see docs/reliability.md.
    fn stamped(&mut self) -> PathBuf {
        let seconds = self.world.clock().wall_ns().div_euclid(1_000_000_000);
        self.stamped_at = seconds.max(self.stamped_at + 1);
        with_suffix(&self.path, &format!(".{}", stamp(self.stamped_at)))
    }

    fn move_away(&mut self, to: PathBuf) {
        self.world.rename(&self.path, &to).expect("it is there");
        self.rotated.push(Rotated { path: to, gz: false, end: self.next });
    }

    fn reopen(&mut self) {
        if std::mem::take(&mut self.reopens) {
            // A container that kubelet rotated wrote on meanwhile.
            self.rotated.last_mut().expect("just rotated").end = self.next;
            self.writer = self.world.writer(&self.path).expect("a new file");
        }
    }

    /// Compresses what is not compressed, but the newest.
    fn compress(&mut self) {
        let newest = self.rotated.len().saturating_sub(1);
        for rotated in self.rotated[..newest].iter_mut().filter(|rotated| !rotated.gz) {
            self.world.gzip(&rotated.path).expect("it is there");
            rotated.gz = true;
            rotated.path = with_suffix(&rotated.path, ".gz");
        }
    }

    /// Makes room for a new `.1`.
    fn shift(&mut self, compress: bool) {
        let count = self.rotated.len();
        for (at, rotated) in self.rotated.iter_mut().enumerate() {
            let end = if rotated.gz { ".gz" } else { "" };
            let to = with_suffix(&self.path, &format!(".{}{end}", count - at + 1));
            self.world.rename(&rotated.path, &to).expect("it is there");
            rotated.path = to;
        }
        if compress {
            self.compress();
        }
    }
}

/// `20260102-030405`, of seconds since 1970 (after Hinnant's `civil_from_days`).
fn stamp(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day = of_era - (365 * year + year / 4 - year / 100);
    let (month, day) = ((5 * day + 2) / 153, day - (153 * ((5 * day + 2) / 153) + 2) / 5 + 1);
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", time / 3_600, time / 60 % 60, time % 60)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A random number below `bound`.
pub(super) fn pick(world: &World, bound: usize) -> usize {
    usize::try_from(world.random(bound.max(1) as u64)).expect("below a usize")
}
