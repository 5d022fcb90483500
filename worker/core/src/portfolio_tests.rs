use super::*;
use crate::halt::HaltAction;
use crate::limits::BreakerScope;
use crate::money::PERCENT_ONE;
use crate::order::{ClientOrderId, Fee, Liquidity, TradeId};
use crate::time::Millis;

fn cash(text: &str) -> Cash {
    Cash::parse(text).unwrap()
}

fn rules() -> InstrumentRules {
    InstrumentRules::from_decimals("BTC-USD".parse().unwrap(), "0.01", "0.0001", "1").unwrap()
}

fn fill(side: Side, price: &str, quantity: &str) -> Fill {
    Fill {
        trade_id: TradeId("t".into()),
        client_order_id: ClientOrderId(uuid::Uuid::nil()),
        symbol: "BTC-USD".parse().unwrap(),
        side,
        price: rules().parse_price(price).unwrap(),
        quantity: rules().parse_quantity(quantity).unwrap(),
        fee: Fee { asset: "USD".parse().unwrap(), amount: Cash::ZERO },
        liquidity: Liquidity::Taker,
        at: Timestamp(0),
    }
}

#[test]
fn profit_is_what_was_received_less_what_was_paid_less_both_fees() {
    let mut position = Position::default();
    position.apply(&fill(Side::Buy, "100", "2"), &rules(), Cash::ZERO, cash("1.2")).unwrap();
    assert_eq!(position.cost, cash("201.2"));
    // Half is sold at 110 for a fee of 0.66: 110 - 0.66 - 100.6 = 8.74.
    position.apply(&fill(Side::Sell, "110", "1"), &rules(), Cash::ZERO, cash("0.66")).unwrap();
    assert_eq!((position.realized, position.cost, position.base), (cash("8.74"), cash("100.6"), cash("1")));
    // The rest at 90 for 0.54: 90 - 0.54 - 100.6 = -11.14.
    position.apply(&fill(Side::Sell, "90", "1"), &rules(), Cash::ZERO, cash("0.54")).unwrap();
    assert_eq!((position.realized, position.cost, position.base), (cash("-2.4"), Cash::ZERO, Cash::ZERO));
}

#[test]
fn a_fee_in_base_leaves_less_to_sell_than_was_bought() {
    let mut position = Position::default();
    position.apply(&fill(Side::Buy, "100", "1"), &rules(), cash("0.00603"), Cash::ZERO).unwrap();
    // 0.99397 is held; the lot is 0.0001.
    assert_eq!(rules().quantity_text(position.sellable()), "0.9939");
    assert_eq!(position.value(&rules(), rules().parse_price("100").unwrap()), Ok(cash("99.397")));
}

fn breaker(percent: i64, confirm_ms: i64) -> Breaker {
    Breaker {
        name: "drawdown".into(),
        scope: BreakerScope::Strategy,
        drawdown: Percent(percent * PERCENT_ONE / 100),
        confirm_for: Millis(confirm_ms),
        action: HaltAction::CancelEntries,
    }
}

fn trips(mark: &mut Mark, breaker: &Breaker, equity: &str, at: i64) -> bool {
    let mut tripped = Vec::new();
    mark.observe(cash(equity), Timestamp(at), std::iter::once(breaker), &mut tripped);
    !tripped.is_empty()
}

#[test]
fn a_breaker_trips_at_its_percent_and_not_before() {
    let breaker = breaker(15, 0);
    let mut mark = Mark::starting_at(cash("1000"));
    assert!(!trips(&mut mark, &breaker, "850.000000000000000001", 1));
    assert!(trips(&mut mark, &breaker, "850", 2));
    assert!(!trips(&mut mark, &breaker, "840", 3), "it trips once");
}

#[test]
fn a_drawdown_must_last_to_be_confirmed() {
    let breaker = breaker(15, 10_000);
    let mut mark = Mark::starting_at(cash("1000"));
    assert!(!trips(&mut mark, &breaker, "840", 0));
    assert!(!trips(&mut mark, &breaker, "900", 9_000), "it came back: the count starts anew");
    assert!(!trips(&mut mark, &breaker, "840", 10_000));
    assert!(!trips(&mut mark, &breaker, "840", 19_999));
    assert!(trips(&mut mark, &breaker, "840", 20_000));
}

#[test]
fn deposits_and_withdrawals_do_not_move_drawdown() {
    let mut mark = Mark::starting_at(cash("1000"));
    let before = mark.drawdown(cash("900"));
    mark.transfer(cash("900"), cash("1900")).unwrap();
    assert_eq!((before, mark.drawdown(cash("1900"))), (Percent(100_000), Percent(100_000)));
    mark.transfer(cash("1900"), cash("450")).unwrap();
    assert_eq!(mark.drawdown(cash("450")), Percent(100_000));
}

#[test]
fn a_resume_rebases_the_reference_but_not_the_peak() {
    let breaker = breaker(15, 0);
    let mut mark = Mark::starting_at(cash("1000"));
    assert!(trips(&mut mark, &breaker, "800", 1));
    mark.rebase("drawdown", cash("800"));
    assert_eq!((mark.reference, mark.peak), (cash("800"), cash("1000")));
    assert!(!trips(&mut mark, &breaker, "700", 2));
    assert!(trips(&mut mark, &breaker, "680", 3));
}

/// Between the highest line of a breaker and the reference there is nothing to ask; anywhere else there is.
#[test]
fn an_equity_is_calm_only_where_no_breaker_can_have_anything_to_say() {
    let breaker = breaker(15, 10_000);
    let calm = |mark: &Mark, equity| mark.is_calm(cash(equity), cash(equity));
    let watched = |equities: &[&str]| {
        let mut mark = Mark::starting_at(cash("1000"));
        for equity in equities {
            assert!(!trips(&mut mark, &breaker, equity, 1));
        }
        mark
    };
    assert!(!calm(&watched(&[]), "990"), "nobody was asked yet");
    let mark = watched(&["950", "990"]);
    // 15 % of 1000 are lost at 850.
    assert!(calm(&mark, "850.000000000000000001") && calm(&mark, "999.99"));
    assert!(!calm(&mark, "850"), "the breaker sees its line reached");
    assert!(!calm(&mark, "1000"), "it is the new reference");
    assert!(mark.is_calm(cash("851"), cash("999")) && !mark.is_calm(cash("849"), cash("999")));
    assert!(!mark.is_calm(cash("950"), cash("1001")));
    assert!(!calm(&watched(&["950", "840"]), "960"), "a drawdown that is being confirmed may end");
    assert!(!calm(&watched(&["950", "2000"]), "1700"), "the lines are others for another reference");

    let mut unwatched = Mark::starting_at(cash("1000"));
    unwatched.observe(cash("999"), Timestamp(1), std::iter::empty(), &mut Vec::new());
    assert!(calm(&unwatched, "0") && !calm(&unwatched, "-1"));

    let mut changed = mark.clone();
    changed.ask_breakers_again();
    assert!(!calm(&changed, "960"));
    let mut moved = mark.clone();
    moved.transfer(cash("960"), cash("1960")).unwrap();
    assert!(!calm(&moved, "1960"));
    let mut resumed = mark;
    resumed.rebase("drawdown", cash("960"));
    assert!(!calm(&resumed, "955"));
}
