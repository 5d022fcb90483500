//! The board: watches the driver and keeps what people are shown.
//!
//! It only counts and copies; nothing it holds goes back into the engine, and nothing it holds is needed to go on after a
//! restart.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::watch;
use tradewind_core::config::{FeeAsset, VenueConfig};
use tradewind_core::decision::{Decision, Signal, Stage, StrategyId};
use tradewind_core::engine::State;
use tradewind_core::event::{HaltChange, Record, Report};
use tradewind_core::halt::HaltOrigin;
use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::money::{Cash, Rounding};
use tradewind_core::name::Uid;
use tradewind_core::order::{Fill, Intent, IntentId, OrderRequest, OrderState, Side};
use tradewind_core::signal::reading_names;
use tradewind_core::time::{Millis, Timestamp};

use crate::bus::BusFacts;
use crate::driver::{Observer, outcome_words};
use crate::measures::{order_key, side_text};
use crate::snapshot::{
    DecisionSnapshot, InstrumentSnapshot, Phase, RECENT_TRADES, Snapshot, Totals, TradeSnapshot,
};

/// Decisions by strategy and instrument.
type Pairs<T> = BTreeMap<(StrategyId, InstrumentId), T>;

/// What the board remembers.
#[derive(Debug)]
pub struct Board {
    phase: Phase,
    interval: Millis,
    /// How often the engine is told something.
    cycle: Millis,
    instruments: u16,
    /// Whether facts are logged as they happen.
    log: bool,
    last_decisions: Pairs<Decision>,
    last_signals: Pairs<Decision>,
    trades: VecDeque<TradeSnapshot>,
    intents: BTreeMap<IntentId, Intent>,
    realized: BTreeMap<Uid, Cash>,
    equity_yesterday: Option<Cash>,
    totals: Totals,
    also: Also,
    bus: Option<watch::Receiver<BusFacts>>,
}

/// Who is told the same as the board.
#[derive(Default)]
struct Also(Option<Box<dyn Observer + Send>>);

impl fmt::Debug for Also {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "another" } else { "nobody" })
    }
}

impl Board {
    /// A board for that many instruments with bars of that length.
    pub fn new(interval: Millis, instruments: u16, log: bool) -> Self {
        Self {
            phase: Phase::Recovering,
            interval,
            cycle: interval,
            instruments,
            log,
            last_decisions: Pairs::new(),
            last_signals: Pairs::new(),
            trades: VecDeque::new(),
            intents: BTreeMap::new(),
            realized: BTreeMap::new(),
            equity_yesterday: None,
            totals: Totals::default(),
            also: Also::default(),
            bus: None,
        }
    }

    /// From now on another observer is told the same, after the board.
    pub fn tell_also(&mut self, other: Box<dyn Observer + Send>) {
        self.also = Also(Some(other));
    }

    /// From now on it is shown how the bus fares.
    pub fn watch_bus(&mut self, facts: watch::Receiver<BusFacts>) {
        self.bus = Some(facts);
    }

    /// The engine is told something so often from now on, and not just with each bar.
    pub fn set_cycle(&mut self, cycle: Millis) {
        self.cycle = cycle;
    }

    /// Where the worker stands from now on.
    pub fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// Orders that were open before this process began: their fills name their purpose.
    pub fn know_orders(&mut self, state: &State) {
        for order in state.open_orders() {
            self.intents.insert(order.intent.id, order.intent);
        }
        for strategy in state.strategy_views() {
            self.realized.insert(strategy.config.uid, strategy.realized);
        }
    }

    /// Fills known from the ledger, newest first.
    pub fn know_trades(&mut self, trades: Vec<TradeSnapshot>) {
        self.trades = trades.into();
    }

    /// The counters, for what is counted elsewhere.
    pub fn totals_mut(&mut self) -> &mut Totals {
        &mut self.totals
    }

    /// Everything that is shown, as of now.
    pub fn snapshot(&self, state: &State) -> Arc<Snapshot> {
        let account = state.account();
        Arc::new(Snapshot {
            phase: self.phase,
            now: state.now(),
            cycle: self.cycle,
            account_name: account.full_name(),
            venue: SmolStr::new_static(venue_text(&account.venue)),
            currency: account.quote_currency.as_str().into(),
            account: state.account_view(),
            account_limits: account.limits.clone(),
            account_breakers: account.breakers.clone(),
            equity_yesterday: self.equity_yesterday,
            strategies: state.strategy_views(),
            instruments: (0..self.instruments)
                .filter_map(|id| self.instrument(state, InstrumentId(id)))
                .collect(),
            open_orders: state.open_orders(),
            halts: state.halts().to_vec(),
            holdings: state.holdings(),
            balance_differences: state.balance_differences().to_vec(),
            last_decisions: self
                .last_decisions
                .values()
                .filter_map(|d| decision_snapshot(state, d))
                .collect(),
            last_signals: self.last_signals.values().filter_map(|d| decision_snapshot(state, d)).collect(),
            recent_trades: self.trades.iter().cloned().collect(),
            totals: Totals {
                bus: self.bus.as_ref().map(|facts| facts.borrow().clone()),
                ..self.totals.clone()
            },
        })
    }

    fn instrument(&self, state: &State, id: InstrumentId) -> Option<InstrumentSnapshot> {
        let rules = state.rules(id)?;
        let mark = state.mark(id)?;
        Some(InstrumentSnapshot {
            symbol: rules.symbol.clone(),
            last_bar_close: state.last_bar(id).map(|open| open.plus(self.interval)),
            mark: rules.price_text(mark).into(),
            mark_units: mark,
        })
    }

    fn on_decision(&mut self, state: &State, decision: &Decision) {
        let key = (decision.strategy, decision.instrument);
        self.last_decisions.insert(key, *decision);
        let code = code_of(decision);
        *self.totals.decisions.entry((decision.stage().into(), code)).or_default() += 1;
        let Some(signal) = decision.signal else { return };
        self.last_signals.insert(key, *decision);
        let Some(rules) = state.rules(decision.instrument) else { return };
        let symbol = smol_str::format_smolstr!("{}", rules.symbol);
        *self.totals.signals.entry((symbol, side_text(signal.side), code)).or_default() += 1;
        if let Some((_, name)) = state.strategy_name(decision.strategy) {
            *self.totals.strategies.entry(name.into()).or_default().signals.entry(code).or_default() += 1;
        }
        if self.log
            && let Some(words) = decision_snapshot(state, decision)
        {
            let Signal { side, confidence } = signal;
            let (strategy, symbol, detail) = (&words.strategy, &words.symbol, &words.detail);
            // A signal that meets the position it would lead to is no news.
            if decision.stage() == Stage::Signal {
                tracing::debug!(%strategy, %symbol, %side, %confidence, outcome = code, detail, "decision");
            } else {
                tracing::info!(%strategy, %symbol, %side, %confidence, outcome = code, detail, "decision");
            }
        }
    }

    fn on_fill(&mut self, state: &State, intent: IntentId, fill: &Fill) {
        let Some(known) = self.intents.get(&intent).cloned() else { return };
        self.totals.measures.on_fill(&known, fill);
        let views = state.strategy_views();
        let owner = state.heir_of(known.strategy);
        let Some(view) = views.iter().find(|v| v.config.uid == owner) else { return };
        let before = self.realized.insert(owner, view.realized).unwrap_or_default();
        let realized = (fill.side == Side::Sell).then(|| Cash(view.realized.0.saturating_sub(before.0)));
        let Some(rules) = view_rules(state, fill, self.instruments) else { return };
        let trade = trade_snapshot(&known, fill, rules, view.config.name.clone(), realized);
        self.count_fill(state, &trade, fill, rules);
        if self.log {
            tracing::info!(
                strategy = %trade.strategy, symbol = %trade.symbol, side = ?trade.side, purpose = %trade.purpose,
                price = %trade.price, quantity = %trade.quantity, fee = %trade.fee, fee_asset = %trade.fee_asset,
                trade_id = %trade.trade_id, at = %crate::text::time(trade.at), "fill"
            );
        }
        self.trades.truncate(RECENT_TRADES.saturating_sub(1));
        self.trades.push_front(trade);
    }

    fn count_fill(&mut self, state: &State, trade: &TradeSnapshot, fill: &Fill, rules: &InstrumentRules) {
        self.totals.fills += 1;
        let own = self.totals.strategies.entry(trade.strategy.clone()).or_default();
        own.fills += 1;
        let fee = fee_worth(state, fill, rules);
        self.totals.fees = Cash(self.totals.fees.0.saturating_add(fee.0));
        match trade.realized {
            Some(profit) if profit.0 > 0 => {
                self.totals.wins += 1;
                own.wins += 1;
                own.realized_profit = Cash(own.realized_profit.0.saturating_add(profit.0));
                self.totals.realized_profit = Cash(self.totals.realized_profit.0.saturating_add(profit.0));
            }
            Some(loss) if loss.0 < 0 => {
                self.totals.losses += 1;
                own.losses += 1;
                own.realized_loss = Cash(own.realized_loss.0.saturating_sub(loss.0));
                self.totals.realized_loss = Cash(self.totals.realized_loss.0.saturating_sub(loss.0));
            }
            _ => {}
        }
    }

    fn on_order_end(&mut self, intent: IntentId, state: OrderState, at: Timestamp) {
        let Some(known) = self.intents.get(&intent) else { return };
        let (symbol, side, kind) = order_key(&known.symbol, known.side, known.kind);
        *self.totals.orders.entry((symbol, side, kind, state_text(state))).or_default() += 1;
        if state == OrderState::Filled {
            self.totals.measures.on_filled(known, at);
        }
        // Late fills of ended orders still name their purpose; the oldest are forgotten.
        while self.intents.len() > 4 * RECENT_TRADES {
            self.intents.pop_first();
        }
    }

    fn on_halt(&mut self, change: &HaltChange) {
        match change {
            HaltChange::Set(halt) => {
                let source: &'static str = (&halt.origin).into();
                let reason = match &halt.origin {
                    HaltOrigin::Breaker { breaker } => breaker.clone(),
                    // Sentences, which are no labels.
                    _ => SmolStr::default(),
                };
                *self.totals.halts.entry((source, reason)).or_default() += 1;
                tracing::warn!(halt = %halt.name, action = %halt.action, reason = halt.reason, by = halt.requested_by, "halted");
            }
            HaltChange::Cleared { name, by, .. } => tracing::warn!(halt = %name, by, "resumed"),
        }
    }
}

fn names(state: &State, strategy: StrategyId, instrument: InstrumentId) -> (String, String) {
    let symbol = state.rules(instrument).map(|rules| rules.symbol.to_string());
    let name = state.strategy_name(strategy).map(|(_, name)| name.to_owned());
    (name.unwrap_or_default(), symbol.unwrap_or_default())
}

impl Observer for Board {
    fn on_answer(&mut self, request: &OrderRequest, took: Duration) {
        self.totals.measures.on_answer(request, took);
    }

    fn on_report(&mut self, state: &State, report: &Report) {
        match report {
            Report::Decision(decision) => self.on_decision(state, decision),
            Report::Equity(point) if point.strategy.is_none() => self.equity_yesterday = Some(point.equity),
            Report::Equity(_) => {}
            Report::Illegal { intent, transition } => {
                tracing::warn!(intent = intent.0, from = %transition.from.state(), input = %transition.input, "illegal transition ignored");
            }
            Report::Foreign { client_order_id, origin } => {
                tracing::warn!(order = %client_order_id, %origin, "no open order of ours");
            }
            Report::Protection { strategy, instrument, change } => {
                let (name, symbol) = names(state, *strategy, *instrument);
                tracing::warn!(strategy = name, symbol, ?change, "stop orders at the venue");
            }
            Report::Balances(differences) => {
                tracing::warn!(?differences, "what the venue holds beyond what the ledger says");
            }
            Report::Unsold { strategy, instrument, left } => {
                let (name, symbol) = names(state, *strategy, *instrument);
                let left = state.rules(*instrument).map(|rules| rules.quantity_text(*left));
                tracing::warn!(
                    strategy = name,
                    symbol,
                    left,
                    "a liquidation has not sold all in time; it goes on"
                );
            }
            Report::Dust { strategy, instrument } => {
                let (name, symbol) = names(state, *strategy, *instrument);
                tracing::info!(strategy = name, symbol, "dust left: less than the venue's smallest order");
            }
            Report::MoneyFault { message } => {
                tracing::error!(message, "amount not computable; nothing was done on it");
            }
        }
        if let Also(Some(other)) = &mut self.also {
            other.on_report(state, report);
        }
    }

    fn on_record(&mut self, state: &State, record: &Record) {
        match record {
            Record::Intent(intent) => {
                if self.log {
                    tracing::info!(
                        intent = intent.id.0, order = %intent.client_order_id, symbol = %intent.symbol,
                        side = %intent.side, purpose = %intent.purpose, "intent"
                    );
                }
                self.intents.insert(intent.id, intent.clone());
            }
            Record::Signing(signing) => {
                tracing::debug!(
                    intent = signing.intent.0, attempt = signing.attempt.0, request = %signing.request.hash(), "signed"
                );
            }
            Record::External(external) => tracing::warn!(?external, "not ours: recorded, not counted"),
            Record::Fill { intent, fill } => self.on_fill(state, *intent, fill),
            Record::Transition(transition) => {
                let refused = match transition.to {
                    OrderState::Rejected => Some("rejected by the venue"),
                    OrderState::Denied => Some("denied: the venue would not take it"),
                    _ => None,
                };
                if let Some(message) = refused {
                    tracing::warn!(intent = transition.intent.0, detail = transition.detail, "{message}");
                }
                if transition.to == OrderState::Cancelled
                    && self.log
                    && let Some(known) = self.intents.get(&transition.intent)
                {
                    tracing::info!(
                        intent = known.id.0, order = %known.client_order_id, symbol = %known.symbol,
                        purpose = %known.purpose, "cancelled"
                    );
                }
                if transition.to.is_terminal() {
                    self.on_order_end(transition.intent, transition.to, transition.at);
                }
            }
            Record::Halt(change) => self.on_halt(change),
            Record::Transfer(transfer) => {
                tracing::debug!(asset = %transfer.asset, amount = %transfer.amount, "transfer");
            }
            Record::Succession(done) => {
                let realized = self.realized.remove(&done.from).unwrap_or_default();
                self.realized.insert(done.to, realized);
                tracing::info!(
                    from = %done.from, to = %done.to,
                    "what the strategy of that name had left is its successor's"
                );
            }
            Record::Rebase { reference, .. } => {
                tracing::info!(reference = %reference, "drawdown reference rebased");
            }
        }
        if let Also(Some(other)) = &mut self.also {
            other.on_record(state, record);
        }
    }
}

fn code_of(decision: &Decision) -> &'static str {
    match &decision.outcome {
        tradewind_core::decision::Outcome::Enter { .. } => "Enter",
        tradewind_core::decision::Outcome::Exit { .. } => "Exit",
        tradewind_core::decision::Outcome::Nothing(denial) => denial.code(),
    }
}

fn decision_snapshot(state: &State, decision: &Decision) -> Option<DecisionSnapshot> {
    let rules = state.rules(decision.instrument)?;
    let (uid, name) = state.strategy_name(decision.strategy)?;
    let config = state.strategy_config(decision.strategy)?;
    let (outcome, detail, _) = outcome_words(state, uid, rules, &decision.outcome);
    Some(DecisionSnapshot {
        at: decision.at,
        strategy: name.into(),
        symbol: rules.symbol.clone(),
        side: decision.signal.map(|s| s.side),
        confidence: decision.signal.map(|s| s.confidence),
        close: rules.price_text(decision.close).into(),
        readings: reading_names(config.signal).iter().copied().zip(decision.readings.0).collect(),
        stage: decision.stage(),
        outcome,
        detail,
    })
}

fn trade_snapshot(
    intent: &Intent,
    fill: &Fill,
    rules: &InstrumentRules,
    strategy: SmolStr,
    realized: Option<Cash>,
) -> TradeSnapshot {
    TradeSnapshot {
        trade_id: fill.trade_id.0.clone(),
        at: fill.at,
        strategy,
        symbol: fill.symbol.clone(),
        side: fill.side,
        purpose: intent.purpose,
        price: rules.price_text(fill.price).into(),
        quantity: rules.quantity_text(fill.quantity).into(),
        notional: rules.notional(fill.price, fill.quantity).unwrap_or_default(),
        fee: fill.fee.amount,
        fee_asset: fill.fee.asset.as_str().into(),
        realized,
    }
}

fn view_rules<'s>(state: &'s State, fill: &Fill, instruments: u16) -> Option<&'s InstrumentRules> {
    (0..instruments).filter_map(|id| state.rules(InstrumentId(id))).find(|rules| rules.symbol == fill.symbol)
}

/// A fee in the quote currency's worth; a third asset's fee is counted as it was charged.
fn fee_worth(state: &State, fill: &Fill, rules: &InstrumentRules) -> Cash {
    if fill.fee.asset == *fill.symbol.base() {
        return rules.value_of_base(fill.fee.amount, fill.price).unwrap_or_default();
    }
    match &state.account().venue.fees().paid_in {
        FeeAsset::Other { asset, price } if *asset == fill.fee.asset => {
            fill.fee.amount.mul_div(price.0, 10_i128.pow(18), Rounding::Up).unwrap_or_default()
        }
        _ => fill.fee.amount,
    }
}

fn venue_text(venue: &VenueConfig) -> &'static str {
    match venue {
        VenueConfig::Paper(_) => "paper",
        VenueConfig::BinanceUs(_) => "binance_us",
    }
}

fn state_text(state: OrderState) -> &'static str {
    match state {
        OrderState::Intended => "intended",
        OrderState::Sent => "sent",
        OrderState::Accepted => "accepted",
        OrderState::PartiallyFilled => "partially_filled",
        OrderState::Filled => "filled",
        OrderState::Cancelled => "cancelled",
        OrderState::Expired => "expired",
        OrderState::Rejected => "rejected",
        OrderState::Denied => "denied",
        OrderState::Unknown => "unknown",
        OrderState::Absent => "absent",
    }
}
