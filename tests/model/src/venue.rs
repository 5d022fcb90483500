//! The wire and the venue. The venue takes the same client order id as often as it comes, refuses what is signed too long
//! ago by a clock that may be off, shows what it did a little later, and forgets the ids of orders that have ended.

use tradewind_core::order::{ClientOrderId, Epoch, IntentId, Side};
use tradewind_core::protocol::Signature;
use tradewind_core::time::Timestamp;

use crate::world::{Bounds, Broken, TERMS, World};

/// A request on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Letter {
    pub(crate) id: ClientOrderId,
    pub(crate) intent: IntentId,
    pub(crate) born: Epoch,
    /// Who sent it.
    pub(crate) epoch: Epoch,
    pub(crate) signed_at: i64,
    pub(crate) valid_until: i64,
    pub(crate) side: Side,
    pub(crate) lots: i64,
}

/// An order the venue has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Placed {
    pub(crate) id: ClientOrderId,
    pub(crate) intent: IntentId,
    pub(crate) born: Epoch,
    pub(crate) side: Side,
    pub(crate) lots: i64,
    pub(crate) filled: i64,
    pub(crate) cancelled: bool,
    /// When it was accepted, and when anything last happened to it.
    pub(crate) changed_at: Timestamp,
    pub(crate) accepted_at: Timestamp,
}

impl Placed {
    pub(crate) fn is_open(&self) -> bool {
        !self.cancelled && self.filled < self.lots
    }

    /// Whether it traded or may.
    pub(crate) fn matters(&self) -> bool {
        self.is_open() || self.filled > 0
    }

    /// Lots it has taken or may take.
    pub(crate) fn at_stake(&self) -> i64 {
        if self.is_open() { self.lots } else { self.filled }
    }
}

/// How much a query shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sight {
    /// All there is.
    All,
    /// Only what is older than the lag.
    Late,
    /// As `Late`, and ids of orders that have ended are forgotten once their fills are shown.
    Forgetful,
}

impl Sight {
    /// All ways to see.
    pub(crate) const EVERY: [Self; 3] = [Self::All, Self::Late, Self::Forgetful];

    /// Whether a look-up by id shows the order.
    pub(crate) fn shows(self, order: &Placed, now: Timestamp) -> bool {
        let due = |at: Timestamp| at.plus(TERMS.query_lag) <= now;
        match self {
            Self::All => true,
            Self::Late => due(order.accepted_at),
            Self::Forgetful => due(order.accepted_at) && (order.is_open() || !due(order.changed_at)),
        }
    }
}

/// What the venue does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Takes it.
    Accept,
    /// Refuses it, as signed too long ago or for lack of coins.
    Refuse,
}

/// Whether the venue may do so at that time: its clock is off by the skew at most.
pub(crate) fn possible(bounds: &Bounds, world: &World, letter: &Letter, verdict: Verdict) -> bool {
    let skew = TERMS.clock_skew.0;
    let covered = bounds.foreign_coins || letter.side == Side::Buy || world.held() >= letter.lots;
    match verdict {
        Verdict::Accept => covered && world.now.0 <= letter.valid_until + skew,
        Verdict::Refuse => !covered || world.now.0 > letter.valid_until,
    }
}

pub(crate) fn accept(world: &mut World, letter: &Letter) {
    if letter.epoch < world.accepted {
        world.broken.get_or_insert(Broken::EpochWentBack);
    }
    let durable = world.rows().any(|row| (row.intent, row.born) == (letter.intent, letter.born));
    if !durable && !world.rolled_back {
        world.broken.get_or_insert(Broken::NotDurable);
    }
    world.accepted = world.accepted.max(letter.epoch);
    world.placed.push(Placed {
        id: letter.id,
        intent: letter.intent,
        born: letter.born,
        side: letter.side,
        lots: letter.lots,
        filled: 0,
        cancelled: false,
        changed_at: world.now,
        accepted_at: world.now,
    });
}

impl Letter {
    pub(crate) fn span(signature: Signature) -> (i64, i64) {
        (signature.signed_at.0, signature.valid_until.0)
    }
}
