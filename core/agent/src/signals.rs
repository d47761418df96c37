//! Signals of an operator or of the kernel: stop, reload.

use std::io;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

/// Signals to stop that come so soon after the first are the same request: `timeout` and supervisors signal a process
/// and its group.
const SAME_REQUEST: Duration = Duration::from_millis(300);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// SIGTERM or SIGINT: finish what was begun and end. A second one ends the process at once.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// Catches signals from now on, on a thread that ends with the process.
pub fn listen() -> io::Result<Receiver<Control>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    // Registered before anything else starts: a signal that comes early is not lost.
    let guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(guard);
    let (sender, receiver) = unbounded();
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            let mut stopping: Option<Instant> = None;
            loop {
                let control = tokio::select! {
                    _ = terminate.recv() => Control::Stop,
                    _ = interrupt.recv() => Control::Stop,
                    _ = hangup.recv() => Control::Reload,
                };
                if let (Control::Stop, Some(first)) = (control, stopping) {
                    if first.elapsed() < SAME_REQUEST {
                        continue;
                    }
                    warn!("second signal: ending at once; what was not acknowledged comes again");
                    process::exit(1);
                }
                if control == Control::Stop {
                    stopping = Some(Instant::now());
                }
                // Nobody listens any more at the very end.
                let _ = sender.send(control);
            }
        });
    })?;
    Ok(receiver)
}
