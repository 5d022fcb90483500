//! A ledger as a text of JSON lines, the same whatever database it is of: to keep, to move, and to be restored from.
//!
//! The first line says whose ledger it is, each further one holds a row (`["table",[value, ...]]`), the last one how many
//! rows there are and where the chain ends. A text without its last line is no backup.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use tradewind_core::name::Uid;
use tradewind_core::order::Incarnation;
use tradewind_core::time::Timestamp;

use crate::chain::{ChainHead, Value};
use crate::error::LedgerError;
use crate::sql::dump;
use crate::sql::open::Opener;
use crate::sql::{Dialect, Scope, SqlReader};

/// The form of the text.
const FORM: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Header {
    tradewind_ledger: u32,
    account: Uid,
    account_name: SmolStr,
    incarnation: u32,
    created_at: i64,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Trailer {
    rows: u64,
    head: String,
}

/// A table of a ledger, for those who read it row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumns {
    /// Its name.
    pub name: &'static str,
    /// Its columns, in the order values come in.
    pub columns: Vec<&'static str>,
}

/// The tables that can be exported.
pub fn tables() -> Vec<TableColumns> {
    dump::tables()
        .iter()
        .map(|table| TableColumns { name: table.name, columns: table.columns.clone() })
        .collect()
}

impl<D: Dialect> SqlReader<D> {
    /// Tells every row of the named tables as of one moment, table by table, oldest first. Fails with
    /// [`LedgerError::Copy`] as soon as the listener does.
    pub async fn export(
        &mut self,
        tables: &[&str],
        tell: &mut dyn FnMut(&str, &[Value<'static>]) -> std::io::Result<()>,
    ) -> Result<ChainHead, LedgerError> {
        // Once: what was told cannot be taken back.
        let told = self.db.attempt(async |db: &mut Scope<'_, D>| {
            dump::rows(db, tables, &mut |table, values| tell(table, &values)).await
        });
        let (head, told) = told.await?;
        told.map_err(|source| LedgerError::Copy { source })?;
        Ok(head)
    }

    /// Writes a backup of the ledger as of one moment, also while a worker writes.
    pub async fn backup(&mut self, out: &mut dyn Write) -> Result<ChainHead, LedgerError> {
        let io = |source| LedgerError::Copy { source };
        let row = self.db.ask(dump::identity::<D>).await?;
        let header = Header {
            tradewind_ledger: FORM,
            account: self.account().await?.0,
            account_name: row.account_name.into(),
            incarnation: row.incarnation.0,
            created_at: row.created_at,
        };
        line(out, &header).map_err(io)?;
        let names: Vec<&str> = dump::tables().iter().map(|table| table.name).collect();
        let mut rows: u64 = 0;
        let head = self
            .export(&names, &mut |table, values| {
                rows = rows.saturating_add(1);
                line(out, &(table, values))
            })
            .await?;
        line(out, &Trailer { rows, head: head.to_string() }).map_err(io)?;
        out.flush().map_err(io)?;
        Ok(head)
    }
}

fn line(out: &mut dyn Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// A backup that was read to its end: it is whole.
#[derive(Debug)]
pub struct Backup {
    header: Header,
    rows: Vec<(String, Vec<Value<'static>>)>,
    head: ChainHead,
}

impl Backup {
    /// Reads a backup. Fails with [`LedgerError::BadCopy`] naming the first line that is not as written.
    pub fn read(text: impl BufRead) -> Result<Self, LedgerError> {
        let mut lines = text.lines();
        let bad = |line: usize| LedgerError::BadCopy { line };
        let first = lines.next().transpose().map_err(|source| LedgerError::Copy { source })?;
        let header: Header = serde_json::from_str(&first.unwrap_or_default()).map_err(|_| bad(1))?;
        if header.tradewind_ledger != FORM {
            return Err(bad(1));
        }
        let mut rows = Vec::new();
        for (number, text) in (2..).zip(lines) {
            let text = text.map_err(|source| LedgerError::Copy { source })?;
            if let Ok(row) = serde_json::from_str(&text) {
                rows.push(row);
                continue;
            }
            let trailer: Trailer = serde_json::from_str(&text).map_err(|_| bad(number))?;
            let head = trailer.head.parse().map_err(|_| bad(number))?;
            let whole = u64::try_from(rows.len()).is_ok_and(|count| count == trailer.rows);
            return if whole { Ok(Self { header, rows, head }) } else { Err(bad(number)) };
        }
        Err(bad(rows.len().saturating_add(2)))
    }

    /// The name of the account it is of.
    pub fn account_name(&self) -> &SmolStr {
        &self.header.account_name
    }

    /// Where its chain ends.
    pub fn head(&self) -> ChainHead {
        self.head
    }

    /// The identity the restored ledger has: that of the one the backup is of.
    pub(crate) fn opener(&self) -> Opener {
        Opener {
            account: self.header.account,
            account_name: self.header.account_name.clone(),
            owner: String::new(),
            now: Timestamp(self.header.created_at),
            incarnation: Incarnation(self.header.incarnation),
        }
    }

    /// Writes all rows into a ledger that has none yet, checks them, and halts it.
    pub(crate) async fn write<D: Dialect>(
        self,
        db: &mut Scope<'_, D>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let head = self.head;
        let found = dump::insert_all(db, self.rows, now).await?;
        if found == head { Ok(()) } else { Err(LedgerError::Corrupt { place: db.place().clone() }) }
    }
}
