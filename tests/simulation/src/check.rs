//! The judge: what must hold, asked of the venue's own ledger, at each acceptance, at each trade and in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures::FutureExt;
use tradewind_core::config::ResolvedStrategy;
use tradewind_core::money::{Cash, Rounding};
use tradewind_core::name::{Asset, Symbol, Uid};
use tradewind_core::order::{Epoch, IntentId, OrderState, Side};
use tradewind_ledger::{LedgerReader, OutboxReader};

use crate::broken::Broken;
use crate::bus;
use crate::drawdown;
use crate::exchange::{Exchange, Letter};
use crate::plan::{SEEN_WITHIN, TERMS};
use crate::sim::{Process, Sim};
use crate::store::{self, Kept};

/// How long after a halt was made what was signed before may still be accepted.
const HALTED_WITHIN: i64 = SEEN_WITHIN.0 + TERMS.signature_life.0 + TERMS.clock_skew.0;

/// What the judge remembers.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// The latest epoch of which an order was accepted.
    seen: Option<Epoch>,
}

/// Before an order is put into the book: I1, I3, I5 and I6.
pub(crate) fn on_acceptance(sim: &Rc<Sim>, letter: &Letter) {
    let request = &letter.request;
    executed_once(sim, letter);
    if !sim.stores.borrow().was_signed(request.intent, request.hash().0) {
        sim.break_with(Broken::NotDurable(request.intent));
    }
    let seen = sim.exchange.borrow_mut().judge.seen.replace(letter.epoch);
    if let Some(seen) = seen.filter(|seen| *seen > letter.epoch) {
        sim.break_with(Broken::EpochWentBack { late: letter.epoch, seen });
    }
    if request.side == Side::Buy {
        no_entry_after_a_halt(sim, letter);
        drawdown::on_entry(sim, &request.symbol);
    }
}

fn executed_once(sim: &Sim, letter: &Letter) {
    let exchange = sim.exchange.borrow();
    let same = |order: &&crate::exchange::Placed| order.id == letter.request.client_order_id;
    if exchange.orders.iter().filter(same).any(|order| order.is_open() || order.filled().0 > 0) {
        drop(exchange);
        sim.break_with(Broken::ExecutedTwice(letter.request.intent));
    }
}

fn no_entry_after_a_halt(sim: &Sim, letter: &Letter) {
    let symbol = &letter.request.symbol;
    let owner = sim.plan.config.strategies.iter().find(|s| s.instruments.iter().any(|i| i.symbol == *symbol));
    let Some(owner) = owner.map(|strategy| strategy.uid) else { return };
    let mut halts: Vec<(String, i64)> = Vec::new();
    for notice in sim.notices.borrow().in_force().filter(|n| n.halt.reaches(owner, symbol)) {
        halts.push((notice.halt.name.to_string(), sim.now().since(notice.made_at).0));
    }
    if let Some(kept) = sim.stores.borrow_mut().active() {
        let made = kept.halts.values().filter(|(halt, _)| !halt.name.starts_with("person."));
        let reaching = made.filter(|(halt, _)| halt.reaches(owner, symbol));
        halts.extend(reaching.map(|(halt, at)| (halt.name.to_string(), sim.now().since(*at).0)));
    }
    if let Some((halt, late)) = halts.into_iter().find(|(_, late)| *late > HALTED_WITHIN) {
        sim.break_with(Broken::AfterHalt { intent: letter.request.intent, halt, late });
    }
}

/// What is held and on its way of one instrument.
#[derive(Debug, Clone, Copy, Default)]
struct Stake {
    /// Of the base asset, fees taken off.
    held: Cash,
    /// Worth of it and of open entries.
    worth: Cash,
    /// What was received less what was paid, fees taken off.
    earned: Cash,
    /// Whether any of it is worth an order.
    counts: bool,
}

fn stakes(exchange: &Exchange) -> BTreeMap<Symbol, Stake> {
    let mut stakes: BTreeMap<Symbol, Stake> = BTreeMap::new();
    for trade in &exchange.trades {
        let fill = &trade.fill;
        let Some((_, rules)) = exchange.rules_of(&fill.symbol) else { continue };
        let base = rules.base_amount(fill.quantity).unwrap_or_default();
        let quote = rules.notional(fill.price, fill.quantity).unwrap_or_default();
        let stake = stakes.entry(fill.symbol.clone()).or_default();
        let sign = if fill.side == Side::Buy { 1 } else { -1 };
        stake.held.0 += sign * base.0;
        stake.earned.0 -= sign * quote.0;
        if fill.fee.asset == *fill.symbol.base() {
            stake.held.0 -= fill.fee.amount.0;
        } else {
            stake.earned.0 -= fill.fee.amount.0;
        }
    }
    for (symbol, stake) in &mut stakes {
        let Some((_, rules)) = exchange.rules_of(symbol) else { continue };
        stake.worth = rules.value_of_base(stake.held, exchange.price(symbol)).unwrap_or_default();
        // Less than could be sold is no position. Prices move, so that what is near it is not judged.
        stake.counts = stake.worth.0 > 2 * rules.min_notional.0;
    }
    for order in exchange.orders.iter().filter(|o| o.is_open() && o.side == Side::Buy) {
        let Some((_, rules)) = exchange.rules_of(&order.symbol) else { continue };
        let worth = rules.notional(exchange.price(&order.symbol), order.rest()).unwrap_or_default();
        let stake = stakes.entry(order.symbol.clone()).or_default();
        stake.worth.0 += worth.0;
        stake.counts = true;
    }
    stakes
}

/// When an entry has come into the book: I4.
pub(crate) fn on_exposure(sim: &Rc<Sim>) {
    let exchange = sim.exchange.borrow();
    if exchange.orders.last().is_none_or(|order| order.side != Side::Buy) {
        return;
    }
    let stakes = stakes(&exchange);
    drop(exchange);
    let (mut equity, mut exposure) = (0, 0);
    for strategy in &sim.plan.config.strategies {
        let (own, worth) = judge_strategy(sim, strategy, &stakes);
        equity += own.0;
        exposure += worth.0;
    }
    // What is not granted to any strategy.
    equity += 10_000 * 10_i128.pow(18);
    let limit = sim.plan.config.account.limits.max_exposure;
    if Cash(equity).percent(limit, Rounding::Down).is_ok_and(|most| exposure > most.0) {
        sim.break_with(Broken::Exposure(format!("the account's exposure is above {} of a million", limit.0)));
    }
}

/// What each strategy has, by the venue's book at its prices.
pub(crate) fn equities(sim: &Sim) -> BTreeMap<Uid, Cash> {
    let exchange = sim.exchange.borrow();
    let stakes = stakes(&exchange);
    let own = |symbol: &Symbol| {
        let stake = stakes.get(symbol).copied().unwrap_or_default();
        let held = exchange
            .rules_of(symbol)
            .and_then(|(_, rules)| rules.value_of_base(stake.held, exchange.price(symbol)).ok());
        stake.earned.0 + held.unwrap_or_default().0
    };
    let strategies = sim.plan.config.strategies.iter();
    let equity =
        |s: &ResolvedStrategy| s.capital.0 + s.instruments.iter().map(|i| own(&i.symbol)).sum::<i128>();
    strategies.map(|strategy| (strategy.uid, Cash(equity(strategy)))).collect()
}

fn judge_strategy(sim: &Sim, strategy: &ResolvedStrategy, stakes: &BTreeMap<Symbol, Stake>) -> (Cash, Cash) {
    let own = || strategy.instruments.iter().filter_map(|i| stakes.get(&i.symbol));
    let worth: i128 = own().map(|stake| stake.worth.0).sum();
    let equity = Cash(strategy.capital.0 + own().map(|s| s.earned.0).sum::<i128>() + worth);
    let most = |limit| equity.percent(limit, Rounding::Down).unwrap_or_default();
    let limits = &strategy.limits;
    if own().any(|stake| stake.worth > most(limits.max_position)) {
        sim.break_with(Broken::Exposure(format!("a position of {} is above its limit", strategy.name)));
    }
    if worth > most(limits.max_exposure).0 {
        sim.break_with(Broken::Exposure(format!("the exposure of {} is above its limit", strategy.name)));
    }
    let open = own().filter(|stake| stake.counts).count();
    if u32::try_from(open).unwrap_or(u32::MAX) > limits.max_open_positions {
        sim.break_with(Broken::Exposure(format!("{} has {open} positions", strategy.name)));
    }
    (equity, Cash(worth))
}

/// When an order has traded: no more is sold than was bought. A ledger that lost a commit may not know what it sold.
pub(crate) fn on_trade(sim: &Rc<Sim>, number: usize) {
    if sim.stores.borrow().lossy {
        return;
    }
    let exchange = sim.exchange.borrow();
    let Some(symbol) = exchange.orders.get(number).map(|order| order.symbol.clone()) else { return };
    let held = stakes(&exchange).get(&symbol).map_or(Cash::ZERO, |stake| stake.held);
    drop(exchange);
    if held.0 < 0 {
        sim.break_with(Broken::Oversold(symbol));
    }
}

/// When everything has come to rest: I2, I7, I8 and I12.
pub(crate) fn in_the_end(sim: &Rc<Sim>) {
    let Some(mut kept) = sim.stores.borrow_mut().active().cloned() else { return };
    let verdict = chain(&mut kept)
        .and_then(|()| at_rest(sim, &mut kept))
        .and_then(|()| no_intent_lost(sim, &kept))
        .and_then(|()| books(sim, &mut kept))
        .and_then(|()| events(sim, &mut kept));
    if let Err(broken) = verdict {
        sim.break_with(broken);
    }
}

/// A last relay tells what is left; then the streams hold each event of the ledger, and no other. A ledger that has lost
/// commits, or parted, has told of what it does not know.
fn events(sim: &Rc<Sim>, kept: &mut Kept) -> Result<(), Broken> {
    if sim.stores.borrow().lossy {
        return Ok(());
    }
    let ledger = store::open(sim, Process(u32::MAX), false);
    let told = bus::teller(sim, &ledger).and_then(|mut teller| teller.tell().now_or_never());
    if told != Some(true) {
        return Err(Broken::Events("a bus that answers was not told".to_owned()));
    }
    let written = kept.ledger.events_after(0, u32::MAX).now_or_never().and_then(Result::ok);
    bus::compare(&sim.bus.borrow().events(), &written.unwrap_or_default())
}

fn chain(kept: &mut Kept) -> Result<(), Broken> {
    let Kept { ledger, heads, .. } = kept;
    let gap = |head: &&tradewind_ledger::ChainHead| {
        !ledger.contains(head).now_or_never().is_some_and(|found| found.unwrap_or(false))
    };
    match heads.iter().find(gap) {
        Some(head) => Err(Broken::Chain(format!("the chain no longer holds its end at row {}", head.seq))),
        None => Ok(()),
    }
}

fn at_rest(sim: &Sim, kept: &mut Kept) -> Result<(), Broken> {
    let history = kept.ledger.history().now_or_never().and_then(Result::ok);
    let history = history.ok_or_else(|| Broken::Unrest("the ledger cannot be read".to_owned()))?;
    let exchange = sim.exchange.borrow();
    for open in &history.open_orders {
        let rests = open.state.is_at_the_venue();
        let there =
            exchange.latest(open.intent.client_order_id).is_some_and(crate::exchange::Placed::is_open);
        if !rests || !there {
            let (id, state) = (open.intent.id.0, open.state);
            return Err(Broken::Unrest(format!(
                "intent {id} is {state} in the ledger, open at the venue: {there}"
            )));
        }
    }
    let known: BTreeSet<IntentId> = history.open_orders.iter().map(|open| open.intent.id).collect();
    let ours = |order: &&crate::exchange::Placed| {
        kept.orders.get(&order.intent).is_some_and(|(id, _)| *id == order.id)
    };
    let left = exchange.orders.iter().filter(ours).find(|o| o.is_open() && !known.contains(&o.intent));
    match left {
        Some(order) => Err(Broken::Unrest(format!("intent {} is open at the venue only", order.intent.0))),
        None => Ok(()),
    }
}

fn no_intent_lost(sim: &Sim, kept: &Kept) -> Result<(), Broken> {
    for order in &sim.exchange.borrow().orders {
        let Some((id, state)) = kept.orders.get(&order.intent) else { continue };
        let gone = matches!(
            state,
            OrderState::Absent | OrderState::Rejected | OrderState::Denied | OrderState::Intended
        );
        if gone && *id == order.id && (order.is_open() || order.filled().0 > 0) {
            return Err(Broken::Lost { intent: order.intent, state: state.to_string() });
        }
    }
    Ok(())
}

/// Every trade of an order the ledger knows is in it once, and balances are the venue's but for what it lost.
fn books(sim: &Sim, kept: &mut Kept) -> Result<(), Broken> {
    let wrong = |what: String| Err(Broken::Books(what));
    let history = kept.ledger.history().now_or_never().and_then(Result::ok).unwrap_or_default();
    let exchange = sim.exchange.borrow();
    let ours = |intent: IntentId, id| kept.orders.get(&intent).is_some_and(|(known, _)| *known == id);
    let mut missing: BTreeMap<Asset, i128> = BTreeMap::new();
    let mut traded = 0;
    for trade in &exchange.trades {
        let Some(order) = exchange.orders.get(trade.order) else { continue };
        if !ours(order.intent, order.id) {
            for (asset, amount) in effect(&exchange, trade) {
                *missing.entry(asset).or_default() += amount;
            }
            continue;
        }
        traded += 1;
        if !history.fills.iter().any(|booked| booked.fill == trade.fill && booked.intent == order.intent) {
            return wrong(format!(
                "trade {} of intent {} is not booked",
                trade.fill.trade_id.0, order.intent.0
            ));
        }
    }
    if traded != history.fills.len() {
        return wrong(format!("{} trades are booked as {} fills", traded, history.fills.len()));
    }
    if !missing.is_empty() && !sim.stores.borrow().lossy {
        return wrong("the venue traded orders that the ledger does not know".to_owned());
    }
    let rows = kept.ledger.balances().now_or_never().and_then(Result::ok).unwrap_or_default();
    for (asset, there) in &exchange.balances {
        let here: i128 = rows.iter().filter(|row| row.asset == *asset).map(|row| row.amount.0).sum();
        let lost = missing.get(asset).copied().unwrap_or(0);
        if here + lost != there.0 {
            return wrong(format!(
                "the venue has {} of {asset:?}, the ledger {here} and lost {lost}",
                there.0
            ));
        }
    }
    Ok(())
}

/// What a trade did to balances.
fn effect(exchange: &Exchange, trade: &crate::exchange::Trade) -> Vec<(Asset, i128)> {
    let fill = &trade.fill;
    let Some((_, rules)) = exchange.rules_of(&fill.symbol) else { return Vec::new() };
    let sign = if fill.side == Side::Buy { 1 } else { -1 };
    let base = rules.base_amount(fill.quantity).unwrap_or_default().0;
    let quote = rules.notional(fill.price, fill.quantity).unwrap_or_default().0;
    vec![
        (fill.symbol.base().clone(), sign * base),
        (fill.symbol.quote().clone(), -sign * quote),
        (fill.fee.asset.clone(), -fill.fee.amount.0),
    ]
}
