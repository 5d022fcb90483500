//! The ledger of the account this process trades: in a file of its own, or in a desk's database.
//!
//! It promises that the loop, the cluster and the commands know one type, whatever the account names. Must not decide
//! anything: each method is the ledger's own.

use std::sync::Arc;

use smol_str::SmolStr;
use tradewind_core::halt::Halt;
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::recovery::{History, LedgerIdentity};
use tradewind_core::time::Timestamp;
use tradewind_ledger::{
    Backlog, BalanceRow, Batch, ChainHead, Committed, DecisionFilter, DecisionRow, EquityRow, Ledger,
    LedgerError, LedgerReader, MysqlLedger, Outbox, OutboxOptions, OutboxReader, OutboxRow, OutcomeCount,
    Pruned, SqliteLedger, Tap, TradeRow,
};

use crate::crash_points::{Point, through};

/// A ledger opened for writing.
pub enum AccountLedger {
    /// In a SQLite file.
    Sqlite(Box<SqliteLedger>),
    /// In a MariaDB or MySQL database.
    Mysql(Box<MysqlLedger>),
}

/// The same call of whichever it is.
macro_rules! of_each {
    ($self:expr, $ledger:ident => $call:expr) => {
        match $self {
            AccountLedger::Sqlite($ledger) => $call,
            AccountLedger::Mysql($ledger) => $call,
        }
    };
}

impl AccountLedger {
    /// Whose it is: uid and name of the account.
    pub async fn account(&mut self) -> Result<(Uid, SmolStr), LedgerError> {
        of_each!(self, ledger => ledger.account().await)
    }

    /// Notes, for readers, whether its money is simulated.
    pub async fn note_paper(&mut self, paper: bool) -> Result<(), LedgerError> {
        of_each!(self, ledger => ledger.note_paper(paper).await)
    }

    /// Fails unless what is committed survives a crash of the machine it is kept on. Live trading needs that; a file is
    /// always synced.
    pub async fn check_durable(&mut self) -> Result<(), LedgerError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Mysql(ledger) => ledger.check_durable().await,
        }
    }

    /// Attempts to commit that failed since it was opened, those that were made good by a later one too.
    pub fn failed_attempts(&self) -> u64 {
        of_each!(self, ledger => ledger.failed_attempts())
    }

    /// Ends it.
    pub async fn close(self) -> Result<(), LedgerError> {
        match self {
            Self::Sqlite(ledger) => ledger.close().await,
            Self::Mysql(ledger) => ledger.close().await,
        }
    }
}

impl LedgerReader for AccountLedger {
    async fn history(&mut self) -> Result<History, LedgerError> {
        through(Point::History, async { of_each!(self, ledger => ledger.history().await) }).await
    }

    async fn decisions(&mut self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, LedgerError> {
        of_each!(self, ledger => ledger.decisions(filter).await)
    }

    async fn outcomes(&mut self) -> Result<Vec<OutcomeCount>, LedgerError> {
        of_each!(self, ledger => ledger.outcomes().await)
    }

    async fn fill_counts(&mut self) -> Result<Vec<(SmolStr, u64)>, LedgerError> {
        of_each!(self, ledger => ledger.fill_counts().await)
    }

    async fn symbols(&mut self) -> Result<Vec<Symbol>, LedgerError> {
        of_each!(self, ledger => ledger.symbols().await)
    }

    async fn trades(&mut self, limit: u32) -> Result<Vec<TradeRow>, LedgerError> {
        of_each!(self, ledger => ledger.trades(limit).await)
    }

    async fn equity(
        &mut self,
        strategy: Option<Uid>,
        since: Timestamp,
    ) -> Result<Vec<EquityRow>, LedgerError> {
        of_each!(self, ledger => ledger.equity(strategy, since).await)
    }

    async fn halts(&mut self) -> Result<Vec<Halt>, LedgerError> {
        of_each!(self, ledger => ledger.halts().await)
    }

    async fn balances(&mut self) -> Result<Vec<BalanceRow>, LedgerError> {
        of_each!(self, ledger => ledger.balances().await)
    }

    async fn head(&mut self) -> Result<ChainHead, LedgerError> {
        of_each!(self, ledger => ledger.head().await)
    }

    async fn contains(&mut self, head: &ChainHead) -> Result<bool, LedgerError> {
        of_each!(self, ledger => ledger.contains(head).await)
    }
}

impl Ledger for AccountLedger {
    fn identity(&self) -> LedgerIdentity {
        of_each!(self, ledger => ledger.identity())
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, LedgerError> {
        through(Point::commit(batch), async { of_each!(self, ledger => ledger.commit(batch).await) }).await
    }

    async fn prune(&mut self, before: Timestamp) -> Result<Pruned, LedgerError> {
        of_each!(self, ledger => ledger.prune(before).await)
    }
}

impl OutboxReader for AccountLedger {
    async fn events_after(&mut self, sequence: u64, limit: u32) -> Result<Vec<OutboxRow>, LedgerError> {
        of_each!(self, ledger => ledger.events_after(sequence, limit).await)
    }

    async fn backlog(&mut self, known: u64) -> Result<Backlog, LedgerError> {
        of_each!(self, ledger => ledger.backlog(known).await)
    }
}

impl Outbox for AccountLedger {
    async fn publish(&mut self, options: Option<&OutboxOptions>) -> Result<(), LedgerError> {
        of_each!(self, ledger => ledger.publish(options).await)
    }

    fn tap(&self) -> Arc<Tap> {
        of_each!(self, ledger => ledger.tap())
    }
}
