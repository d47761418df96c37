//! Why there is no ring, in words for whoever runs the node.

use std::{fmt, fs, io};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Why io_uring is not to be had.
#[derive(Debug)]
pub struct Refusal {
    cause: String,
    error: Option<io::Error>,
}

impl Refusal {
    /// `io_uring_setup` failed with `error`.
    pub(super) fn of(error: io::Error) -> Self {
        let facts = Facts::of_this_machine();
        Refusal { cause: facts.likely_cause(Errno::from_io_error(&error)), error: Some(error) }
    }

    /// The kernel's ring lacks an operation.
    pub(super) fn lacks(operation: &str) -> Self {
        let kernel = Facts::of_this_machine().kernel;
        Refusal {
            cause: format!("the ring of kernel {kernel} lacks {operation} (Linux 5.6 has it)"),
            error: None,
        }
    }

    /// The likely cause and, where there is one, the remedy.
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "io_uring_setup: {error}: {}", self.cause),
            None => write!(f, "{}", self.cause),
        }
    }
}

impl std::error::Error for Refusal {}

/// What the cause is guessed from.
#[derive(Debug)]
struct Facts {
    /// `kernel.io_uring_disabled`, where the kernel (6.6) has it: 0 allowed, 1 for a group, 2 for nobody.
    disabled: Option<u8>,
    /// As `uname -r` has it.
    kernel: String,
    /// Bytes that may be locked; nothing: as many as one likes.
    memlock: Option<u64>,
}

impl Facts {
    fn of_this_machine() -> Self {
        let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        Facts {
            disabled: disabled.ok().and_then(|text| text.trim().parse().ok()),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            memlock: getrlimit(Resource::Memlock).current,
        }
    }

    fn likely_cause(&self, errno: Option<Errno>) -> String {
        let kernel = &self.kernel;
        match errno {
            Some(Errno::PERM | Errno::ACCESS) => match self.disabled {
                Some(level @ (1 | 2)) => format!("sysctl kernel.io_uring_disabled is {level}; 0 allows it"),
                _ => "a seccomp profile refuses it, as the default ones of Docker and containerd do, or a security \
                      module; ringtail's seccomp profile allows it"
                    .into(),
            },
            Some(Errno::NOSYS) if older_than_5_1(kernel) => {
                format!("kernel {kernel} is older than 5.1, which brought it")
            }
            Some(Errno::NOSYS) => format!(
                "kernel {kernel} was built without it (CONFIG_IO_URING), or a seccomp profile hides it, as Podman's does"
            ),
            Some(Errno::NOMEM) => match self.memlock {
                Some(bytes) => format!(
                    "too little memory may be locked ({bytes} bytes; kernels before 5.12 and since 6.14 count a ring as \
                     locked); raise RLIMIT_MEMLOCK"
                ),
                None => "the kernel is out of memory".into(),
            },
            Some(Errno::MFILE | Errno::NFILE) => "no file descriptor is left; raise RLIMIT_NOFILE".into(),
            _ => format!("kernel {kernel} does not set it up"),
        }
    }
}

fn older_than_5_1(kernel: &str) -> bool {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) < (5, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(errno: Errno, disabled: Option<u8>, kernel: &str, memlock: Option<u64>) -> String {
        Facts { disabled, kernel: kernel.into(), memlock }.likely_cause(Some(errno))
    }

    /// Each refusal that is met in the field names what an operator has to look at.
    #[test]
    fn a_refusal_names_its_likely_cause() {
        assert!(cause(Errno::PERM, Some(0), "6.8.0", None).contains("seccomp"));
        assert!(cause(Errno::PERM, None, "5.15.0-generic", None).contains("seccomp"));
        assert!(cause(Errno::PERM, Some(2), "6.8.0", None).contains("kernel.io_uring_disabled is 2"));
        assert!(cause(Errno::NOSYS, None, "4.18.0-553.el8", None).contains("older than 5.1"));
        assert!(cause(Errno::NOSYS, None, "6.8.0", None).contains("CONFIG_IO_URING"));
        assert!(cause(Errno::NOMEM, None, "5.4.0", Some(65536)).contains("65536 bytes"));
        assert!(cause(Errno::MFILE, None, "6.8.0", None).contains("RLIMIT_NOFILE"));
    }
}
