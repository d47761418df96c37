//! HTTPS: a server that the system vouches for gets the payloads, another one gets nothing.
//!
//! Which certificates the system trusts is read from `SSL_CERT_FILE`, so that the outputs run in a child.

mod common;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Shard, all_delivered, eventually, http};
use ringtail_ship::Shippers;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

#[test]
fn only_a_server_with_a_trusted_certificate_gets_anything() {
    if let (Ok(trusted), Ok(stranger)) =
        (env::var("RINGTAIL_TEST_TRUSTED"), env::var("RINGTAIL_TEST_STRANGER"))
    {
        return ship_to_both(&trusted, &stranger);
    }
    let (trusted, stranger) = (Server::start(), Server::start());
    let directory = tempfile::tempdir().expect("directory");
    let roots = directory.path().join("roots.pem");
    fs::write(&roots, &trusted.certificate).expect("write");
    let child = Command::new(env::current_exe().expect("this test"))
        .args(["only_a_server_with_a_trusted_certificate_gets_anything", "--exact"])
        .env("RINGTAIL_TEST_TRUSTED", &trusted.url)
        .env("RINGTAIL_TEST_STRANGER", &stranger.url)
        .env("SSL_CERT_FILE", &roots)
        .env_remove("SSL_CERT_DIR")
        .output()
        .expect("child");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(trusted.requests.load(Ordering::SeqCst), 1);
    assert_eq!(stranger.requests.load(Ordering::SeqCst), 0);
}

fn ship_to_both(trusted: &str, stranger: &str) {
    let configs = vec![http("trusted", trusted), http("stranger", stranger)];
    let shippers = Shippers::start(configs, 1, 1).expect("start");
    let (first, second) = (Shard::new(), Shard::new());
    first.ship(&*shippers.outlet("trusted").expect("outlet"), 0, 0, &["a"]);
    second.ship(&*shippers.outlet("stranger").expect("outlet"), 0, 0, &["a"]);
    assert!(all_delivered(&first.answers.wait(1)));
    eventually("an attempt is refused", || shippers.stats()[1].retries > 0);
    let error = shippers.stats()[1].last_error.clone().expect("error").text;
    assert!(error.contains("certificate"), "{error}");
    assert_eq!(second.answers.so_far(), []);
}

/// Answers every request with 200 over TLS, with a certificate of its own making for 127.0.0.1.
struct Server {
    url: String,
    certificate: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("certificate");
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let url = format!("https://{}/ingest", listener.local_addr().expect("address"));
        let (requests, config) = (Arc::new(AtomicUsize::new(0)), Arc::new(config));
        let count = requests.clone();
        thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let mut tls = ServerConnection::new(config.clone()).expect("config");
                // A client that breaks the handshake off ends this connection, not the server.
                if answer(Stream::new(&mut tls, &mut socket)).is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Server { url, certificate: made.cert.pem(), requests }
    }
}

fn answer(mut stream: impl Read + Write) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut stream);
    let mut len = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().expect("length");
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; len])?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
