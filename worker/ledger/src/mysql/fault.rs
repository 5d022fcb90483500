//! From the words of the server and the network to ours.

use std::io::ErrorKind;

use sqlx::mysql::MySqlDatabaseError;

use crate::error::LedgerError;
use crate::place::Place;

// Numbers of https://mariadb.com/kb/en/mariadb-error-code-reference/; MySQL has the same for those below 1900.
/// Rows held by another session; a deadlock, in which ours gave way; a row newer than the snapshot.
const BUSY: [u16; 3] = [1205, 1213, 1020];
/// Wrong user, password or host; no such database; no right to it.
const REFUSED: [u16; 6] = [1044, 1045, 1049, 1130, 1698, 1862];
/// A command denied on a table, a column or at all.
pub(super) const DENIED: [u16; 4] = [1142, 1143, 1227, 1370];
/// A server that is read-only, or a session that is.
const READ_ONLY: [u16; 3] = [1290, 1792, 1836];
/// A full disk or table.
const FULL: [u16; 4] = [3, 1021, 1026, 1114];
/// A server that stops, drops or turns away connections, or ends a statement.
const AWAY: [u16; 11] = [1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1317, 1927, 1969];
/// A damaged table.
const CORRUPT: [u16; 4] = [1034, 1194, 1195, 1712];
/// Triggers are not for this user: the command is denied, or a binary log asks for more than that.
pub(super) const NO_TRIGGERS: [u16; 3] = [1142, 1227, 1419];

/// The server's number of the error, if it was the server that spoke.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

pub(super) fn sql(place: &Place, source: sqlx::Error) -> LedgerError {
    let place = place.clone();
    match (number(&source), &source) {
        (Some(n), _) if BUSY.contains(&n) => LedgerError::Busy { place, source },
        (Some(n), _) if REFUSED.contains(&n) => LedgerError::Refused { place, source },
        (Some(n), _) if READ_ONLY.contains(&n) || DENIED.contains(&n) => LedgerError::ReadOnly { place },
        (Some(n), _) if FULL.contains(&n) => LedgerError::DiskFull { place },
        (Some(n), _) if CORRUPT.contains(&n) => LedgerError::Corrupt { place },
        (Some(n), _) if AWAY.contains(&n) => LedgerError::Unreachable { place, source },
        // Half an answer looks like a breach of the protocol.
        (None, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => LedgerError::Unreachable { place, source },
        _ => LedgerError::Sql { place, source },
    }
}

/// While connecting also what is wrong with a certificate.
pub(super) fn connecting(place: &Place, source: sqlx::Error) -> LedgerError {
    match &source {
        sqlx::Error::Tls(_) => LedgerError::Insecure { place: place.clone(), source },
        sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            LedgerError::Insecure { place: place.clone(), source }
        }
        _ => sql(place, source),
    }
}
