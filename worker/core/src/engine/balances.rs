//! What the venue says the account holds, beside what the ledger says: nothing is ever put right by trading.
//!
//! A difference stops entries at once, since what is bought with money that is not there, or sold of coins that are not,
//! is a second mistake. One that two sweeps in a row have seen halts the account until a person has found out what moved
//! it; resuming that halt books the difference as what it must have been, deposits and withdrawals, which never move
//! drawdown.

use crate::books::Difference;
use crate::event::{Effect, Effects, HaltChange, Report, Transfer};
use crate::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use crate::money::Cash;
use crate::name::Asset;
use crate::protocol::Stage;

use super::state::State;

/// Amounts are the same that differ by less than the hundred-millionth of an asset that venues count in.
const UNIT: i128 = 10_i128.pow(10);

/// Sweeps in a row that found differences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mismatch {
    sweeps: u32,
    /// What the last of them found; empty while ledger and venue agree.
    differences: Vec<Difference>,
}

impl State {
    /// Where the venue holds something else than the ledger says, as of the last sweep.
    pub fn balance_differences(&self) -> &[Difference] {
        &self.mismatch.differences
    }

    /// What the ledger says the account holds of each asset.
    pub fn holdings(&self) -> Vec<(Asset, Cash)> {
        self.books.holdings().map(|(asset, amount)| (asset.clone(), amount)).collect()
    }

    /// Whether nothing may be entered because of a difference.
    pub(super) fn balances_differ(&self) -> bool {
        !self.mismatch.differences.is_empty()
    }

    /// Takes in what the venue holds. While executions may not be heard of yet it proves nothing, either way.
    pub(super) fn on_balances(&mut self, held: &[(Asset, Cash)], effects: &mut Effects) {
        let in_doubt =
            |stage| matches!(stage, Stage::Sent { .. } | Stage::Unknown { .. } | Stage::Ending { .. });
        if self.orders.open.iter().any(|order| in_doubt(order.life.stage())) {
            return;
        }
        let differences = self.differences(held);
        let news = differences != self.mismatch.differences;
        if news {
            effects.push(Effect::Report(Report::Balances(differences.clone())));
        }
        let sweeps = if differences.is_empty() { 0 } else { self.mismatch.sweeps.saturating_add(1) };
        self.mismatch = Mismatch { sweeps, differences };
        if sweeps >= 2 {
            let halt = self.mismatch_halt();
            if !self.halts.iter().any(|known| known.name == halt.name) {
                self.on_halt_change(&HaltChange::Set(halt), effects);
            }
        }
    }

    /// Whether the venue holds what the ledger says.
    pub fn agrees_with(&self, held: &[(Asset, Cash)]) -> bool {
        self.differences(held).is_empty()
    }

    fn differences(&self, held: &[(Asset, Cash)]) -> Vec<Difference> {
        let booked: Vec<(&Asset, Cash)> = self.books.holdings().collect();
        let of = |asset: &Asset| {
            booked.iter().find(|(own, _)| *own == asset).map_or(Cash::ZERO, |(_, cash)| *cash)
        };
        let there = held.iter().map(|(asset, cash)| (asset, cash.saturating_sub(of(asset))));
        let not_listed = booked.iter().filter(|(own, _)| !held.iter().any(|(asset, _)| asset == *own));
        let gone = not_listed.map(|(own, cash)| (*own, Cash::ZERO.saturating_sub(*cash)));
        let differs = there.chain(gone).filter(|(_, amount)| amount.0.saturating_abs() >= UNIT);
        differs.map(|(asset, amount)| Difference { asset: asset.clone(), amount }).collect()
    }

    /// How much of an asset is missing at the venue, or was withdrawn though a strategy holds it.
    pub(super) fn missing(&self, asset: &Asset) -> Cash {
        let withdrawn =
            self.withdrawn.iter().find(|(of, _)| of == asset).map_or(Cash::ZERO, |(_, amount)| *amount);
        self.swept_away(asset).saturating_add(withdrawn)
    }

    /// How much of an asset the last sweep did not find, and nobody has said yet where it went.
    pub(super) fn swept_away(&self, asset: &Asset) -> Cash {
        let swept = self.mismatch.differences.iter().find(|found| found.asset == *asset);
        swept.map_or(Cash::ZERO, |found| Cash(found.amount.0.saturating_neg().max(0)))
    }

    fn mismatch_halt(&self) -> Halt {
        let told = self.mismatch.differences.iter().map(|found| {
            let more = if found.amount.0 > 0 { "more" } else { "less" };
            format!("{} {} {more}", Cash(found.amount.0.saturating_abs()), found.asset)
        });
        let told: Vec<String> = told.collect();
        Halt {
            name: smol_str::format_smolstr!("account.{}.balances-differ", self.account.name),
            scope: HaltScope::Account,
            instruments: Vec::new(),
            action: HaltAction::StopEntries,
            origin: HaltOrigin::BalancesDiffer,
            reason: format!(
                "the venue holds other amounts than the ledger: {}; find out who moved them, then resume: what differs then \
                 is booked as deposits and withdrawals",
                told.join(", ")
            ),
            requested_by: "worker".to_owned(),
            since: self.now,
        }
    }

    /// A person has looked: what differs was moved by somebody else.
    pub(super) fn accept_balances(&mut self, effects: &mut Effects) {
        let Mismatch { differences, .. } = std::mem::take(&mut self.mismatch);
        for Difference { asset, amount } in differences {
            self.on_transfer(&Transfer { asset, amount, strategy: None, at: self.now }, effects);
        }
    }
}
