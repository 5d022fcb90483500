//! What the ledger gives back at start-up, from which the engine's state is folded again.
//!
//! Money comes from the append-only rows alone; the [`Checkpoint`] holds only what no row can tell (marks, watermarks,
//! feed positions), as of the same commit.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::config::ResolvedStrategy;
use crate::event::{Succession, Transfer};
use crate::halt::Halt;
use crate::money::{Cash, Price};
use crate::name::{Symbol, Uid};
use crate::order::{Attempt, Epoch, Fill, Incarnation, Intent, IntentId, OrderState, Purpose};
use crate::protocol::Signature;
use crate::time::{Millis, Timestamp};

/// All that is needed to go on where the last commit stopped.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The number the next intent gets.
    pub next_intent: u64,
    /// Numbers from one to the next that no intent of this ledger has, rising.
    pub left_out: Vec<Range<u64>>,
    /// Orders that are not in a terminal state, by rising number.
    pub open_orders: Vec<OpenOrder>,
    /// Every fill ever booked, in the order it was booked.
    pub fills: Vec<BookedFill>,
    /// Every transfer, in order.
    pub transfers: Vec<Transfer>,
    /// Which strategy took over from which, in order.
    pub successions: Vec<Succession>,
    /// Halts in force, in the order they were made.
    pub halts: Vec<Halt>,
    /// As of the last commit; none on a new ledger.
    pub checkpoint: Option<Checkpoint>,
}

/// An order whose story has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrder {
    /// What was decided.
    pub intent: Intent,
    /// The last sending.
    pub attempt: Attempt,
    /// Where it stands by the ledger.
    pub state: OrderState,
    /// The span of the last sending that was made ready; none in a ledger from before signings were kept.
    pub signature: Option<Signature>,
}

/// A fill with what its intent says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedFill {
    /// The order it belongs to.
    pub intent: IntentId,
    /// Whose.
    pub strategy: Uid,
    /// Why the order was made.
    pub purpose: Purpose,
    /// The fill.
    pub fill: Fill,
}

/// What no append-only row can tell, as of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The engine's time.
    pub now: Timestamp,
    /// Feed position and mark of each instrument.
    pub instruments: Vec<InstrumentMark>,
    /// Watermarks of each strategy.
    pub strategies: Vec<Watermark>,
    /// Watermark of the account.
    pub account: Watermark,
    /// How far the venue's fills were taken in; the driver's, not the engine's.
    #[serde(default)]
    pub fill_cursor: FillCursor,
    /// The number of the next intent. It can be beyond what the rows say: numbers of intents that the ledger has lost, and
    /// that the venue told of, are never given again, though their fills are told no more.
    #[serde(default)]
    pub next_intent: u64,
    /// TradingHalt objects of the halts in force: name and uid. One that is in force and not listed was never published;
    /// one that is listed and whose object is gone was resumed. The driver's, not the engine's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<(SmolStr, Uid)>,
    /// Strategies that hold something, have open orders or are halted by their uid, as they were last configured: should
    /// one be gone at the next start, what it left is still known for what it is.
    #[serde(default)]
    pub holding: Vec<ResolvedStrategy>,
}

/// How far the fills of an account were read. The default is the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FillCursor {
    /// The number of the last trade, at a venue that numbers all trades of an account in one row.
    Sequence(u64),
    /// For each instrument the number of the last trade, at a venue that numbers trades by instrument. One that is not
    /// listed was never read.
    ByInstrument(BTreeMap<Symbol, u64>),
}

impl Default for FillCursor {
    fn default() -> Self {
        Self::Sequence(0)
    }
}

/// Where the feed of one instrument stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstrumentMark {
    /// Which.
    pub symbol: Symbol,
    /// Open time of the last bar processed, if any.
    pub last_bar: Option<Timestamp>,
    /// The latest price; zero while there was none.
    pub mark: Price,
}

/// The drawdown reference of a strategy or the account, and since when each breaker's line is passed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watermark {
    /// Whose; none is the account.
    pub strategy: Option<Uid>,
    /// What drawdown is measured from.
    pub reference: Cash,
    /// The highest equity ever, transfers left out as in the reference; never rebased.
    pub peak: Cash,
    /// Breaker name and the time its line was passed first without coming back.
    pub breached_since: Vec<(SmolStr, Timestamp)>,
    /// Breakers that tripped and were not yet resumed.
    pub tripped: Vec<SmolStr>,
    /// What is held and at which price it must be sold.
    pub guards: Vec<Guard>,
    /// Exits that were started and whose order is not yet made.
    pub exits: Vec<(Symbol, Purpose)>,
    /// When each of these began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits_begun: Vec<(Symbol, Timestamp)>,
    /// Time positions were without the stop order they should have had, those of `bare` left out.
    #[serde(default)]
    pub unprotected: Millis,
    /// Positions that are without it now, and since when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bare: Vec<(Symbol, Timestamp)>,
}

/// A part of a position and the price at which it must be sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// In which instrument.
    pub symbol: Symbol,
    /// Sell at or below.
    pub stop: Price,
    /// The stop order that guards it at the venue, if one was made.
    pub order: Option<IntentId>,
    /// How much it guards.
    pub quantity: crate::money::Quantity,
}

/// Who this ledger belongs to and how often it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerIdentity {
    /// Tag of every client order id.
    pub incarnation: Incarnation,
    /// The present worker's.
    pub epoch: Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_number_or_a_number_for_each_instrument() {
        // The first form is what ledgers have held since there were any.
        let sequence: FillCursor = serde_json::from_str("12").unwrap();
        assert_eq!(sequence, FillCursor::Sequence(12));
        let text = r#"{"BTC-USD":30112001,"ETH-USD":7}"#;
        let by_instrument: FillCursor = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&by_instrument).unwrap(), text);
        assert!(serde_json::from_str::<FillCursor>(r#"{"btc":1}"#).is_err());
    }
}
