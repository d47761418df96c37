//! An HTTPS server whose certificate is its own.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

/// Answers every request with 200, until the tests end.
pub(crate) struct TlsSink {
    pub(crate) url: String,
    /// The certificate, in PEM: for `SSL_CERT_FILE`.
    pub(crate) certificate: String,
    requests: Arc<AtomicUsize>,
}

impl TlsSink {
    pub(crate) fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://localhost:{}/", listener.local_addr().expect("an address").port());
        let (requests, config) = (Arc::new(AtomicUsize::new(0)), Arc::new(config));
        let count = requests.clone();
        thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let mut tls = ServerConnection::new(config.clone()).expect("a configuration");
                // A client that breaks off ends this connection, not the server.
                if answer(Stream::new(&mut tls, &mut socket)).is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        TlsSink { url, certificate: made.cert.pem(), requests }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: impl Read + Write) -> io::Result<()> {
    let mut reader = BufReader::new(&mut stream);
    let mut len = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; len])?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
