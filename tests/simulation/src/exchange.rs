//! The venue: its book, its trades and its balances. What is written here is the truth that runs are judged by.
//!
//! It shares nothing with the paper venue or an adapter. What it does is told by its plan and by chance: it takes ids
//! again or not, forgets ids of orders that have ended or not, and shows what it did later.

use std::collections::BTreeMap;
use std::rc::Rc;

use tradewind_core::config::FeeAsset;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{BPS_ONE, Cash, Price, Quantity, Rounding};
use tradewind_core::name::{Asset, Symbol};
use tradewind_core::order::{
    ClientOrderId, Epoch, Fee, Fill, IntentId, Liquidity, OrderKind, OrderRequest, OrderState, Side, TradeId,
};
use tradewind_core::time::{Millis, Timestamp};

use crate::check;
use crate::coverage::Fault;
use crate::plan::{Dedupe, Plan, SYMBOLS, TERMS};
use crate::sim::Sim;

/// A request on its way, with what only the simulation knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) request: OrderRequest,
    /// Who sent it.
    pub(crate) epoch: Epoch,
    /// Until when the venue takes it, by the venue's clock.
    pub(crate) valid_until: Timestamp,
}

/// An order that the venue accepted.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) number: usize,
    pub(crate) intent: IntentId,
    pub(crate) id: ClientOrderId,
    pub(crate) symbol: Symbol,
    pub(crate) side: Side,
    pub(crate) kind: OrderKind,
    pub(crate) quantity: Quantity,
    /// How it stood from when on, oldest first.
    pub(crate) story: Vec<(Timestamp, OrderState, Quantity)>,
    /// Whether a stop was set off.
    triggered: bool,
    /// Whether the venue does not find it by its id, though it is there.
    pub(crate) unlisted: bool,
}

impl Placed {
    pub(crate) fn state(&self) -> OrderState {
        self.story.last().map_or(OrderState::Accepted, |(_, state, _)| *state)
    }

    pub(crate) fn filled(&self) -> Quantity {
        self.story.last().map_or(Quantity::ZERO, |(_, _, filled)| *filled)
    }

    pub(crate) fn accepted_at(&self) -> Timestamp {
        self.story.first().map_or(Timestamp(i64::MIN), |(at, _, _)| *at)
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.state().is_terminal()
    }

    pub(crate) fn rest(&self) -> Quantity {
        Quantity(self.quantity.0 - self.filled().0)
    }

    /// How it stood then; none when it was not there yet.
    pub(crate) fn at(&self, then: Timestamp) -> Option<(OrderState, Quantity)> {
        let known = self.story.iter().rev().find(|(from, ..)| *from <= then);
        known.map(|(_, state, filled)| (*state, *filled))
    }

    /// Since when it has ended.
    pub(crate) fn ended_at(&self) -> Option<Timestamp> {
        self.story.last().filter(|(_, state, _)| state.is_terminal()).map(|(at, ..)| *at)
    }
}

/// A trade.
#[derive(Debug, Clone)]
pub(crate) struct Trade {
    /// By account and by instrument.
    pub(crate) numbers: (u64, u64),
    /// Of which order, by its number.
    pub(crate) order: usize,
    pub(crate) fill: Fill,
    /// When it shows at the latest.
    pub(crate) shows_at: Timestamp,
}

/// What the venue makes of an order that reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted(usize),
    Refused(&'static str),
    /// Stopped at the gate: nothing was executed.
    HeldBack,
    /// An answer that proves nothing.
    Nothing(&'static str),
}

/// The venue.
#[derive(Debug)]
pub(crate) struct Exchange {
    rules: Vec<InstrumentRules>,
    prices: Vec<Price>,
    pub(crate) orders: Vec<Placed>,
    /// Orders that were refused, where the venue keeps them.
    pub(crate) refused: Vec<Placed>,
    pub(crate) trades: Vec<Trade>,
    pub(crate) balances: BTreeMap<Asset, Cash>,
    pub(crate) maintenance: bool,
    pub(crate) judge: check::Judge,
}

impl Exchange {
    /// A venue with cash, and with coins that are not ours: it does not notice that we sell too much.
    pub(crate) fn new(plan: &Plan) -> Self {
        let coins =
            plan.rules.iter().map(|rules| (rules.symbol.base().clone(), Cash(1_000 * 10_i128.pow(18))));
        let quote = plan.config.account.quote_currency.clone();
        Self {
            rules: plan.rules.clone(),
            prices: SYMBOLS.iter().map(|(_, price, _)| Price(*price)).collect(),
            orders: Vec::new(),
            refused: Vec::new(),
            trades: Vec::new(),
            balances: coins.chain([(quote, Cash(30_000 * 10_i128.pow(18)))]).collect(),
            maintenance: false,
            judge: check::Judge::default(),
        }
    }

    pub(crate) fn rules_of(&self, symbol: &Symbol) -> Option<(usize, &InstrumentRules)> {
        self.rules.iter().enumerate().find(|(_, rules)| rules.symbol == *symbol)
    }

    pub(crate) fn price(&self, symbol: &Symbol) -> Price {
        self.rules_of(symbol).and_then(|(index, _)| self.prices.get(index)).copied().unwrap_or_default()
    }

    /// The latest order of that id.
    pub(crate) fn latest(&self, id: ClientOrderId) -> Option<&Placed> {
        self.orders.iter().rev().find(|order| order.id == id)
    }

    /// The instruments, in the order of their numbers.
    pub(crate) fn instruments(&self) -> &[InstrumentRules] {
        &self.rules
    }

    fn set(&mut self, number: usize, at: Timestamp, state: OrderState, filled: Quantity) {
        if let Some(order) = self.orders.get_mut(number) {
            order.story.push((at, state, filled));
        }
    }

    /// Ends an order that is open; false when none is.
    fn end(&mut self, number: usize, at: Timestamp, state: OrderState) -> bool {
        let Some(filled) = self.orders.get(number).filter(|o| o.is_open()).map(Placed::filled) else {
            return false;
        };
        self.set(number, at, state, filled);
        true
    }
}

/// An order reaches the venue.
pub(crate) fn place(sim: &Rc<Sim>, letter: &Letter) -> Verdict {
    let (now, id) = (sim.now(), letter.request.client_order_id);
    if sim.exchange.borrow().maintenance {
        let gate = sim.chance(500);
        return if gate { Verdict::HeldBack } else { Verdict::Nothing("503") };
    }
    if now > letter.valid_until {
        sim.count(Fault::ExpiredRequest);
        return Verdict::HeldBack;
    }
    if let Some(known) = sim.exchange.borrow().latest(id).map(|o| (o.number, o.is_open())) {
        match (sim.plan.dedupe, known) {
            (Dedupe::ForEver, (number, _)) => return Verdict::Accepted(number),
            (Dedupe::WhileOpen, (_, true)) => return Verdict::Nothing("duplicate"),
            _ => sim.say(|| format!("venue: takes {id} again")),
        }
    }
    if sim.strikes(sim.plan.odds.held_back) {
        sim.count(Fault::HeldBack);
        return Verdict::HeldBack;
    }
    if sim.strikes(sim.plan.odds.refusal) {
        sim.count(Fault::Refusal);
        if sim.plan.keeps_refused {
            let mut exchange = sim.exchange.borrow_mut();
            // Far from the numbers of orders that were accepted.
            let number = usize::MAX - exchange.refused.len();
            let refused = placed(sim, letter, number, OrderState::Rejected);
            exchange.refused.push(refused);
        }
        return Verdict::Refused("-2010");
    }
    Verdict::Accepted(accept(sim, letter))
}

/// An order as it begins.
fn placed(sim: &Sim, letter: &Letter, number: usize, state: OrderState) -> Placed {
    let request = &letter.request;
    Placed {
        number,
        intent: request.intent,
        id: request.client_order_id,
        symbol: request.symbol.clone(),
        side: request.side,
        kind: request.kind,
        quantity: request.quantity,
        story: vec![(sim.now(), state, Quantity::ZERO)],
        triggered: false,
        unlisted: sim.plan.unlisted(number),
    }
}

fn accept(sim: &Rc<Sim>, letter: &Letter) -> usize {
    let request = &letter.request;
    let number = sim.exchange.borrow().orders.len();
    let placed = placed(sim, letter, number, OrderState::Accepted);
    sim.say(|| {
        format!(
            "venue: accepts intent {} of epoch {}: {} {} {:?} {:?}",
            request.intent.0, letter.epoch.0, request.side, request.symbol, request.kind, request.quantity
        )
    });
    sim.coverage.borrow_mut().accepted += 1;
    check::on_acceptance(sim, letter);
    sim.exchange.borrow_mut().orders.push(placed);
    check::on_exposure(sim);
    match request.kind {
        OrderKind::Market | OrderKind::ImmediateOrCancel { .. } => execute(sim, number),
        OrderKind::Limit { .. } | OrderKind::Stop { .. } => look_at(sim, number),
    }
    number
}

/// Sets a resting order off if the price has come to it.
fn look_at(sim: &Rc<Sim>, number: usize) {
    let due = {
        let exchange = sim.exchange.borrow();
        let Some(order) = exchange.orders.get(number).filter(|o| o.is_open() && !o.triggered) else { return };
        let price = exchange.price(&order.symbol);
        match (order.kind, order.side) {
            (OrderKind::Stop { trigger }, Side::Sell) => price <= trigger,
            (OrderKind::Stop { trigger }, Side::Buy) => price >= trigger,
            (OrderKind::Limit { price: limit }, Side::Sell) => price >= limit,
            (OrderKind::Limit { price: limit }, Side::Buy) => price <= limit,
            _ => false,
        }
    };
    if due {
        if let Some(order) = sim.exchange.borrow_mut().orders.get_mut(number) {
            order.triggered = true;
        }
        execute(sim, number);
    }
}

/// Trades an order: at once, or in parts of which the last may never come.
fn execute(sim: &Rc<Sim>, number: usize) {
    let parts = if sim.chance(550) { 1 } else { sim.between(2, 4) };
    let ends_early = !sim.is_calm() && parts > 1 && sim.chance(250);
    let mut delay = if sim.chance(600) { 0 } else { sim.between(1, 3_000) };
    for part in 1..=parts {
        let of = parts - part + 1;
        if part == parts && ends_early {
            sim.later(Millis(delay), move |sim| {
                if sim.exchange.borrow_mut().end(number, sim.now(), OrderState::Expired) {
                    sim.count(Fault::EndedByVenue);
                }
            });
        } else {
            sim.later(Millis(delay), move |sim| trade(sim, number, of));
        }
        if parts > 1 && part == 1 {
            sim.count(Fault::PartialFill);
        }
        delay += sim.between(100, 12_000);
    }
}

/// Trades one of so many equal parts of what is left of an order.
fn trade(sim: &Rc<Sim>, number: usize, of: i64) {
    let traded = {
        let mut exchange = sim.exchange.borrow_mut();
        let Some(order) = exchange.orders.get(number).filter(|o| o.is_open()).cloned() else { return };
        exchange.trade(sim, &order, of)
    };
    if let Some(fill) = traded {
        sim.say(|| format!("venue: trades {:?} of order {number} at {:?}", fill.quantity, fill.price));
        sim.coverage.borrow_mut().trades += 1;
        check::on_trade(sim, number);
    }
}

impl Exchange {
    fn trade(&mut self, sim: &Sim, order: &Placed, of: i64) -> Option<Fill> {
        let (_, rules) = self.rules_of(&order.symbol)?;
        let (left, rules) = (order.rest(), rules.clone());
        let part = if of <= 1 { left } else { rules.floor_lot(Quantity(left.0 / of)) };
        let quantity = if part.0 <= 0 { left } else { part };
        let price = self.price(&order.symbol);
        let fee = fee(&sim.plan.fees.paid_in, &rules, order.side, price, quantity)?;
        let account = self.trades.len() as u64 + 1;
        let by_instrument = self.trades.iter().filter(|t| t.fill.symbol == order.symbol).count() as u64 + 1;
        let fill = Fill {
            trade_id: TradeId(smol_str::format_smolstr!("{}-{by_instrument}", order.symbol)),
            client_order_id: order.id,
            symbol: order.symbol.clone(),
            side: order.side,
            price,
            quantity,
            fee,
            liquidity: Liquidity::Taker,
            at: sim.now(),
        };
        self.pay(&rules, &fill)?;
        self.trades.push(Trade {
            numbers: (account, by_instrument),
            order: order.number,
            fill: fill.clone(),
            shows_at: sim.now().plus(TERMS.query_lag),
        });
        let filled = Quantity(order.filled().0 + quantity.0);
        let state = if filled >= order.quantity { OrderState::Filled } else { OrderState::PartiallyFilled };
        self.set(order.number, sim.now(), state, filled);
        Some(fill)
    }

    fn pay(&mut self, rules: &InstrumentRules, fill: &Fill) -> Option<()> {
        let base = rules.base_amount(fill.quantity).ok()?;
        let quote = rules.notional(fill.price, fill.quantity).ok()?;
        let sign = if fill.side == Side::Buy { 1 } else { -1 };
        self.move_balance(fill.symbol.base(), sign * base.0);
        self.move_balance(fill.symbol.quote(), -sign * quote.0);
        self.move_balance(&fill.fee.asset, -fill.fee.amount.0);
        Some(())
    }

    fn move_balance(&mut self, asset: &Asset, amount: i128) {
        self.balances.entry(asset.clone()).or_default().0 += amount;
    }
}

fn fee(
    paid_in: &FeeAsset,
    rules: &InstrumentRules,
    side: Side,
    price: Price,
    quantity: Quantity,
) -> Option<Fee> {
    // 0.1 %, as in the plan.
    let rate = |amount: Cash| amount.mul_div(100_000, i128::from(BPS_ONE), Rounding::Up).ok();
    let in_base = matches!(paid_in, FeeAsset::Received) && side == Side::Buy;
    let (asset, of) = if in_base {
        (rules.symbol.base(), rules.base_amount(quantity).ok()?)
    } else {
        (rules.symbol.quote(), rules.notional(price, quantity).ok()?)
    };
    Some(Fee { asset: asset.clone(), amount: rate(of)? })
}

/// The price of an instrument moves; resting orders are set off.
pub(crate) fn move_price(sim: &Rc<Sim>, index: usize, price: Price) {
    let resting: Vec<usize> = {
        let mut exchange = sim.exchange.borrow_mut();
        if let Some(known) = exchange.prices.get_mut(index) {
            *known = price;
        }
        let symbol = exchange.rules.get(index).map(|rules| rules.symbol.clone());
        let here = exchange.orders.iter().filter(|o| o.is_open() && Some(&o.symbol) == symbol.as_ref());
        here.map(|o| o.number).collect()
    };
    for number in resting {
        look_at(sim, number);
    }
}

/// A cancel reaches the venue.
pub(crate) fn cancel(sim: &Rc<Sim>, id: ClientOrderId) -> tradewind_venues::port::CancelOutcome {
    use tradewind_venues::port::CancelOutcome;
    if sim.exchange.borrow().maintenance {
        return CancelOutcome::Unknown { message: "503".to_owned() };
    }
    let Some(order) = sim.exchange.borrow().latest(id).cloned() else { return CancelOutcome::NotFound };
    if !order.is_open() {
        let gone = forgotten(sim, &order, sim.now());
        return if gone { CancelOutcome::NotFound } else { CancelOutcome::AlreadyDone };
    }
    // A part may trade just before the cancel is there.
    if sim.strikes(150) {
        sim.count(Fault::FillCrossedCancel);
        trade(sim, order.number, 2);
    }
    let ended = {
        let mut exchange = sim.exchange.borrow_mut();
        let ended = exchange.end(order.number, sim.now(), OrderState::Cancelled);
        exchange.orders.get(order.number).map(Placed::filled).filter(|_| ended)
    };
    let (number, intent) = (order.number, order.intent.0);
    sim.say(|| format!("venue: cancels order {number} of intent {intent}: {}", ended.is_some()));
    match ended {
        // Its trades may show later.
        Some(executed) => CancelOutcome::Cancelled { executed },
        None => CancelOutcome::AlreadyDone,
    }
}

/// Whether the venue no longer knows the id: the order has ended, and its fills have shown for the lag.
pub(crate) fn forgotten(sim: &Sim, order: &Placed, then: Timestamp) -> bool {
    sim.plan.forgets && order.ended_at().is_some_and(|at| at.plus(TERMS.query_lag) <= then)
}

/// The venue ends a resting order by itself, as in maintenance.
pub(crate) fn end_one(sim: &Rc<Sim>) {
    let open = sim.exchange.borrow().orders.iter().find(|o| o.is_open()).map(|o| o.number);
    let Some(number) = open else { return };
    if sim.exchange.borrow_mut().end(number, sim.now(), OrderState::Expired) {
        sim.count(Fault::EndedByVenue);
    }
}
