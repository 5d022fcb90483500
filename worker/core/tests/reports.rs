//! Property: whatever order the venue's reports come in, however often, and whichever are missing until the fills are read
//! again, the position is the venue's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use proptest::prelude::*;
use tradewind_core::event::EventKind;
use tradewind_core::money::{Cash, Quantity};
use tradewind_core::order::{Fill, OrderRequest, OrderState, OrderUpdate};

/// What the venue says of one order.
#[derive(Debug, Clone)]
enum Said {
    Update(OrderUpdate),
    Traded(Fill),
}

/// What an order came to at the venue: some of its parts traded, and the rest was ended by it or by us.
#[derive(Debug, Clone)]
struct Story {
    /// Tenths of the order that traded, each at a price of its own.
    parts: Vec<(u8, u8)>,
    /// Whether what was left was cancelled or ran out.
    cancelled: bool,
    /// Which of its reports arrive, in which order; a report may arrive often or never.
    heard: Vec<usize>,
    /// The order in which the fills are read again.
    read: Vec<usize>,
}

fn story() -> impl Strategy<Value = Story> {
    let parts = prop::collection::vec((1_u8..=3, 0_u8..40), 0..=6);
    let places = || prop::collection::vec(any::<usize>(), 0..20);
    (parts, any::<bool>(), places(), places()).prop_map(|(parts, cancelled, heard, read)| Story {
        parts,
        cancelled,
        heard,
        read,
    })
}

fn fills(desk: &mut Desk, request: &OrderRequest, story: &Story) -> Vec<Fill> {
    let mut left = request.quantity.0;
    let mut fills = Vec::new();
    for (tenths, cents) in &story.parts {
        let quantity = (request.quantity.0 / 10 * i64::from(*tenths)).min(left);
        if quantity > 0 {
            left -= quantity;
            fills.push(desk.a_fill(request, &format!("110.{cents:02}"), Quantity(quantity)));
        }
    }
    fills
}

fn tell(desk: &mut Desk, request: &OrderRequest, said: &Said) {
    match said {
        Said::Update(update) => desk.update(request.client_order_id, update.clone()),
        Said::Traded(fill) => desk.tell(EventKind::Fill(fill.clone())),
    };
}

/// Positions of both sides: what was bought by the first order and sold by the second.
fn play(desk: &mut Desk, request: &OrderRequest, story: &Story) -> Vec<Fill> {
    let fills = fills(desk, request, story);
    let mut said = vec![
        Said::Update(OrderUpdate::Accepted { venue_order_id: "V".into() }),
        Said::Update(OrderUpdate::Unknown { message: "time-out".into() }),
    ];
    said.extend(fills.iter().cloned().map(Said::Traded));
    let traded: i64 = fills.iter().map(|f| f.quantity.0).sum();
    if traded < request.quantity.0 {
        let executed = Quantity(traded);
        let end = if story.cancelled {
            OrderUpdate::Cancelled { executed }
        } else {
            OrderUpdate::Expired { executed }
        };
        said.push(Said::Update(end));
    }
    for place in &story.heard {
        tell(desk, request, &said[place % said.len()]);
    }
    // The next sweep reads all fills, then how the order ended.
    for place in story.read.iter().copied().chain(0..fills.len()) {
        if !fills.is_empty() {
            tell(desk, request, &Said::Traded(fills[place % fills.len()].clone()));
        }
    }
    if traded < request.quantity.0 {
        tell(desk, request, said.last().unwrap());
    }
    fills
}

fn held(desk: &Desk) -> i64 {
    let view = &desk.state.strategy_views()[0];
    // A unit is a thousandth of a coin.
    let dust = view.dust.iter().map(|d| i64::try_from(d.amount.0 / 10_i128.pow(15)).unwrap());
    view.positions.iter().map(|p| p.quantity.0).chain(dust).sum()
}

/// Cash that moved, by hand: price times quantity at their scales.
fn worth(fills: &[Fill]) -> Cash {
    let rules = rules("BTC-USD");
    let sum = fills.iter().map(|f| rules.notional(f.price, f.quantity).unwrap().0).sum();
    Cash(sum)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_position_is_the_venues_whatever_is_heard_of_it(entry in story(), exit in story()) {
        let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
        desk.warm(0);
        let cash = desk.state.strategy_views()[0].cash;
        let effects = desk.bar(0, "110");
        let bought = desk.durable(&effects).remove(0);
        let fills = play(&mut desk, &bought, &entry);
        let quantity: i64 = fills.iter().map(|f| f.quantity.0).sum();
        prop_assert_eq!(held(&desk), quantity);
        prop_assert_eq!(desk.state.strategy_views()[0].cash, Cash(cash.0 - worth(&fills).0));
        prop_assert!(desk.state.open_orders().is_empty());

        let effects = desk.bar(0, "50");
        let Some(sold) = desk.durable(&effects).pop() else {
            // At 50 a coin, 20 thousandths are worth the venue's smallest order.
            prop_assert!(quantity < 20, "{quantity}");
            return Ok(());
        };
        prop_assert_eq!(sold.quantity.0, quantity, "all that is held, and no more");
        let sales = play(&mut desk, &sold, &exit);
        let gone: i64 = sales.iter().map(|f| f.quantity.0).sum();
        prop_assert_eq!(held(&desk), quantity - gone);
        let expected = Cash(cash.0 - worth(&fills).0 + worth(&sales).0);
        prop_assert_eq!(desk.state.strategy_views()[0].cash, expected);
        let open = desk.state.open_orders();
        prop_assert!(open.iter().all(|o| o.state == OrderState::Intended), "what is left is sold next: {open:?}");
    }
}
