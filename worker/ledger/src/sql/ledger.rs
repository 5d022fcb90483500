//! The port on a database: a connection that is made anew where it can be lost, and what is known of the last commit.

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;
use tradewind_core::halt::Halt;
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::recovery::{History, LedgerIdentity};
use tradewind_core::time::Timestamp;

use super::{Context, Dialect, Patience, Scope, counts, open, outbox, prune, read, verify};
use crate::balances::Balances;
use crate::chain::{ChainHead, Value};
use crate::error::LedgerError;
use crate::outbox::{Backlog, Limits, Outbox, OutboxOptions, OutboxReader, OutboxRow, Standing, Tap};
use crate::port::{
    BalanceRow, Batch, Committed, DecisionFilter, DecisionRow, EquityRow, Ledger, LedgerReader, OutcomeCount,
    Pruned, TradeRow,
};
use crate::rows::whole;

/// The first pause between two attempts; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A ledger opened for reading: no change, also while a worker writes.
#[derive(Debug)]
pub struct SqlReader<D: Dialect> {
    pub(crate) db: Db<D>,
}

/// A ledger opened for writing.
#[derive(Debug)]
pub struct SqlLedger<D: Dialect> {
    // Before the lock: the connection must be gone when another worker may come.
    pub(crate) db: Db<D>,
    pub(crate) identity: LedgerIdentity,
    // As of the last commit; none when it must be read again, because a commit was cut off.
    pub(crate) cache: Option<Cache>,
    pub(crate) tap: Arc<Tap>,
    pub(crate) limits: Limits,
    pub(crate) failed_attempts: u64,
    pub(crate) lock: D::Lock,
}

/// What the next commit builds on.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    pub(crate) head: ChainHead,
    pub(crate) commits: u64,
    pub(crate) balances: Balances,
    /// None when the account has no bus.
    pub(crate) outbox: Option<Standing>,
}

/// A connection to one ledger.
#[derive(Debug)]
pub(crate) struct Db<D: Dialect> {
    /// None: it was lost.
    conn: Option<D::Connection>,
    door: D::Door,
    pub(crate) context: Context,
    /// Something is under way, or was cut off half-way.
    under_way: bool,
}

impl<D: Dialect> Db<D> {
    pub(crate) fn new(conn: D::Connection, door: D::Door, context: Context) -> Self {
        Self { conn: Some(conn), door, context, under_way: false }
    }

    /// The connection itself, to be closed.
    pub(crate) fn into_connection(self) -> Option<D::Connection> {
        self.conn
    }

    pub(crate) fn trial(&self) -> Trial {
        Trial::new(D::patience(&self.door))
    }

    /// Asks until there is an answer, the ledger refuses, or patience is over. What is asked must do no harm when it
    /// is asked twice.
    pub(crate) async fn ask<T>(
        &mut self,
        ask: impl AsyncFn(&mut Scope<'_, D>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut trial = self.trial();
        loop {
            match self.attempt(&ask).await {
                Err(error) if error.is_passing() && trial.goes_on().await => {}
                other => return other,
            }
        }
    }

    /// Asks once, over a new connection if the last one was lost.
    pub(crate) async fn attempt<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut Scope<'_, D>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if self.under_way && D::REMOTE {
            // Whoever asked before was cut off: an answer to him may still come.
            self.conn = None;
        }
        self.under_way = true;
        let limit = D::patience(&self.door).attempt;
        let place = self.context.place.clone();
        let answer = async {
            let conn = match self.conn.take() {
                Some(conn) => conn,
                None => D::connect(&self.door, &self.context.place).await?,
            };
            let conn = self.conn.insert(conn);
            ask(&mut Scope { conn, context: &mut self.context }).await
        };
        let answer = match limit {
            None => answer.await,
            Some(within) => {
                tokio::time::timeout(within, answer).await.unwrap_or(Err(LedgerError::Slow { place, within }))
            }
        };
        self.under_way = false;
        match &answer {
            Err(error) if D::REMOTE && error.is_passing() => self.conn = None,
            // A transaction that was given up is rolled back with the next packet: not some time, but now.
            Err(_) if D::REMOTE => {
                let rolled_back = match &mut self.conn {
                    Some(conn) => {
                        let within = limit.unwrap_or(Duration::MAX);
                        matches!(tokio::time::timeout(within, D::roll_back(conn)).await, Ok(Ok(())))
                    }
                    None => true,
                };
                if !rolled_back {
                    self.conn = None;
                }
            }
            _ => {}
        }
        answer
    }
}

/// How long to go on trying.
#[derive(Debug)]
pub(crate) struct Trial {
    end: Instant,
    pause: Duration,
}

impl Trial {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { end: Instant::now() + patience.total, pause: FIRST_PAUSE }
    }

    /// Waits a moment; false when there is no time left.
    pub(crate) async fn goes_on(&mut self) -> bool {
        if Instant::now() + self.pause >= self.end {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
        true
    }
}

impl<D: Dialect> SqlReader<D> {
    /// Who the ledger is, and the epoch of its last writer.
    pub async fn identity(&mut self) -> Result<LedgerIdentity, LedgerError> {
        self.db.ask(read::identity::<D>).await
    }
}

impl<D: Dialect> SqlLedger<D> {
    /// Attempts to commit that failed since it was opened, those that were made good by a later one too.
    pub fn failed_attempts(&self) -> u64 {
        self.failed_attempts
    }

    /// Notes for readers of the database whether orders go to a venue on paper. It has no effect on the ledger.
    pub async fn note_paper(&mut self, paper: bool) -> Result<(), LedgerError> {
        let epoch = whole("epoch", self.identity.epoch.0)?;
        let note = async |db: &mut Scope<'_, D>| {
            let update = "UPDATE chain_head SET mock = ? WHERE OWN(chain_head) AND epoch = ?";
            db.execute(update, vec![Value::Int(i64::from(paper)), Value::Int(epoch)]).await.map(drop)
        };
        self.db.ask(note).await
    }
}

/// Reading is the same, whether one may write or not, but that a writer knows the end of the chain.
macro_rules! reading {
    ($ledger:ident, |$known:ident| $head:expr) => {
        impl<D: Dialect> $ledger<D> {
            /// The account the ledger was made for: uid and name.
            pub async fn account(&mut self) -> Result<(Uid, SmolStr), LedgerError> {
                self.db.ask(read::account::<D>).await
            }

            /// Walks the whole chain and checks every projection; names the first row that is not as written.
            pub async fn verify(&mut self) -> Result<ChainHead, LedgerError> {
                self.db.ask(verify::all::<D>).await
            }
        }

        impl<D: Dialect> OutboxReader for $ledger<D> {
            async fn events_after(
                &mut self,
                sequence: u64,
                limit: u32,
            ) -> Result<Vec<OutboxRow>, LedgerError> {
                let read = async |db: &mut Scope<'_, D>| outbox::events_after(db, sequence, limit).await;
                self.db.ask(read).await
            }

            async fn backlog(&mut self, known: u64) -> Result<Backlog, LedgerError> {
                self.db.ask(async |db: &mut Scope<'_, D>| outbox::backlog(db, known).await).await
            }
        }

        impl<D: Dialect> LedgerReader for $ledger<D> {
            async fn history(&mut self) -> Result<History, LedgerError> {
                self.db.ask(read::history::<D>).await
            }

            async fn decisions(&mut self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, LedgerError> {
                self.db.ask(async |db: &mut Scope<'_, D>| read::decisions(db, filter).await).await
            }

            async fn trades(&mut self, limit: u32) -> Result<Vec<TradeRow>, LedgerError> {
                self.db.ask(async |db: &mut Scope<'_, D>| read::trades(db, limit).await).await
            }

            async fn equity(
                &mut self,
                strategy: Option<Uid>,
                since: Timestamp,
            ) -> Result<Vec<EquityRow>, LedgerError> {
                self.db.ask(async |db: &mut Scope<'_, D>| read::equity(db, strategy, since).await).await
            }

            async fn outcomes(&mut self) -> Result<Vec<OutcomeCount>, LedgerError> {
                self.db.ask(counts::outcomes::<D>).await
            }

            async fn symbols(&mut self) -> Result<Vec<Symbol>, LedgerError> {
                self.db.ask(counts::symbols::<D>).await
            }

            async fn fill_counts(&mut self) -> Result<Vec<(SmolStr, u64)>, LedgerError> {
                self.db.ask(counts::fill_counts::<D>).await
            }

            async fn halts(&mut self) -> Result<Vec<Halt>, LedgerError> {
                self.db.ask(read::halts::<D>).await
            }

            async fn balances(&mut self) -> Result<Vec<BalanceRow>, LedgerError> {
                self.db.ask(read::balances::<D>).await
            }

            async fn head(&mut self) -> Result<ChainHead, LedgerError> {
                let $known = &*self;
                match $head {
                    Some(head) => Ok(head),
                    None => Ok(self.db.ask(read::writer_row::<D>).await?.head),
                }
            }

            async fn contains(&mut self, head: &ChainHead) -> Result<bool, LedgerError> {
                self.db.ask(async |db: &mut Scope<'_, D>| verify::contains(db, head).await).await
            }
        }
    };
}
reading!(SqlReader, |_reader| None);
reading!(SqlLedger, |ledger| ledger.cache.as_ref().map(|cache| cache.head));

impl<D: Dialect> Ledger for SqlLedger<D> {
    fn identity(&self) -> LedgerIdentity {
        self.identity
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, LedgerError> {
        self.write(batch).await
    }

    async fn prune(&mut self, before: Timestamp) -> Result<Pruned, LedgerError> {
        let ours = self.identity.epoch;
        self.db.ask(async |db: &mut Scope<'_, D>| prune::delete_old(db, ours, before).await).await
    }
}

impl<D: Dialect> Outbox for SqlLedger<D> {
    async fn publish(&mut self, options: Option<&OutboxOptions>) -> Result<(), LedgerError> {
        // What the next commit builds on is read anew.
        self.cache = None;
        self.limits = options.map_or_else(Limits::default, |options| options.limits);
        let ours = self.identity.epoch;
        self.db.ask(async |db: &mut Scope<'_, D>| open::publish(db, ours, options).await).await
    }

    fn tap(&self) -> Arc<Tap> {
        Arc::clone(&self.tap)
    }
}
