//! When a row contradicts the ledger, and how that is said; the same for every ledger.

use tradewind_core::order::{Epoch, Fill, Intent, IntentId, OrderState, Signing, Transition};
use tradewind_core::protocol::is_writer;
use tradewind_core::recovery::LedgerIdentity;

use crate::error::LedgerError;

/// The attempt an order must stand at for a transition to follow: a send is one attempt more, all else belongs to the
/// attempt it is of. An order never sent stands at zero.
pub(crate) fn stands_at(transition: &Transition) -> i64 {
    let attempt = i64::from(transition.attempt.0);
    if transition.to == OrderState::Sent { attempt - 1 } else { attempt }
}

pub(crate) fn check_epoch(intent: IntentId, epoch: Epoch, ours: LedgerIdentity) -> Result<(), LedgerError> {
    if is_writer(epoch, ours.epoch) {
        return Ok(());
    }
    let what = format!("its row is of epoch {}, the ledger was opened as epoch {}", epoch.0, ours.epoch.0);
    Err(LedgerError::Conflict { intent, what })
}

pub(crate) fn already_there(intent: &Intent) -> LedgerError {
    let what = format!("its number or its client order id {} is already there", intent.client_order_id);
    LedgerError::Conflict { intent: intent.id, what }
}

pub(crate) fn not_there(intent: IntentId) -> LedgerError {
    LedgerError::Conflict { intent, what: "it is not there".to_owned() }
}

pub(crate) fn other_numbers(intent: IntentId, fill: &Fill) -> LedgerError {
    let what = format!("trade {} of {} is already booked with other numbers", fill.trade_id.0, fill.symbol);
    LedgerError::Conflict { intent, what }
}

pub(crate) fn stands_elsewhere(transition: &Transition, state: &str, attempt: i64) -> LedgerError {
    let what = format!(
        "it is {state} in attempt {attempt}, so it cannot go from {} to {} in attempt {}",
        transition.from, transition.to, transition.attempt.0
    );
    LedgerError::Conflict { intent: transition.intent, what }
}

/// A signing belongs to the sending that comes next, of an order that has not left in this attempt.
pub(crate) fn is_next_sending(signing: &Signing, state: OrderState, attempt: i64) -> bool {
    state == OrderState::Intended && i64::from(signing.attempt.0) == attempt.saturating_add(1)
}

pub(crate) fn not_to_be_sent(signing: &Signing, state: OrderState, attempt: i64) -> LedgerError {
    let what =
        format!("it is {state} in attempt {attempt}, so sending {} cannot be made ready", signing.attempt.0);
    LedgerError::Conflict { intent: signing.intent, what }
}
