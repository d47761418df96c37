//! TLS as a client: rustls over ring, which builds with a C compiler alone (aws-lc wants cmake on some targets).

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// A configuration that checks servers against the system's certificates. Where none are `needed` (a plain URL), a
/// system without any, a container image made from scratch, is no error.
pub(crate) fn client_config(needed: bool) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if needed {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let errors: String = found.errors.iter().map(|error| format!("; {error}")).collect();
            return Err(format!("the system has no CA certificates (install ca-certificates){errors}"));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
