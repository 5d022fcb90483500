//! Why nothing was done: one closed set that is decision reason, metric label and documentation at once.
//!
//! *Denied* is always our own refusal, never the venue's. Each variant carries the value that was found and the limit it
//! met; `docs/decisions.md` is generated from the comments below.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decision::Stage;
use crate::halt::{EntryBlock, HaltAction};
use crate::money::{Cash, Percent};
use crate::order::IntentId;
use crate::time::Millis;

/// The first cause why a bar led to no order.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumIter,
    strum::EnumMessage,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
pub enum Denial {
    /// Bars are missing before this one; the strategy waits for an unbroken bar before it enters.
    DataGap {
        /// Bars missing.
        missing: u32,
    },
    /// The indicators have not seen enough bars since the start, a long gap or a change of the signal.
    WarmingUp {
        /// Bars seen.
        bars: u32,
        /// Bars needed.
        needed: u32,
    },
    /// `desiredState` is Stopped: signals are not evaluated.
    Stopped,
    /// Evaluating the signal ended the worker twice: it is not evaluated until the strategy's spec changes.
    Quarantined,
    /// The signal says neither buy nor sell.
    NoSignal,
    /// The signal says buy and the position is already held.
    AlreadyHolding,
    /// The signal says sell and nothing is held.
    NothingToSell,
    /// The position is already being sold.
    ExitUnderWay,
    /// `desiredState` is ExitOnly: no entries.
    ExitOnly,
    /// The account or a policy the strategy names is missing: no entries until it is there.
    ReferenceMissing,
    /// The instrument is ExitOnly, or no longer listed: no entries.
    InstrumentExitOnly,
    /// The strategy was removed or is being deleted: no entries.
    Removed,
    /// A halt is in force: no entries until it is resumed. The decision's sentence names it.
    Halted {
        /// The severest action of the halts in force.
        action: HaltAction,
    },
    /// Halts are not watched at present (the API server does not answer): no entries until they are seen again.
    Blind,
    /// The account's Lease is not held for certain: no entries, another worker may trade.
    LeaseLost,
    /// The configuration was published in a format this worker does not know: no entries until both agree.
    UnknownFormat,
    /// The venue holds other amounts than the ledger says: no entries until both agree or a person has accepted it.
    BalancesDiffer,
    /// The signal's confidence is below the policy's `minConfidencePercent`.
    BelowConfidence {
        /// Of the signal.
        confidence: Percent,
        /// `minConfidencePercent`.
        limit: Percent,
    },
    /// An order in this instrument is still open or its outcome unknown.
    OrderInFlight {
        /// The first of them.
        intent: IntentId,
    },
    /// Equity is not known or not positive, so no size can be computed.
    NoEquity {
        /// Equity of the strategy.
        equity: Cash,
    },
    /// The computed size is smaller than the instrument's lot.
    BelowLot {
        /// The size before it is rounded down to the lot, in the base asset.
        size: Cash,
        /// The instrument's lot, in the base asset.
        lot: Cash,
    },
    /// The last fill in this instrument is too recent for the policy's `cooldown`.
    Cooldown {
        /// Time since that fill.
        elapsed: Millis,
        /// `cooldown`.
        limit: Millis,
    },
    /// The day's entries in this instrument have reached `maxTradesPerInstrumentPerDay`.
    MaxTradesPerDay {
        /// Entries today, those in flight included.
        count: u32,
        /// `maxTradesPerInstrumentPerDay`.
        limit: u32,
    },
    /// Open positions have reached `maxOpenPositions`.
    MaxOpenPositions {
        /// Positions and open entries in other instruments.
        count: u32,
        /// `maxOpenPositions`.
        limit: u32,
    },
    /// The order's notional is below `order.minNotional` or the venue's minimum.
    BelowMinNotional {
        /// Of the order.
        notional: Cash,
        /// The larger of both minimums.
        limit: Cash,
    },
    /// The position would exceed `maxPositionPercent` of the strategy's equity.
    MaxPosition {
        /// Notional of the position with the order.
        notional: Cash,
        /// Largest notional allowed.
        limit: Cash,
    },
    /// All positions of the strategy would exceed its `maxExposurePercent`.
    MaxExposure {
        /// Exposure with the order.
        exposure: Cash,
        /// Largest exposure allowed.
        limit: Cash,
    },
    /// All positions of all strategies would exceed the account's `maxExposurePercent`.
    MaxAccountExposure {
        /// Exposure with the order.
        exposure: Cash,
        /// Largest exposure allowed.
        limit: Cash,
    },
    /// The strategy's or the account's free cash does not cover the order and its fee.
    InsufficientFunds {
        /// Cost of the order with its fee.
        needed: Cash,
        /// Free cash.
        available: Cash,
    },
    /// A sum did not fit its type; no order is made from it.
    Overflow,
}

impl Denial {
    /// The stable code: reason in decisions, label in metrics, key in the documentation.
    pub fn code(&self) -> &'static str {
        self.into()
    }

    /// The number it has in [`crate::decision::Decision::encode`]; numbers are never given anew.
    #[inline]
    pub(crate) fn number(&self) -> u8 {
        match self {
            Self::DataGap { .. } => 1,
            Self::WarmingUp { .. } => 2,
            Self::Stopped => 3,
            Self::NoSignal => 4,
            Self::AlreadyHolding => 5,
            Self::NothingToSell => 6,
            Self::ExitUnderWay => 7,
            Self::ExitOnly => 8,
            Self::InstrumentExitOnly => 9,
            Self::Removed => 10,
            Self::Halted { .. } => 11,
            Self::BelowConfidence { .. } => 12,
            Self::OrderInFlight { .. } => 13,
            Self::NoEquity { .. } => 14,
            Self::BelowLot { .. } => 15,
            Self::Cooldown { .. } => 16,
            Self::MaxTradesPerDay { .. } => 17,
            Self::MaxOpenPositions { .. } => 18,
            Self::BelowMinNotional { .. } => 19,
            Self::MaxPosition { .. } => 20,
            Self::MaxExposure { .. } => 21,
            Self::MaxAccountExposure { .. } => 22,
            Self::InsufficientFunds { .. } => 23,
            Self::Overflow => 24,
            Self::Blind => 25,
            Self::LeaseLost => 26,
            Self::UnknownFormat => 27,
            Self::ReferenceMissing => 28,
            Self::Quarantined => 29,
            Self::BalancesDiffer => 30,
        }
    }

    /// The stage of the decision that denies with it.
    pub fn stage(&self) -> Stage {
        match self {
            Self::DataGap { .. } | Self::WarmingUp { .. } => Stage::Data,
            Self::Stopped
            | Self::Quarantined
            | Self::NoSignal
            | Self::AlreadyHolding
            | Self::NothingToSell
            | Self::ExitUnderWay => Stage::Signal,
            Self::ExitOnly
            | Self::InstrumentExitOnly
            | Self::Removed
            | Self::Halted { .. }
            | Self::Blind
            | Self::LeaseLost
            | Self::UnknownFormat
            | Self::BalancesDiffer
            | Self::ReferenceMissing => Stage::Halt,
            Self::BelowConfidence { .. } => Stage::Threshold,
            Self::NoEquity { .. } | Self::BelowLot { .. } => Stage::Sizing,
            Self::OrderInFlight { .. }
            | Self::Cooldown { .. }
            | Self::MaxTradesPerDay { .. }
            | Self::MaxOpenPositions { .. }
            | Self::BelowMinNotional { .. }
            | Self::MaxPosition { .. }
            | Self::MaxExposure { .. }
            | Self::MaxAccountExposure { .. }
            | Self::InsufficientFunds { .. }
            | Self::Overflow => Stage::Risk,
        }
    }

    /// The two values a denial carries (found, limit), as plain integers for the compact encoding; zero where absent.
    pub fn values(&self) -> (i128, i128) {
        match *self {
            Self::DataGap { missing } => (i128::from(missing), 0),
            Self::WarmingUp { bars, needed } => (i128::from(bars), i128::from(needed)),
            Self::Halted { action } => (action_number(action), 0),
            Self::BelowConfidence { confidence, limit } => (i128::from(confidence.0), i128::from(limit.0)),
            Self::OrderInFlight { intent } => (i128::from(intent.0), 0),
            Self::NoEquity { equity } => (equity.0, 0),
            Self::BelowLot { size, lot } => (size.0, lot.0),
            Self::Cooldown { elapsed, limit } => (i128::from(elapsed.0), i128::from(limit.0)),
            Self::MaxTradesPerDay { count, limit } | Self::MaxOpenPositions { count, limit } => {
                (i128::from(count), i128::from(limit))
            }
            Self::BelowMinNotional { notional, limit } | Self::MaxPosition { notional, limit } => {
                (notional.0, limit.0)
            }
            Self::MaxExposure { exposure, limit } | Self::MaxAccountExposure { exposure, limit } => {
                (exposure.0, limit.0)
            }
            Self::InsufficientFunds { needed, available } => (needed.0, available.0),
            Self::Stopped
            | Self::Quarantined
            | Self::NoSignal
            | Self::AlreadyHolding
            | Self::NothingToSell
            | Self::ExitUnderWay
            | Self::ExitOnly
            | Self::InstrumentExitOnly
            | Self::Removed
            | Self::Blind
            | Self::LeaseLost
            | Self::UnknownFormat
            | Self::BalancesDiffer
            | Self::ReferenceMissing
            | Self::Overflow => (0, 0),
        }
    }
}

impl From<EntryBlock> for Denial {
    fn from(block: EntryBlock) -> Self {
        match block {
            EntryBlock::Blind => Self::Blind,
            EntryBlock::LeaseLost => Self::LeaseLost,
            EntryBlock::UnknownFormat => Self::UnknownFormat,
        }
    }
}

fn action_number(action: HaltAction) -> i128 {
    match action {
        HaltAction::StopEntries => 0,
        HaltAction::CancelEntries => 1,
        HaltAction::Liquidate => 2,
    }
}

/// One short sentence with the values and limits in it.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataGap { missing: 1 } => f.write_str("1 bar is missing before this one"),
            Self::DataGap { missing } => write!(f, "{missing} bars are missing before this one"),
            Self::WarmingUp { bars, needed } => write!(f, "warming up: {bars} of {needed} bars"),
            Self::Stopped => f.write_str("desiredState is Stopped"),
            Self::Quarantined => f.write_str("its signal ended the worker twice and is not evaluated"),
            Self::NoSignal => f.write_str("the signal says neither buy nor sell"),
            Self::AlreadyHolding => f.write_str("buy signal, but the position is already held"),
            Self::NothingToSell => f.write_str("sell signal, but nothing is held"),
            Self::ExitUnderWay => f.write_str("the position is already being sold"),
            Self::ExitOnly => f.write_str("desiredState is ExitOnly"),
            Self::InstrumentExitOnly => f.write_str("the instrument is ExitOnly or no longer listed"),
            Self::Removed => f.write_str("the strategy was removed"),
            Self::Halted { action } => write!(f, "halted ({action})"),
            Self::ReferenceMissing => f.write_str("the account or a policy it names is missing"),
            Self::Blind => f.write_str("halts cannot be seen at present"),
            Self::LeaseLost => f.write_str("the account's Lease is not held"),
            Self::UnknownFormat => f.write_str("the published configuration has an unknown format"),
            Self::BalancesDiffer => f.write_str("the venue holds other amounts than the ledger says"),
            Self::BelowConfidence { confidence, limit } => write!(f, "confidence {confidence} < {limit}"),
            Self::OrderInFlight { intent: IntentId(number) } => {
                write!(f, "the order of intent {number} in this instrument is still open")
            }
            Self::NoEquity { equity } => write!(f, "equity is {}", equity.to_text(2)),
            Self::BelowLot { size, lot } => write!(f, "size {size} < lot {lot}"),
            Self::Cooldown { elapsed, limit } => {
                write!(f, "last fill {} min ago, cooldown {} min", elapsed.0 / 60_000, limit.0 / 60_000)
            }
            Self::MaxTradesPerDay { count, limit } => write!(f, "{count} entries today, limit {limit}"),
            Self::MaxOpenPositions { count, limit } => write!(f, "{count} positions open, limit {limit}"),
            Self::BelowMinNotional { notional, limit } => {
                write!(f, "notional {} < {}", notional.to_text(2), limit.to_text(2))
            }
            Self::MaxPosition { notional, limit } => {
                write!(f, "position {} > {}", notional.to_text(2), limit.to_text(2))
            }
            Self::MaxExposure { exposure, limit } => {
                write!(f, "exposure {} > {}", exposure.to_text(2), limit.to_text(2))
            }
            Self::MaxAccountExposure { exposure, limit } => {
                write!(f, "account exposure {} > {}", exposure.to_text(2), limit.to_text(2))
            }
            Self::InsufficientFunds { needed, available } => {
                write!(f, "needs {}, has {}", needed.to_text(2), available.to_text(2))
            }
            Self::Overflow => f.write_str("an amount overflowed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn every_denial_has_a_code_a_number_and_a_meaning_of_its_own() {
        let all: Vec<Denial> = Denial::iter().collect();
        let codes: BTreeSet<_> = all.iter().map(Denial::code).collect();
        let numbers: BTreeSet<_> = all.iter().map(Denial::number).collect();
        assert_eq!((codes.len(), numbers.len()), (all.len(), all.len()));
        for denial in all {
            let meaning = strum::EnumMessage::get_documentation(&denial).unwrap_or_default();
            assert!(meaning.len() >= 20 && !denial.to_string().is_empty(), "{}", denial.code());
        }
    }

    #[test]
    fn a_sentence_names_the_value_and_the_limit() {
        let denial =
            Denial::MaxPosition { notional: Cash(501 * 10_i128.pow(18)), limit: Cash(500 * 10_i128.pow(18)) };
        assert_eq!(denial.to_string(), "position 501.00 > 500.00");
        let denial = Denial::BelowConfidence { confidence: Percent(612_000), limit: Percent(650_000) };
        assert_eq!(denial.to_string(), "confidence 61.2% < 65%");
        let amount = |text| Cash::parse(text).unwrap();
        let denial = Denial::BelowLot { size: amount("0.00083"), lot: amount("0.001") };
        assert_eq!(denial.to_string(), "size 0.00083 < lot 0.001");
        let denial = Denial::OrderInFlight { intent: IntentId(7) };
        assert_eq!(denial.to_string(), "the order of intent 7 in this instrument is still open");
    }
}
