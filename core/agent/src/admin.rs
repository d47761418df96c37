//! The admin endpoint: `/metrics`, `/healthz`, `/readyz`.
//!
//! One thread of its own, so that it answers while everything else is busy. It never changes anything. Limits: the
//! number and the age of connections; more wait in the kernel's queue.

mod listener;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use listener::Bounded;

use crate::metrics::{CONTENT_TYPE, Metrics};

/// Whom the endpoint asks. Called on its thread; must answer at once.
pub trait Figures: Send + Sync {
    /// All figures, now.
    fn metrics(&self) -> Metrics;

    /// Whether it works at all; if not, why. A restart is what helps.
    fn healthy(&self) -> Result<(), String>;

    /// Whether it collects now; if not, why.
    fn ready(&self) -> Result<(), String>;
}

/// The running endpoint; dropping it ends it.
pub struct Admin {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Listens at `address` and answers from `figures`.
    pub fn start(address: SocketAddr, figures: Arc<dyn Figures>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let bounded = Bounded::new(listener);
                let serve = axum::serve(bounded, router(figures));
                // What is being answered when the end comes is not waited for: nobody counts on it.
                tokio::select! {
                    _ = serve => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Admin { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens; the port that the kernel chose where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(figures: Arc<dyn Figures>) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async |State(figures): State<Arc<dyn Figures>>| answer(figures.healthy())))
        .route("/readyz", get(async |State(figures): State<Arc<dyn Figures>>| answer(figures.ready())));
    router.with_state(figures)
}

async fn metrics(State(figures): State<Arc<dyn Figures>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], figures.metrics().text())
}

fn answer(state: Result<(), String>) -> (StatusCode, String) {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    struct Draining;

    impl Figures for Draining {
        fn metrics(&self) -> Metrics {
            Metrics { open_files: 42, ..Metrics::default() }
        }

        fn healthy(&self) -> Result<(), String> {
            Ok(())
        }

        fn ready(&self) -> Result<(), String> {
            Err("stopping".into())
        }
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("listens");
        write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    #[test]
    fn it_answers_what_it_is_asked_and_nothing_else_and_ends() {
        let admin =
            Admin::start(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(Draining)).expect("a free port");
        let address = admin.address();
        let metrics = ask(address, "GET /metrics");
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(
            metrics.contains("text/plain; version=0.0.4") && metrics.contains("\nringtail_open_files 42\n")
        );
        assert!(ask(address, "GET /healthz").ends_with("\r\n\r\nok\n"));
        let ready = ask(address, "GET /readyz");
        assert!(ready.starts_with("HTTP/1.1 503") && ready.ends_with("stopping\n"), "{ready}");
        assert!(ask(address, "GET /other").starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /metrics").starts_with("HTTP/1.1 405"));
        drop(admin);
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn an_address_that_is_taken_is_an_error_at_the_start() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("an address");
        assert!(Admin::start(address, Arc::new(Draining)).is_err());
    }
}
