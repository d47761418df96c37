//! What `ringtail run` collects without a configuration: every container log that a runtime leaves at its usual place.

use std::path::Path;

/// Where runtimes leave container logs: kubelet, and docker. What kubelet has is not looked for at docker's place.
pub fn directories() -> [&'static Path; 2] {
    [Path::new("/var/log/pods"), Path::new("/var/lib/docker/containers")]
}
