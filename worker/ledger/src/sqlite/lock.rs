//! The lock file beside the ledger: one writer at a time, and a name for it.
//!
//! The operating system drops the lock when its holder ends, however it ends; the file itself stays and means nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tradewind_core::time::Timestamp;

use super::fault;
use crate::error::LedgerError;

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    owner: String,
    since: String,
}

/// Held as long as the ledger is open for writing.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(ledger: &Path, owner: &str, now: Timestamp) -> Result<Self, LedgerError> {
        let path = lock_path(ledger);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| fault::io(&path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::Locked { place: ledger.into(), by: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(fault::io(&path, error)),
        }
        let since =
            jiff::Timestamp::from_millisecond(now.0).map_or_else(|_| now.0.to_string(), |t| t.to_string());
        let holder = Holder { pid: std::process::id(), owner: owner.to_owned(), since };
        let text = serde_json::to_vec(&holder)?;
        let written =
            file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(&text));
        written.map_err(|e| fault::io(&path, e))?;
        Ok(Self { _file: file })
    }
}

/// The name of the lock file of a ledger.
pub(super) fn lock_path(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // The holder may be between taking the lock and writing its name.
    let read = file.take(4096).read_to_string(&mut text).ok();
    match read.and_then(|_| serde_json::from_str::<Holder>(&text).ok()) {
        Some(Holder { pid, owner, since }) => format!("{owner} (process {pid}) since {since}"),
        None => "another worker".to_owned(),
    }
}
