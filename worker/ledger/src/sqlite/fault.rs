//! From the words of SQLite and the operating system to ours.

use std::io::ErrorKind;
use std::path::Path;

use sqlx::migrate::MigrateError;

use crate::error::LedgerError;

// Primary result codes, https://www.sqlite.org/rescode.html; extended ones carry them in their low byte.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
pub(super) const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
pub(super) const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

/// The primary result code, if SQLite answered at all.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

pub(super) fn sql(path: &Path, source: sqlx::Error) -> LedgerError {
    let path = path.to_path_buf();
    match code(&source) {
        Some(BUSY | LOCKED) => {
            LedgerError::Locked { path, by: "another program that writes to the file".to_owned() }
        }
        Some(READONLY) => LedgerError::ReadOnly { path },
        Some(FULL) => LedgerError::DiskFull { path },
        Some(CORRUPT | NOTADB) => LedgerError::Corrupt { path },
        _ => LedgerError::Sql { path, source },
    }
}

pub(super) fn io(path: &Path, source: std::io::Error) -> LedgerError {
    let path = path.to_path_buf();
    match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => LedgerError::ReadOnly { path },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => LedgerError::DiskFull { path },
        _ => LedgerError::Io { path, source },
    }
}

pub(super) fn migration(path: &Path, error: MigrateError) -> LedgerError {
    match error {
        MigrateError::Execute(source) => sql(path, source),
        MigrateError::ExecuteMigration(source, _) if code(&source).is_some_and(|code| code != 1) => {
            sql(path, source)
        }
        other => LedgerError::Migration { path: path.to_path_buf(), source: Box::new(other) },
    }
}
