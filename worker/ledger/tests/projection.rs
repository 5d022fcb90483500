//! Property: the state, attempt and filled amount a ledger projects are the fold of the rows it took, and every ledger
//! takes the same rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use tempfile::TempDir;
use tradewind_core::event::Record;
use tradewind_core::money::Quantity;
use tradewind_core::order::{Attempt, IntentId, OrderState};
use tradewind_core::protocol::{Life, OrderInput, Signature, Step, VenueTerms};
use tradewind_core::time::Timestamp;
use tradewind_ledger::{LedgerReader, MemoryLedger};

/// Every input of the production table, legal or not.
const INPUTS: [OrderInput; 14] = [
    OrderInput::Send { at: Timestamp(0) },
    OrderInput::Throttle,
    OrderInput::Withhold,
    OrderInput::Renew { signature: SIGNATURE },
    OrderInput::Accept,
    OrderInput::FillPart { quantity: Quantity(20_000_000) },
    OrderInput::FillRest,
    OrderInput::Cancel { missing: Quantity::ZERO },
    OrderInput::Cancel { missing: Quantity(20_000_000) },
    OrderInput::Expire { missing: Quantity::ZERO },
    OrderInput::Expire { missing: Quantity(1) },
    OrderInput::Lapse,
    OrderInput::Reject,
    OrderInput::LoseTrack,
];
const SIGNATURE: Signature = Signature { signed_at: Timestamp(0), valid_until: Timestamp(0) };
const NOT_FOUND: OrderInput = OrderInput::NotFound { asked_at: Timestamp(0) };
const STATES: [OrderState; 4] =
    [OrderState::Intended, OrderState::Sent, OrderState::Unknown, OrderState::Absent];

/// Where an order stands: state, attempt, filled units.
type Stand = (OrderState, u32, i64);

/// One commit for one of three orders: an input of the production table, or a step from a state guessed at random.
fn apply(stand: Stand, id: u64, choice: usize, guess: bool, trade: usize) -> (Vec<Record>, Option<Stand>) {
    let (state, attempt, filled) = stand;
    if guess {
        let from = STATES[choice % STATES.len()];
        let records = vec![step(id, 1, 1, from, OrderState::Sent)];
        let legal = from == state && attempt == 0;
        return (records, legal.then_some((OrderState::Sent, 1, filled)));
    }
    let input = *INPUTS.get(choice % (INPUTS.len() + 1)).unwrap_or(&NOT_FOUND);
    let terms = VenueTerms::default();
    let mut life = Life::recovered(state, Attempt(attempt), SIGNATURE, &terms);
    if state == OrderState::Intended && input != OrderInput::LoseTrack {
        // As in the worker that decided it, once it is durable.
        life = Life::begin(SIGNATURE);
        (1..=attempt).for_each(|_| {
            for again in [OrderInput::Durable, OrderInput::Send { at: Timestamp(0) }, OrderInput::Throttle] {
                life.apply(again, &terms).ok();
            }
        });
        life.apply(OrderInput::Durable, &terms).ok();
    }
    let Ok(Some(Step { attempt: Attempt(attempt), to, .. })) = life.apply(input, &terms) else {
        return (Vec::new(), Some(stand));
    };
    let mut records = vec![step(id, 1, attempt, state, to)];
    if matches!(input, OrderInput::Renew { .. }) {
        records.push(signing(id, 1, attempt + 1));
    }
    let mut filled = filled;
    if matches!(input, OrderInput::FillPart { .. } | OrderInput::FillRest) {
        records.push(booked(&format!("{id}-{trade}"), id));
        filled += 20_000_000;
    }
    (records, Some((to, attempt, filled)))
}

async fn check(steps: Vec<(u64, usize, bool)>) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let mut durable = open(&path).await;
    let mut memory = MemoryLedger::new(identity(1));
    let mut model: BTreeMap<u64, Stand> = BTreeMap::new();
    for id in 0..3 {
        let record = [Record::Intent(intent(id, 1))];
        commit(&mut durable, &record).await.unwrap();
        commit(&mut memory, &record).await.unwrap();
        model.insert(id, (OrderState::Intended, 0, 0));
    }
    for (trade, (id, choice, guess)) in steps.into_iter().enumerate() {
        let (records, next) = apply(model[&id], id, choice, guess, trade);
        let (one, other) = (commit(&mut durable, &records).await, commit(&mut memory, &records).await);
        assert_eq!(
            (one.is_ok(), other.is_ok()),
            (next.is_some(), next.is_some()),
            "{records:?} on {:?}",
            model[&id]
        );
        if let Some(next) = next {
            model.insert(id, next);
        }
    }
    let history = durable.history().await.unwrap();
    assert_eq!(history, memory.history().await.unwrap());
    let open_orders: Vec<_> = history.open_orders.iter().map(|o| (o.intent.id, o.state, o.attempt)).collect();
    let expected: Vec<_> = model
        .iter()
        .filter(|(_, stand)| !stand.0.is_terminal())
        .map(|(id, stand)| (IntentId(*id), stand.0, Attempt(stand.1)))
        .collect();
    assert_eq!(open_orders, expected);
    for (id, stand) in &model {
        let of = history.fills.iter().filter(|f| f.intent == IntentId(*id));
        assert_eq!(of.map(|f| f.fill.quantity.0).sum::<i64>(), stand.2);
    }
    // Verify folds the transitions and fills itself and compares them with the projected columns.
    durable.verify().await.unwrap();
    drop(durable);
    assert_eq!(open(&path).await.history().await.unwrap(), history);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_a_ledger_projects_is_the_fold_of_its_rows(
        steps in prop::collection::vec((0_u64..3, 0_usize..36, prop::bool::weighted(0.2)), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}
