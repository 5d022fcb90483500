//! The order protocol: the machine that says what may happen to an order, and the rules about time that make "it was not
//! placed" provable. Pure; the engine, the ledgers and the model check all drive these functions and have no others.
//!
//! What it promises: of one intent at most one sending is ever executed, though the venue may take the same client order
//! id twice, requests may arrive late or never, and the worker may stop anywhere, be paused, or be replaced. Why each
//! rule is needed is told in `docs/order-protocol.md`; each is a mutant that the model check in `tests/model` notices.
//!
//! What it must not do: read a clock, or take a missing answer for a "no".

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::money::Quantity;
use crate::name::Uid;
use crate::order::{Attempt, ClientOrderId, Epoch, Incarnation, IntentId, OrderState, Transition};
use crate::time::{Millis, Timestamp};

/// What bounds the doubt about an order whose outcome is not known. Once a request was signed, it can still be executed
/// for [`Self::signature_life`] by the venue's clock, which differs from ours by [`Self::clock_skew`] at most; what was
/// executed shows in look-ups [`Self::query_lag`] later. "Not found" proves nothing before all three have passed.
///
/// All are zero at a venue within the process: a request is over when its call returns, and nothing outlives the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VenueTerms {
    /// How long after its signed time the venue takes a request. Zero: requests are not signed.
    pub signature_life: Millis,
    /// The most that our estimate of the venue's clock may be wrong by.
    pub clock_skew: Millis,
    /// The most that look-ups lag behind executions.
    pub query_lag: Millis,
}

/// The span in which the venue takes one sending of an order. It is durable before the sending: whoever holds the intent
/// later can only send it within this span, and whoever succeeds them knows when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// The time the request carries.
    pub signed_at: Timestamp,
    /// The venue refuses the request after this. Not the life of an entry, which is [`crate::order::Intent::valid_until`].
    pub valid_until: Timestamp,
}

impl VenueTerms {
    /// The span of a request that is signed at that time.
    pub fn sign(&self, at: Timestamp) -> Signature {
        Signature { signed_at: at, valid_until: at.plus(self.signature_life) }
    }

    /// Whether requests are over when their call returns.
    fn in_process(&self) -> bool {
        self.signature_life.0 <= 0
    }

    /// Whether a request of that span may still be sent. One that may not is signed anew, as the next attempt.
    pub fn may_send(&self, signature: Signature, at: Timestamp) -> bool {
        self.in_process() || at <= signature.valid_until
    }

    /// From when on "not found" proves that a sending was not executed and never will be: the first millisecond after its
    /// signature has run out by the venue's clock and what was executed until then shows in look-ups.
    pub fn not_found_from(&self, signature: Signature) -> Timestamp {
        if self.in_process() {
            return signature.signed_at;
        }
        let refused_after = signature.valid_until.plus(self.clock_skew);
        refused_after.plus(self.query_lag).plus(Millis(1))
    }

    /// When a worker that opened the ledger at that time may take stock of the venue and send its first order: its
    /// predecessor believes in its Lease for `lease` at most, and what that one signed last is over by then.
    ///
    /// The ledger alone would do if it never lost a commit. One that lost its last commits does not know the orders in
    /// them; after this wait the venue does.
    pub fn first_send(&self, opened_at: Timestamp, lease: Millis) -> Timestamp {
        if self.in_process() {
            return opened_at;
        }
        self.not_found_from(self.sign(opened_at.plus(lease)))
    }
}

/// Where an order stands, with what must be known to go on from there. Its short form in rows is [`OrderState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Decided and signed; the row is on its way to stable storage.
    Intended {
        /// The span of this sending.
        signature: Signature,
    },
    /// On stable storage, and not sent by this worker: it may be.
    Ready {
        /// The span of this sending.
        signature: Signature,
    },
    /// Intended by a worker that is gone. It may have been sent; the one thing to do is to say so.
    Orphaned {
        /// The span of this sending.
        signature: Signature,
    },
    /// On its way; the venue has not answered.
    Sent {
        /// The span of this sending.
        signature: Signature,
    },
    /// The venue has it; nothing filled.
    Accepted,
    /// Partly filled, the rest still open.
    PartiallyFilled,
    /// Filled to the last unit.
    Filled,
    /// Ended at the venue, which executed more of it than we have heard of: its story ends with the last of those fills.
    Ending {
        /// How it ends then.
        end: End,
        /// What was executed and is not booked; never zero.
        missing: Quantity,
    },
    /// Ended by a cancel; what had filled until then is booked.
    Cancelled,
    /// Ended by the venue or by age; what had filled until then is booked.
    Expired,
    /// Refused by the venue.
    Rejected,
    /// Refused by us when it was to be sent: it never left.
    Denied,
    /// Sent, and nobody knows what came of it.
    Unknown {
        /// "Not found" counts when the venue was asked at this time or later.
        not_found_from: Timestamp,
    },
    /// Proven not to be at the venue and never to come there.
    Absent,
}

/// How an order ends that has not filled to the last unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// By our cancel.
    Cancelled,
    /// By the venue itself.
    Expired,
}

impl End {
    /// Where an order stands that has ended so while that much of what was executed is not booked. There is no other way
    /// to an end at the venue: the rest of an order is not counted any more only when all that was executed is held.
    fn with_missing(self, missing: Quantity) -> Stage {
        match self {
            _ if missing.0 > 0 => Stage::Ending { end: self, missing },
            Self::Cancelled => Stage::Cancelled,
            Self::Expired => Stage::Expired,
        }
    }
}

impl Stage {
    /// Its short form.
    pub fn state(self) -> OrderState {
        match self {
            Self::Intended { .. } | Self::Ready { .. } | Self::Orphaned { .. } => OrderState::Intended,
            Self::Sent { .. } => OrderState::Sent,
            Self::Accepted => OrderState::Accepted,
            Self::PartiallyFilled | Self::Ending { .. } => OrderState::PartiallyFilled,
            Self::Filled => OrderState::Filled,
            Self::Cancelled => OrderState::Cancelled,
            Self::Expired => OrderState::Expired,
            Self::Rejected => OrderState::Rejected,
            Self::Denied => OrderState::Denied,
            Self::Unknown { .. } => OrderState::Unknown,
            Self::Absent => OrderState::Absent,
        }
    }

    /// The span of the sending that is about to happen or has just happened.
    pub fn signature(self) -> Option<Signature> {
        match self {
            Self::Intended { signature }
            | Self::Ready { signature }
            | Self::Orphaned { signature }
            | Self::Sent { signature } => Some(signature),
            _ => None,
        }
    }
}

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
pub enum OrderInput {
    /// Its row, and all before it, are on stable storage.
    Durable,
    /// It is being sent.
    Send {
        /// At that time.
        at: Timestamp,
    },
    /// The venue has not taken it and will not: nothing left the worker, as a budget is used up, or the venue stopped it at
    /// its gate with a code listed as that. It may be sent later as it is.
    Throttle,
    /// It will not be sent with this signature, which has run out before anything left the worker.
    Withhold,
    /// It is signed anew, as the next attempt. The row must be durable before it is sent.
    Renew {
        /// The span of the next sending.
        signature: Signature,
    },
    /// The venue took it.
    Accept,
    /// Part of it filled.
    FillPart {
        /// How much.
        quantity: Quantity,
    },
    /// The last of it filled.
    FillRest,
    /// The venue ended it on our cancel.
    Cancel {
        /// What the venue executed of it, less what is booked.
        missing: Quantity,
    },
    /// The venue ended it by itself.
    Expire {
        /// What the venue executed of it, less what is booked.
        missing: Quantity,
    },
    /// We let it lapse unsent.
    Lapse,
    /// The venue refused it.
    Reject,
    /// It cannot be sent as it is, and nothing left the worker.
    Deny,
    /// No answer that says what happened.
    LoseTrack,
    /// The venue answered a look-up: it does not have it, and its fills do not tell of it.
    NotFound {
        /// When it was asked.
        asked_at: Timestamp,
    },
}

/// A transition that must not happen. The order stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("an order that is {} cannot {input}; the event is recorded and ignored", .from.state())]
pub struct IllegalTransition {
    /// Where it stands.
    pub from: Stage,
    /// What was said to have happened.
    pub input: OrderInput,
}

/// Where an order goes. The only table of legal transitions there is.
///
/// Fills are facts and are legal in every stage an order can have at the venue, also after its end: a cancel that
/// crossed a fill on the wire, or a report that comes late, must not lose money.
#[expect(clippy::match_same_arms, reason = "the table is read row by row: one input a group")]
pub fn transition(from: Stage, input: OrderInput, terms: &VenueTerms) -> Result<Stage, IllegalTransition> {
    use OrderInput as I;
    use Stage as S;
    match (from, input) {
        (S::Intended { signature }, I::Durable) => Ok(S::Ready { signature }),
        (S::Ready { signature }, I::Send { at }) if terms.may_send(signature, at) => {
            Ok(S::Sent { signature })
        }
        (S::Sent { signature }, I::Throttle) => Ok(S::Ready { signature }),
        (S::Ready { .. }, I::Withhold) => Ok(S::Absent),
        (S::Absent, I::Renew { signature }) => Ok(S::Intended { signature }),
        (S::Sent { .. } | S::Unknown { .. } | S::Accepted, I::Accept) => Ok(S::Accepted),
        (S::PartiallyFilled | S::Ending { .. }, I::Accept) => Ok(from),
        (S::Sent { .. } | S::Unknown { .. } | S::Accepted | S::PartiallyFilled, I::FillPart { .. }) => {
            Ok(S::PartiallyFilled)
        }
        (S::Ending { end, missing }, I::FillPart { quantity }) => {
            Ok(end.with_missing(Quantity(missing.0.saturating_sub(quantity.0))))
        }
        (S::Cancelled | S::Expired, I::FillPart { .. }) => Ok(from),
        (S::Sent { .. } | S::Unknown { .. } | S::Accepted | S::PartiallyFilled, I::FillRest) => Ok(S::Filled),
        (S::Ending { .. } | S::Cancelled | S::Expired, I::FillRest) => Ok(S::Filled),
        (
            S::Sent { .. } | S::Unknown { .. } | S::Accepted | S::PartiallyFilled | S::Ending { .. },
            I::Cancel { missing },
        ) => Ok(End::Cancelled.with_missing(missing)),
        (
            S::Sent { .. } | S::Unknown { .. } | S::Accepted | S::PartiallyFilled | S::Ending { .. },
            I::Expire { missing },
        ) => Ok(End::Expired.with_missing(missing)),
        (S::Cancelled, I::Cancel { .. }) | (S::Expired, I::Expire { .. }) => Ok(from),
        (S::Intended { .. } | S::Ready { .. }, I::Lapse) => Ok(S::Expired),
        (S::Sent { .. } | S::Unknown { .. }, I::Reject) => Ok(S::Rejected),
        (S::Sent { .. }, I::Deny) => Ok(S::Denied),
        (S::Orphaned { signature } | S::Sent { signature }, I::LoseTrack) => {
            Ok(S::Unknown { not_found_from: terms.not_found_from(signature) })
        }
        (S::Unknown { .. }, I::LoseTrack) => Ok(from),
        (S::Unknown { not_found_from }, I::NotFound { asked_at }) if asked_at >= not_found_from => {
            Ok(S::Absent)
        }
        _ => Err(IllegalTransition { from, input }),
    }
}

/// One order's way through the table: where it stands and how often it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Life {
    stage: Stage,
    attempt: Attempt,
}

impl Life {
    /// An order as it is decided.
    pub fn begin(signature: Signature) -> Self {
        Self { stage: Stage::Intended { signature }, attempt: Attempt(0) }
    }

    /// An order as its rows tell of it after a restart. What was intended may have been sent: the step to sent need not be
    /// durable before the sending, since the signature was.
    pub fn recovered(known: OrderState, attempt: Attempt, signature: Signature, terms: &VenueTerms) -> Self {
        let stage = match known {
            OrderState::Intended => Stage::Orphaned { signature },
            OrderState::Sent => Stage::Sent { signature },
            OrderState::Unknown => Stage::Unknown { not_found_from: terms.not_found_from(signature) },
            OrderState::Accepted => Stage::Accepted,
            OrderState::PartiallyFilled => Stage::PartiallyFilled,
            OrderState::Filled => Stage::Filled,
            OrderState::Cancelled => Stage::Cancelled,
            OrderState::Expired => Stage::Expired,
            OrderState::Rejected => Stage::Rejected,
            OrderState::Denied => Stage::Denied,
            OrderState::Absent => Stage::Absent,
        };
        Self { stage, attempt }
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Where it stands, in short.
    pub fn state(&self) -> OrderState {
        self.stage.state()
    }

    /// How often it was sent.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Applies an input. Gives the step for the ledger, or none where only the worker's own knowledge grew.
    pub fn apply(
        &mut self,
        input: OrderInput,
        terms: &VenueTerms,
    ) -> Result<Option<Step>, IllegalTransition> {
        let from = self.stage.state();
        self.stage = transition(self.stage, input, terms)?;
        if matches!(input, OrderInput::Send { .. }) {
            self.attempt = Attempt(self.attempt.0.saturating_add(1));
        }
        let step = Step { attempt: self.attempt, from, to: self.stage.state() };
        Ok((input != OrderInput::Durable).then_some(step))
    }

    /// What must be counted against every limit as if it filled: all that has not filled yet, until it is proven that it
    /// never will. What has filled counts as held.
    pub fn at_risk(&self, ordered: Quantity, filled: Quantity) -> Quantity {
        match self.stage {
            Stage::Ending { missing, .. } => missing,
            stage if stage.state().is_terminal() => Quantity::ZERO,
            _ => Quantity(ordered.0.saturating_sub(filled.0).max(0)),
        }
    }

    /// From when on "not found" counts, where nobody knows what came of it.
    pub fn not_found_from(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Unknown { not_found_from } => Some(not_found_from),
            _ => None,
        }
    }

    /// Whether it has ended at the venue and fills of it are still to come.
    pub fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending { .. })
    }
}

/// A step of one order, as the ledger writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// Which sending it belongs to.
    pub attempt: Attempt,
    /// From where.
    pub from: OrderState,
    /// To where.
    pub to: OrderState,
}

/// Whether a row of that epoch may be written: only the last worker that opened the ledger writes to it.
pub fn is_writer(row: Epoch, ledger: Epoch) -> bool {
    row == ledger
}

/// Where the ledger has an order: what a transition is compared with before it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stand {
    /// The ledger's writer.
    pub epoch: Epoch,
    /// State of the order.
    pub state: OrderState,
    /// How often it was sent.
    pub attempt: Attempt,
}

impl Stand {
    /// The compare-and-set: whether the transition starts where the order stands, and comes from the ledger's writer. A
    /// send is one attempt more, all else belongs to the attempt it is of.
    pub fn admits(&self, row: &Transition) -> bool {
        let sent = u32::from(row.to == OrderState::Sent);
        is_writer(row.epoch, self.epoch)
            && row.from == self.state
            && row.attempt.0.checked_sub(sent) == Some(self.attempt.0)
    }
}

/// Whose an order is that the venue tells of and no open order of ours has.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::IntoStaticStr,
)]
pub enum Origin {
    /// This ledger made it; its story has ended.
    Ended,
    /// Its id bears this ledger's tag, and the ledger never made it: it has lost a commit, or is a copy of before.
    Lost(IntentId),
    /// Somebody else's: of another ledger, or made by hand. It is never sold.
    External,
}

/// How far beyond the last intent, and beyond the last before numbers that were left out, a lost one is looked for.
const LOST_AT_MOST: u64 = 4096;

impl Origin {
    /// Whose that order is, by the ids this ledger has made and would make next. `left_out` are the numbers below
    /// `next_intent` that it never gave, rising: a copy of a ledger leaves out a thousand million, and what was made after
    /// the copy has the first of them.
    pub fn of(
        id: ClientOrderId,
        ours: Incarnation,
        strategies: &[Uid],
        next_intent: u64,
        left_out: &[Range<u64>],
    ) -> Self {
        if id.incarnation() != ours {
            return Self::External;
        }
        let is =
            |intent: &IntentId| strategies.iter().any(|s| ClientOrderId::derive(ours, *s, *intent) == id);
        // What is told again is mostly what ended last.
        let mut end = next_intent;
        for gap in left_out.iter().rev().chain(std::iter::once(&(0..0))) {
            if (gap.end..end).rev().map(IntentId).any(|intent| is(&intent)) {
                return Self::Ended;
            }
            end = gap.start;
        }
        let beyond = next_intent..next_intent.saturating_add(LOST_AT_MOST);
        let gaps = left_out.iter().map(|gap| gap.start..gap.end.min(gap.start.saturating_add(LOST_AT_MOST)));
        if let Some(lost) = std::iter::once(beyond).chain(gaps).flatten().map(IntentId).find(is) {
            return Self::Lost(lost);
        }
        // Our tag on an id of a strategy that is gone, or of nobody: nothing to lean on.
        Self::External
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
