//! From the words of SQLite and the operating system to ours.

use std::io::ErrorKind;
use std::path::Path;

use sqlx::migrate::MigrateError;

use crate::error::LedgerError;
use crate::place::Place;

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

pub(super) fn sql(place: &Place, source: sqlx::Error) -> LedgerError {
    let place = place.clone();
    match code(&source) {
        Some(BUSY | LOCKED) => {
            LedgerError::Locked { place, by: "another program that writes to the file".to_owned() }
        }
        Some(READONLY) => LedgerError::ReadOnly { place },
        Some(FULL) => LedgerError::DiskFull { place },
        Some(CORRUPT | NOTADB) => LedgerError::Corrupt { place },
        _ => LedgerError::Sql { place, source },
    }
}

pub(super) fn io(path: &Path, source: std::io::Error) -> LedgerError {
    match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            LedgerError::ReadOnly { place: path.into() }
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => LedgerError::DiskFull { place: path.into() },
        _ => LedgerError::Io { path: path.to_path_buf(), source },
    }
}

pub(super) fn migration(place: &Place, error: MigrateError) -> LedgerError {
    match error {
        MigrateError::Execute(source) => sql(place, source),
        MigrateError::ExecuteMigration(source, _) if code(&source).is_some_and(|code| code != 1) => {
            sql(place, source)
        }
        other => LedgerError::Migration { place: place.clone(), source: Box::new(other) },
    }
}
