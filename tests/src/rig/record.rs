//! What a worker has decided, read from its ledger while it runs.

use tradewind_ledger::{DecisionFilter, DecisionRow, LedgerReader, SqliteReader};

use super::Rig;
use crate::cluster::{patience, wait_for};

/// A place in the decisions of one strategy: how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(usize);

impl Mark {
    /// How many decisions there were.
    pub fn decisions(self) -> usize {
        self.0
    }
}

impl Rig {
    /// Every decision of a strategy, oldest first; none while there is no ledger.
    pub async fn decisions(&self, account: &str, strategy: &str) -> Vec<DecisionRow> {
        let file = self.data_dir(account).join("ledger.db");
        if !file.exists() {
            return Vec::new();
        }
        // A ledger that is being made, or whose writer is being killed, is read at the next look.
        let Ok(mut ledger) = SqliteReader::open(&file).await else { return Vec::new() };
        let filter =
            DecisionFilter { strategy: Some(strategy.into()), limit: u32::MAX, ..DecisionFilter::default() };
        let mut rows = ledger.decisions(&filter).await.unwrap_or_default();
        rows.reverse();
        rows
    }

    /// Where the decisions of a strategy stand now.
    pub async fn mark(&self, account: &str, strategy: &str) -> Mark {
        Mark(self.decisions(account, strategy).await.len())
    }

    /// Waits until a strategy has come to an outcome that many times since a mark; returns the decisions since.
    pub async fn outcomes(
        &self,
        account: &str,
        strategy: &str,
        since: Mark,
        outcome: &str,
        times: usize,
    ) -> Vec<DecisionRow> {
        let what = format!("{strategy} to come to {outcome} {times} times");
        wait_for(&what, patience(30), async || {
            let rows: Vec<DecisionRow> =
                self.decisions(account, strategy).await.into_iter().skip(since.0).collect();
            let found = rows.iter().filter(|row| row.outcome == outcome).count();
            if found >= times {
                return Ok(rows);
            }
            let last = rows.last().map(|row| format!("{} ({})", row.outcome, row.detail));
            Err(format!("{found} of {times} in {} decisions, the last: {last:?}", rows.len()))
        })
        .await
    }

    /// Asserts that a strategy trades: entries go on being made.
    pub async fn assert_trading(&self, account: &str, strategy: &str) {
        let now = self.mark(account, strategy).await;
        self.outcomes(account, strategy, now, "Enter", 5).await;
    }

    /// Asserts that from its first denial by a halt since the mark a strategy has entered nothing, over that many bars on
    /// which it would have.
    pub async fn assert_stays_halted(&self, account: &str, strategy: &str, since: Mark, bars: usize) {
        let rows = self.outcomes(account, strategy, since, "Halted", bars).await;
        let first = rows.iter().position(|row| row.outcome == "Halted").expect("it was just seen");
        let entered = rows[first..].iter().find(|row| row.outcome == "Enter");
        assert!(entered.is_none(), "{strategy} entered under a halt: {entered:?}");
    }
}
