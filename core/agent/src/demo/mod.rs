//! `ringtail demo`: the agent on container-like logs that it writes itself.
//!
//! A [node](node) of containers prints numbered messages into a temporary directory, with every rotation that
//! kubelet and dockerd do. The agent runs as a child process, as on a real node, and delivers over HTTP to a
//! [`Sink`] in this process, whose [`Verifier`] knows what was written. Writers, sink and agent are separate
//! processes as far as the figures go: CPU and memory are the agent's.
//!
//! The writers, the sink and the verifier are shared with the tests of the whole product.

pub mod agent;
pub mod container;
pub mod cri;
pub mod dockerd;
pub mod http;
pub mod kubelet;
pub mod load;
pub mod message;
mod node;
mod report;
mod screen;
pub mod sink;
mod stamp;
pub mod verifier;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

pub use self::sink::Sink;
pub use self::verifier::{Verdict, Verifier};

use self::agent::Agent;
use self::container::Written;
use self::node::Node;
use self::report::Report;
use self::screen::{Figures, Screen};
use self::sink::Reply;
use crate::cli::Common;
use crate::config;
use crate::exit::Exit;

/// How long the agent may go without delivering anything while lines wait.
const STALL: Duration = Duration::from_secs(15);
/// How long the agent may take to end.
const STOP: Duration = Duration::from_secs(40);
const TICK: Duration = Duration::from_millis(50);

/// The options of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How long the containers print, such as 20s or 5m.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = config::duration)]
    pub duration: Duration,
    /// How many lines a second they print together.
    #[arg(long, value_name = "LINES", default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
}

/// Runs the demo: done when every line was delivered once, in order.
pub fn main(args: &Args, common: Common) -> Exit {
    match run(args, common) {
        Ok(report) => {
            report.print(common.json);
            if report.passed() { Exit::Done } else { Exit::Failed }
        }
        Err(error) => {
            eprintln!("ringtail demo: {error}");
            Exit::Failed
        }
    }
}

fn run(args: &Args, common: Common) -> io::Result<Report> {
    let interrupts = Interrupts::catch()?;
    let dir = tempfile::Builder::new().prefix("ringtail-demo-").tempdir()?;
    let sink = Sink::start(|| Reply::OK)?;
    let config = dir.path().join("ringtail.yaml");
    fs::write(&config, configuration(dir.path(), &sink.url()))?;
    if !common.json {
        eprintln!(
            "{} containers print {} lines/s in {} for {:?}; Ctrl-C ends it earlier.",
            node::CONTAINERS,
            args.rate,
            dir.path().display(),
            args.duration
        );
    }
    let node = Node::start(dir.path(), args.rate)?;
    let agent = Agent::start(&std::env::current_exe()?, &config, &dir.path().join("agent.log"))?;
    Demo { sink, agent, interrupts, screen: Screen::new(), start: Instant::now() }.run(node, args.duration)
}

struct Demo {
    sink: Sink,
    agent: Agent,
    interrupts: Interrupts,
    screen: Screen,
    start: Instant,
}

impl Demo {
    fn run(mut self, node: Node, duration: Duration) -> io::Result<Report> {
        while self.start.elapsed() < duration
            && !self.interrupts.any()
            && !node.failed()
            && self.agent.ended().is_none()
        {
            thread::sleep(TICK);
            self.show(node.written(), node.rotations());
        }
        let rotations = node.rotations();
        let (written, writers) = node.stop();
        let writing = self.start.elapsed();
        self.drain(&written, rotations);
        let delivering = self.start.elapsed();
        let early = self.agent.ended();
        self.agent.signal(Signal::TERM);
        let ended = self.agent.wait(STOP);
        self.screen.end();
        writers?;
        let verdict = self
            .sink
            .verifier()
            .verdict(written.iter().map(|written| (written.stream.as_ref(), written.count())));
        let mut problem = None;
        if early.is_some() || ended.is_none_or(|status| !status.success()) {
            let how =
                ended.map_or("did not end after SIGTERM".into(), |status| format!("ended with {status}"));
            problem = Some(format!("the agent {how}; it said:\n{}", tail(&self.agent.said())));
        }
        Ok(Report {
            verdict,
            writing,
            delivering,
            rotations,
            message_bytes: self.sink.message_bytes(),
            body_bytes: self.sink.body_bytes(),
            usage: self.agent.usage(),
            problem,
        })
    }

    /// Waits until everything has arrived, or nothing more arrives.
    fn drain(&mut self, written: &[Written], rotations: u64) {
        let (all, _) = load::total(written);
        let (mut delivered, mut moved) = (0, Instant::now());
        while moved.elapsed() < STALL && self.interrupts.count() < 2 && self.agent.ended().is_none() {
            let now = self.show(written, rotations).delivered;
            if now >= all {
                return;
            }
            if now != delivered {
                (delivered, moved) = (now, Instant::now());
            }
            thread::sleep(TICK);
        }
    }

    fn show(&mut self, written: &[Written], rotations: u64) -> Figures {
        let (messages, repeated) = {
            let verifier = self.sink.verifier();
            (verifier.messages(), verifier.repeated())
        };
        let figures = Figures {
            written: load::total(written).0,
            delivered: messages.saturating_sub(repeated),
            repeated,
            message_bytes: self.sink.message_bytes(),
            rotations,
            usage: self.agent.usage(),
        };
        self.screen.show(figures);
        figures
    }
}

/// The last lines of what the agent said.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Paths are quoted as JSON strings, which YAML reads alike.
fn configuration(dir: &Path, url: &str) -> String {
    let path = |rest: &str| serde_json::Value::from(dir.join(rest).to_string_lossy()).to_string();
    format!(
        "data_dir: {}\nadmin: off\n\
         outputs:\n  demo: {{type: http, url: \"{url}\", compression: zstd}}\n\
         pipelines:\n  demo:\n    from:\n      files: {{paths: [{}, {}]}}\n      start: beginning\n    to: [demo]\n",
        path("data"),
        path("pods/*/*/*.log"),
        path("containers/*/*-json.log"),
    )
}

/// How often the user has asked to stop, by Ctrl-C or SIGTERM.
struct Interrupts(Arc<AtomicU32>);

impl Interrupts {
    fn catch() -> io::Result<Self> {
        let count = Arc::new(AtomicU32::new(0));
        let counting = Arc::clone(&count);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            use tokio::signal::unix::{SignalKind, signal};
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                    counting.fetch_add(1, Relaxed);
                }
            })
        });
        Ok(Interrupts(count))
    }

    fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }

    fn any(&self) -> bool {
        self.count() > 0
    }
}
