//! Decisions: exactly one for every bar, instrument and strategy, with what went in and what came out.

use serde::{Deserialize, Serialize};

use crate::denial::Denial;
use crate::instrument::InstrumentId;
use crate::money::{Percent, Price, Quantity};
use crate::order::{IntentId, Side};
use crate::time::Timestamp;

/// Where a strategy stands in the engine's list; stable while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StrategyId(pub u16);

impl StrategyId {
    /// As an index into a list of strategies.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Bytes that the canonical form of every decision begins with.
const HEAD: usize = 64;

/// How far a decision came.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::Display,
    strum::EnumIter,
)]
#[strum(serialize_all = "lowercase")]
pub enum Stage {
    /// Bars complete and enough of them.
    Data,
    /// What the signal says against what is held.
    Signal,
    /// Lifecycle and halts.
    Halt,
    /// Confidence.
    Threshold,
    /// How much.
    Sizing,
    /// Limits.
    Risk,
    /// An intent, or the start of an exit.
    Order,
}

/// What a signal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signal {
    /// Buy or sell.
    pub side: Side,
    /// How sure it is, 0 to 100 %.
    pub confidence: Percent,
}

/// The indicator values a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Readings(pub [f64; 3]);

/// What came of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// An entry was intended.
    Enter {
        /// The intent.
        intent: IntentId,
        /// Its size.
        quantity: Quantity,
    },
    /// The exit of the position was started, or an entry that is open was called off.
    Exit {
        /// What is held; zero where there is only an entry to call off.
        quantity: Quantity,
    },
    /// Nothing, for this reason.
    Nothing(Denial),
}

/// One decision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When: the close time of the bar.
    pub at: Timestamp,
    /// Open time of the decision bar.
    pub bar: Timestamp,
    /// Who.
    pub strategy: StrategyId,
    /// In what.
    pub instrument: InstrumentId,
    /// Close of the decision bar.
    pub close: Price,
    /// Held when it was made.
    pub position: Quantity,
    /// What the signal said, if it was evaluated and said anything.
    pub signal: Option<Signal>,
    /// What it rests on.
    pub readings: Readings,
    /// What came of it.
    pub outcome: Outcome,
}

impl Decision {
    /// How far it came.
    pub fn stage(&self) -> Stage {
        match &self.outcome {
            Outcome::Enter { .. } | Outcome::Exit { .. } => Stage::Order,
            Outcome::Nothing(denial) => denial.stage(),
        }
    }

    /// Appends the canonical bytes of the decision; equal decisions have equal bytes on every machine.
    ///
    /// 64 bytes of what every decision has, then confidence, intent and quantity, or the denial's values where there are
    /// any. Integers are little-endian.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let [first, second, third] = self.readings.0.map(|reading| reading.to_bits().to_le_bytes());
        let side = match self.signal.map(|s| s.side) {
            None => 0_u8,
            Some(Side::Buy) => 1,
            Some(Side::Sell) => 2,
        };
        let (kind, code) = match &self.outcome {
            Outcome::Enter { .. } => (1_u8, 0),
            Outcome::Exit { .. } => (2, 0),
            Outcome::Nothing(denial) => (3, denial.number()),
        };
        // Written where it stays: gathered elsewhere first, it would be read again before it is through the processor.
        out.extend_from_slice(&[0; HEAD]);
        let Some(head) = out.last_chunk_mut::<HEAD>() else { return };
        head[..8].copy_from_slice(&self.at.0.to_le_bytes());
        head[8..16].copy_from_slice(&self.bar.0.to_le_bytes());
        head[16..24].copy_from_slice(&self.close.0.to_le_bytes());
        head[24..32].copy_from_slice(&self.position.0.to_le_bytes());
        head[32..40].copy_from_slice(&first);
        head[40..48].copy_from_slice(&second);
        head[48..56].copy_from_slice(&third);
        head[56..58].copy_from_slice(&self.strategy.0.to_le_bytes());
        head[58..60].copy_from_slice(&self.instrument.0.to_le_bytes());
        head[60..63].copy_from_slice(&[side, kind, code]);
        if self.signal.is_some() || !matches!(self.outcome, Outcome::Nothing(Denial::NoSignal)) {
            self.encode_rest(out);
        }
    }

    #[cold]
    fn encode_rest(&self, out: &mut Vec<u8>) {
        if let Some(signal) = self.signal {
            out.extend_from_slice(&signal.confidence.0.to_le_bytes());
        }
        match &self.outcome {
            Outcome::Enter { intent, quantity } => {
                out.extend_from_slice(&intent.0.to_le_bytes());
                out.extend_from_slice(&quantity.0.to_le_bytes());
            }
            Outcome::Exit { quantity } => out.extend_from_slice(&quantity.0.to_le_bytes()),
            Outcome::Nothing(denial) => {
                let (found, limit) = denial.values();
                if (found, limit) != (0, 0) {
                    out.extend_from_slice(&found.to_le_bytes());
                    out.extend_from_slice(&limit.to_le_bytes());
                }
            }
        }
    }
}
