//! What arrives while an intent is being made durable: the order has not left yet, and must not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use smol_str::SmolStr;
use tradewind_core::engine::State;
use tradewind_core::event::{EventKind, HaltChange, Record};
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::name::Uid;
use tradewind_core::order::{Intent, OrderState, Purpose, Side};
use tradewind_core::time::Timestamp;
use tradewind_tests::desk::{Desk, busy};
use tradewind_tests::inside::{Fault, Inside, Watched};
use tradewind_worker::driver::{LastLook, News};

/// Tells of a halt once the flag is up.
struct Arrives(Rc<Cell<bool>>, HaltAction);

impl LastLook for Arrives {
    fn next(&mut self, state: &State, _: &BTreeMap<SmolStr, Uid>) -> Option<News> {
        (self.0.get() && state.halts().is_empty()).then(|| {
            let halt = Halt {
                name: "incident".into(),
                scope: HaltScope::Account,
                instruments: Vec::new(),
                action: self.1,
                origin: HaltOrigin::Manual,
                reason: "test".into(),
                requested_by: "test".into(),
                since: Timestamp(0),
            };
            News { events: vec![EventKind::HaltChange(HaltChange::Set(halt))], published: Vec::new() }
        })
    }
}

/// Runs; a halt arrives with the first commit of an intent, if it is to. Returns how many orders were sent, and how many
/// lapsed unsent.
async fn run(halted: bool) -> (usize, usize) {
    let desk = Desk::new(&busy(&[]), 200);
    let inside = Inside::load(&desk.file());
    let arrived = Rc::new(Cell::new(false));
    let flag = Rc::clone(&arrived);
    let fault: Fault = Box::new(move |batch| {
        let intent = batch.records.iter().any(|record| matches!(record, Record::Intent(_)));
        flag.set(flag.get() || (halted && intent));
        None
    });
    let fault = Rc::new(RefCell::new(fault));
    let mut driver = inside.open(&desk.state("a"), Watched::default(), &fault).await.unwrap();
    driver.look_at(Box::new(Arrives(arrived, HaltAction::StopEntries)));
    inside.go_on(&mut driver, None).await.unwrap();
    let count = |text: &str| driver.observer.0.iter().filter(|record| record.contains(text)).count();
    (count("\"to\":\"Sent\""), count("not sent: halted"))
}

#[tokio::test]
async fn a_halt_that_arrives_while_the_first_intent_becomes_durable_lets_no_entry_leave() {
    let (sent, lapsed) = run(false).await;
    assert!(sent > 1 && lapsed == 0, "without it orders leave: {sent}, {lapsed}");
    let (sent, lapsed) = run(true).await;
    assert_eq!(sent, 0);
    assert!(lapsed >= 1, "the intent was made and not sent");
}

/// A halt that sells what is held makes intents of its own at the last look; they wait for their own commit. It comes with an
/// entry while something else is held, of which no order is open: one that is would have to end first, and the sale would
/// be made by that, not by the look.
#[tokio::test]
async fn an_intent_that_the_last_look_makes_is_committed_before_it_is_sent() {
    let wide = "percent: 30}}, protection: AtWorker}";
    let desk = Desk::new(&busy(&[("percent: 1}}}", wide), ("percent: 2}}}", wide)]), 400);
    let inside = Inside::load(&desk.file());
    let (arrived, held) = (Rc::new(Cell::new(false)), RefCell::new(BTreeSet::new()));
    let sold = Rc::new(Cell::new(0_usize));
    let (flag, sales) = (Rc::clone(&arrived), Rc::clone(&sold));
    let fault: Fault = Box::new(move |batch| {
        let intents = || {
            batch.records.iter().filter_map(|record| match record {
                Record::Intent(intent) => Some(intent),
                _ => None,
            })
        };
        for record in batch.records {
            match record {
                Record::Transition(moved) => {
                    let sent = moved.to == OrderState::Sent;
                    let made_here = intents().any(|intent| intent.id == moved.intent);
                    assert!(!(sent && made_here), "sent before it was durable: {moved:?}");
                }
                Record::Fill { fill, .. } if fill.side == Side::Buy => {
                    held.borrow_mut().insert(fill.symbol.clone());
                }
                Record::Fill { fill, .. } => {
                    held.borrow_mut().remove(&fill.symbol);
                }
                _ => {}
            }
        }
        sales.set(sales.get() + intents().filter(|intent| intent.purpose == Purpose::Liquidation).count());
        let held = held.borrow();
        let beside =
            |intent: &Intent| intent.side == Side::Buy && held.iter().any(|other| *other != intent.symbol);
        flag.set(flag.get() || intents().any(beside));
        None
    });
    let fault = Rc::new(RefCell::new(fault));
    let mut driver = inside.open(&desk.state("a"), Watched::default(), &fault).await.unwrap();
    driver.look_at(Box::new(Arrives(arrived, HaltAction::Liquidate)));
    inside.go_on(&mut driver, None).await.unwrap();
    assert!(sold.get() >= 1, "the halt sells, so that something is proven");
}
