//! The ledger in one SQLite file: write-ahead log, full sync on each commit, one writer, any number of readers.
//!
//! A commit that has returned survives a crash of the process, the kernel and the machine. The file is opened by one
//! worker at a time, held apart by a lock file and, where that fails, by the epoch each commit checks.

use std::path::{Path, PathBuf};

use smol_str::SmolStr;
use sqlx::Connection;
use sqlx::SqliteConnection;
use tradewind_core::halt::Halt;
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::Incarnation;
use tradewind_core::recovery::{History, LedgerIdentity};
use tradewind_core::time::Timestamp;

use crate::balances::Balances;
use crate::chain::ChainHead;
use crate::error::LedgerError;
use crate::port::{
    BalanceRow, Batch, Committed, DecisionFilter, DecisionRow, EquityRow, Ledger, LedgerReader, OutcomeCount,
    Pruned, TradeRow,
};

mod commit;
mod counts;
mod fault;
mod lock;
mod open;
mod prune;
mod read;
mod verify;

/// How a ledger is opened for writing.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The account it must belong to.
    pub account: Uid,
    /// The account's name, for messages.
    pub account_name: SmolStr,
    /// Who opens it (worker and pod, say), for the message a second worker gets.
    pub owner: String,
    /// The present time, for people.
    pub now: Timestamp,
    /// Tag of all client order ids if the ledger is new; an existing ledger keeps its own. Must be random.
    pub incarnation: Incarnation,
    /// The file does not grow beyond this; commits then fail with [`LedgerError::DiskFull`]. None: no limit but the
    /// volume's.
    pub max_bytes: Option<u64>,
}

/// A ledger opened for writing. Dropped, it gives up its lock; [`SqliteLedger::close`] also waits for the file.
#[derive(Debug)]
pub struct SqliteLedger {
    // Before the lock: the connection must be gone when another worker may come.
    db: SqliteReader,
    identity: LedgerIdentity,
    // As of the last commit; none when it must be read again, because a commit was cut off.
    cache: Option<Cache>,
    sql: commit::BulkSql,
    _lock: lock::Lock,
}

/// A ledger opened for reading: no lock, no change, also while a worker writes.
#[derive(Debug)]
pub struct SqliteReader {
    conn: SqliteConnection,
    path: PathBuf,
}

#[derive(Debug, Clone)]
struct Cache {
    head: ChainHead,
    balances: Balances,
}

impl SqliteLedger {
    /// Opens or creates the ledger, brings its schema up to date, checks the last 256 rows of its chain and raises its
    /// epoch.
    ///
    /// Fails with [`LedgerError::Locked`] while another worker has it, and with the variants for a newer schema, another
    /// account, a changed row, a damaged, unwritable or full file; then nothing was changed.
    pub async fn open(path: &Path, options: &SqliteOptions) -> Result<Self, LedgerError> {
        open::writer(path, options, open::Owner::Ours).await
    }

    /// As [`SqliteLedger::open`], but whoever's ledger it is; [`SqliteLedger::account`] tells. For a worker that starts
    /// halted on a ledger it does not know, instead of not at all.
    pub async fn open_any(path: &Path, options: &SqliteOptions) -> Result<Self, LedgerError> {
        open::writer(path, options, open::Owner::Anyone).await
    }

    /// The account the ledger was made for: uid and name.
    pub async fn account(&mut self) -> Result<(Uid, SmolStr), LedgerError> {
        self.db.account().await
    }

    /// Walks the whole chain and checks every projection; names the first row that is not as written.
    pub async fn verify(&mut self) -> Result<ChainHead, LedgerError> {
        self.db.verify().await
    }

    /// Closes the file and then gives up the lock.
    pub async fn close(self) -> Result<(), LedgerError> {
        self.db.conn.close().await.map_err(|e| fault::sql(&self.db.path, e))
    }
}

impl SqliteReader {
    /// Opens an existing ledger for reading, whatever account it belongs to.
    pub async fn open(path: &Path) -> Result<Self, LedgerError> {
        open::reader(path).await
    }

    /// Who the ledger is, and the epoch of its last writer.
    pub async fn identity(&mut self) -> Result<LedgerIdentity, LedgerError> {
        read::identity(&mut self.conn, &self.path).await
    }

    /// The account the ledger belongs to: uid and name.
    pub async fn account(&mut self) -> Result<(Uid, SmolStr), LedgerError> {
        let row = read::ledger_row(&mut self.conn, &self.path).await?;
        let tampered = || LedgerError::Tampered { path: self.path.clone(), table: "ledger", seq: 1 };
        let uid = row.account.parse().map_err(|_| tampered())?;
        Ok((Uid(uid), row.account_name.into()))
    }

    /// Walks the whole chain and checks every projection; names the first row that is not as written.
    pub async fn verify(&mut self) -> Result<ChainHead, LedgerError> {
        verify::all(&mut self.conn, &self.path).await
    }
}

impl LedgerReader for SqliteReader {
    async fn history(&mut self) -> Result<History, LedgerError> {
        read::history(&mut self.conn, &self.path).await
    }

    async fn decisions(&mut self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, LedgerError> {
        read::decisions(&mut self.conn, &self.path, filter).await
    }

    async fn trades(&mut self, limit: u32) -> Result<Vec<TradeRow>, LedgerError> {
        read::trades(&mut self.conn, &self.path, limit).await
    }

    async fn equity(
        &mut self,
        strategy: Option<Uid>,
        since: Timestamp,
    ) -> Result<Vec<EquityRow>, LedgerError> {
        read::equity(&mut self.conn, &self.path, strategy, since).await
    }

    async fn outcomes(&mut self) -> Result<Vec<OutcomeCount>, LedgerError> {
        counts::outcomes(&mut self.conn, &self.path).await
    }

    async fn symbols(&mut self) -> Result<Vec<Symbol>, LedgerError> {
        counts::symbols(&mut self.conn, &self.path).await
    }

    async fn fill_counts(&mut self) -> Result<Vec<(SmolStr, u64)>, LedgerError> {
        counts::fill_counts(&mut self.conn, &self.path).await
    }

    async fn halts(&mut self) -> Result<Vec<Halt>, LedgerError> {
        read::halts(&mut self.conn, &self.path).await
    }

    async fn balances(&mut self) -> Result<Vec<BalanceRow>, LedgerError> {
        read::balances(&mut self.conn, &self.path).await
    }

    async fn head(&mut self) -> Result<ChainHead, LedgerError> {
        Ok(read::writer_row(&mut self.conn, &self.path).await?.head)
    }

    async fn contains(&mut self, head: &ChainHead) -> Result<bool, LedgerError> {
        verify::contains(&mut self.conn, &self.path, head).await
    }
}

impl LedgerReader for SqliteLedger {
    async fn history(&mut self) -> Result<History, LedgerError> {
        self.db.history().await
    }

    async fn decisions(&mut self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, LedgerError> {
        self.db.decisions(filter).await
    }

    async fn trades(&mut self, limit: u32) -> Result<Vec<TradeRow>, LedgerError> {
        self.db.trades(limit).await
    }

    async fn equity(
        &mut self,
        strategy: Option<Uid>,
        since: Timestamp,
    ) -> Result<Vec<EquityRow>, LedgerError> {
        self.db.equity(strategy, since).await
    }

    async fn outcomes(&mut self) -> Result<Vec<OutcomeCount>, LedgerError> {
        self.db.outcomes().await
    }

    async fn symbols(&mut self) -> Result<Vec<Symbol>, LedgerError> {
        self.db.symbols().await
    }

    async fn fill_counts(&mut self) -> Result<Vec<(SmolStr, u64)>, LedgerError> {
        self.db.fill_counts().await
    }

    async fn halts(&mut self) -> Result<Vec<Halt>, LedgerError> {
        self.db.halts().await
    }

    async fn balances(&mut self) -> Result<Vec<BalanceRow>, LedgerError> {
        self.db.balances().await
    }

    async fn head(&mut self) -> Result<ChainHead, LedgerError> {
        match &self.cache {
            Some(cache) => Ok(cache.head),
            None => self.db.head().await,
        }
    }

    async fn contains(&mut self, head: &ChainHead) -> Result<bool, LedgerError> {
        self.db.contains(head).await
    }
}

impl Ledger for SqliteLedger {
    fn identity(&self) -> LedgerIdentity {
        self.identity
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, LedgerError> {
        self.write(batch).await
    }

    async fn prune(&mut self, before: Timestamp) -> Result<Pruned, LedgerError> {
        self.delete_old(before).await
    }
}
