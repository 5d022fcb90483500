//! Where the socket lies, and how it is named when its path is too long for the system.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::ControlError;

/// Name of the socket in the data directory.
pub const SOCKET_FILE: &str = "control.sock";

/// Bytes of a socket's path that every system takes: Linux has room for 107, macOS for 103.
const MAX_PATH_BYTES: usize = 100;

/// A socket's path and the shorter name it is reached by.
#[derive(Debug)]
pub(super) struct Address {
    /// For files and messages.
    pub(super) path: PathBuf,
    /// For `bind` and `connect`; good as long as this value lives.
    pub(super) name: PathBuf,
    _directory: Option<File>,
}

impl Address {
    /// The socket of a data directory. A path too long for a socket is reached through the open directory, on systems
    /// that have `/proc`. None when the directory does not exist.
    pub(super) fn of(data_dir: &Path) -> Result<Option<Self>, ControlError> {
        let path = data_dir.join(SOCKET_FILE);
        if path.as_os_str().as_bytes().len() <= MAX_PATH_BYTES {
            return Ok(Some(Self { name: path.clone(), path, _directory: None }));
        }
        let directory = match File::open(data_dir) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ControlError::Io { path, source }),
        };
        let through = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        if through.is_dir() {
            Ok(Some(Self { path, name: through.join(SOCKET_FILE), _directory: Some(directory) }))
        } else {
            Err(ControlError::PathTooLong { path, limit: MAX_PATH_BYTES })
        }
    }

    /// An error on this socket.
    pub(super) fn failed(&self, source: io::Error) -> ControlError {
        ControlError::Io { path: self.path.clone(), source }
    }
}
