//! The venue as one process reaches it: through a wire that loses, delays and reorders, by a clock of its own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use tradewind_core::name::Symbol;
use tradewind_core::order::{Epoch, OrderRef, OrderRequest, Side};
use tradewind_core::protocol::VenueTerms;
use tradewind_core::recovery::FillCursor;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::DrivenVenue;
use tradewind_venues::binance_us::BinanceError;
use tradewind_venues::binance_us::outcome::{Lost, Seen};
use tradewind_venues::port::{
    AssetBalance, CancelOutcome, FillPage, Lookup, OpenOrders, OrderSnapshot, PlaceOutcome, Venue, VenueError,
};

use crate::coverage::Fault;
use crate::exchange::{self, Letter, Placed, Verdict};
use crate::plan::{Numbering, TERMS};
use crate::sim::{Process, Sim, Slot};

/// How long a worker waits for an answer.
const DEADLINE: Millis = Millis(4_000);
/// Trades on a page.
const PAGE: usize = 8;

/// The account, as one process has it.
pub(crate) struct SimVenue {
    pub(crate) sim: Rc<Sim>,
    pub(crate) process: Process,
    pub(crate) epoch: Epoch,
    /// How far this machine's clock is ahead of the venue's.
    pub(crate) offset: Millis,
    /// How wrong it is about that.
    pub(crate) error: Millis,
}

impl SimVenue {
    fn clock(&self) -> Timestamp {
        self.sim.now().plus(self.offset)
    }

    /// A request and its answer; none when none came in time.
    async fn ask<T: 'static>(&self, late: i64, effect: impl FnOnce(&Rc<Sim>) -> T + 'static) -> Option<T> {
        let (sim, process) = (&self.sim, self.process);
        sim.stumble(process).await;
        let slot = Slot::default();
        if sim.strikes(sim.plan.odds.wire) {
            sim.count(Fault::LostRequest);
        } else {
            let mut out = sim.between(5, 120);
            if sim.strikes(sim.plan.odds.wire) {
                sim.count(Fault::LateRequest);
                out = sim.between(500, late);
            }
            let (answer, number) = (slot.clone(), sim.number_request());
            sim.later(Millis(out), move |sim| {
                sim.arrive(number);
                let told = effect(sim);
                if sim.strikes(sim.plan.odds.wire) {
                    return sim.count(Fault::LostAnswer);
                }
                let mut back = sim.between(5, 120);
                if sim.strikes(sim.plan.odds.wire) {
                    sim.count(Fault::LateAnswer);
                    back = sim.between(500, 8_000);
                }
                sim.later(Millis(back), move |sim| answer.fill(sim, process, told));
            });
        }
        if sim.strikes(sim.plan.odds.crash) {
            sim.count(Fault::Crash);
            sim.after(Millis(sim.between(0, 200)), crate::sim::What::Kill(process));
        }
        let answered = sim.answer(process, &slot, DEADLINE).await;
        sim.stumble(process).await;
        answered
    }

    async fn read<T: 'static>(
        &self,
        what: &'static str,
        of: impl FnOnce(&Sim, Timestamp) -> T + 'static,
    ) -> Result<T, VenueError> {
        let read = move |sim: &Rc<Sim>| {
            let away = sim.exchange.borrow().maintenance;
            (!away).then(|| of(sim, shown(sim)))
        };
        let no = || BinanceError::NoAnswer { what, seen: Seen::Lost(Lost::Deadline) };
        Ok(self.ask(6_000, read).await.flatten().ok_or_else(no)?)
    }
}

/// As of when a query shows what there is.
fn shown(sim: &Sim) -> Timestamp {
    let lag = if sim.plan.lags && sim.chance(500) { sim.between(1, TERMS.query_lag.0) } else { 0 };
    sim.now().plus(Millis(-lag))
}

fn snapshot(order: &Placed, then: Timestamp) -> Option<OrderSnapshot> {
    let (state, filled) = order.at(then)?;
    Some(OrderSnapshot {
        client_order_id: order.id,
        venue_order_id: smol_str::format_smolstr!("{}", order.number),
        symbol: order.symbol.clone(),
        side: order.side,
        kind: order.kind,
        quantity: order.quantity,
        filled,
        state,
    })
}

fn look_up(sim: &Sim, order: &OrderRef, then: Timestamp) -> Lookup {
    let exchange = sim.exchange.borrow();
    let of_id = exchange.orders.iter().rev().filter(|placed| placed.id == order.client_order_id);
    let mut known = false;
    for placed in of_id {
        known = true;
        if placed.unlisted {
            sim.count(Fault::NotFoundById);
            continue;
        }
        if exchange::forgotten(sim, placed, sim.now()) {
            sim.count(Fault::ForgottenId);
            continue;
        }
        match snapshot(placed, then) {
            Some(snapshot) => return Lookup::Found(snapshot),
            None => sim.count(Fault::HiddenByLag),
        }
    }
    let mut refused = exchange.refused.iter().rev().filter(|placed| placed.id == order.client_order_id);
    if let Some(snapshot) = refused.find_map(|placed| snapshot(placed, then)).filter(|_| !known) {
        sim.count(Fault::ShownRefusal);
        return Lookup::Found(snapshot);
    }
    sim.say(|| format!("venue: does not show {} (known: {known})", order.client_order_id));
    Lookup::NotFound
}

/// The history of orders: what the venue accepted in that span, as it showed then. Ids that are forgotten are so here too.
fn search(sim: &Sim, order: &OrderRef, span: &Range<Timestamp>, then: Timestamp) -> Lookup {
    let exchange = sim.exchange.borrow();
    let mut of_id = exchange.orders.iter().rev().filter(|placed| {
        let forgotten = exchange::forgotten(sim, placed, sim.now());
        placed.id == order.client_order_id && span.contains(&placed.accepted_at()) && !forgotten
    });
    of_id.find_map(|placed| snapshot(placed, then)).map_or(Lookup::NotFound, Lookup::Found)
}

fn page(sim: &Sim, cursor: &FillCursor, then: Timestamp) -> FillPage {
    let now = sim.now();
    let exchange = sim.exchange.borrow();
    // A page may begin before the cursor: trades may be told again.
    let again = if sim.strikes(100) { 3 } else { 0 };
    let by_account = sim.plan.numbering == Numbering::Account;
    let after = |symbol: &Symbol| match cursor {
        FillCursor::Sequence(number) => *number,
        FillCursor::ByInstrument(numbers) => numbers.get(symbol).copied().unwrap_or(0),
    };
    let shown = exchange.trades.iter().take_while(|t| t.fill.at <= then || t.shows_at <= now);
    let number = |trade: &exchange::Trade| if by_account { trade.numbers.0 } else { trade.numbers.1 };
    let (known, new): (Vec<_>, Vec<_>) =
        shown.cloned().partition(|trade| number(trade) <= after(&trade.fill.symbol));
    let repeated = known.iter().rev().take(again).rev();
    let told: Vec<_> = repeated.chain(new.iter().take(PAGE)).cloned().collect();
    if !known.is_empty() && again > 0 {
        sim.count(Fault::RepeatedFills);
    }
    let mut next = cursor.clone();
    if !by_account && next == FillCursor::Sequence(0) {
        next = FillCursor::ByInstrument(BTreeMap::new());
    }
    for trade in &told {
        match &mut next {
            FillCursor::Sequence(known) => *known = (*known).max(trade.numbers.0),
            FillCursor::ByInstrument(known) => {
                let known = known.entry(trade.fill.symbol.clone()).or_default();
                *known = (*known).max(trade.numbers.1);
            }
        }
    }
    FillPage { fills: told.into_iter().map(|t| t.fill).collect(), external: Vec::new(), next }
}

impl Venue for SimVenue {
    fn terms(&self) -> VenueTerms {
        TERMS
    }

    async fn place(&mut self, request: &OrderRequest, now: Timestamp) -> PlaceOutcome {
        let valid_until = request.signature.valid_until.plus(Millis(self.error.0 - self.offset.0));
        let letter = Letter { request: request.clone(), epoch: self.epoch, valid_until };
        self.sim.say(|| {
            format!("p{}: sends intent {} attempt {}", self.process.0, request.intent.0, request.attempt.0)
        });
        if request.side == Side::Buy && self.sim.plan.denied(request.intent) {
            self.sim.count(Fault::Denial);
            return PlaceOutcome::Denied { message: "the venue takes no such order".to_owned() };
        }
        match self.ask(12_000, move |sim| exchange::place(sim, &letter)).await {
            Some(Verdict::Accepted(number)) => {
                PlaceOutcome::Accepted { venue_order_id: smol_str::format_smolstr!("{number}") }
            }
            Some(Verdict::Refused(code)) => {
                PlaceOutcome::Rejected { code: code.into(), message: "refused".to_owned() }
            }
            Some(Verdict::HeldBack) => {
                let retry_at = now.plus(Millis(1_000));
                PlaceOutcome::Throttled { retry_at, message: "stopped at the gate".to_owned() }
            }
            Some(Verdict::Nothing(seen)) => PlaceOutcome::Unknown { message: seen.to_owned() },
            None => PlaceOutcome::Unknown { message: "no answer in time".to_owned() },
        }
    }

    async fn cancel(&mut self, order: &OrderRef, _: Timestamp) -> CancelOutcome {
        let id = order.client_order_id;
        if self.sim.strikes(self.sim.plan.odds.wire) {
            self.sim.count(Fault::RepeatedCancel);
            let again = Millis(self.sim.between(100, 5_000));
            self.sim.later(again, move |sim| drop(exchange::cancel(sim, id)));
        }
        let answered = self.ask(6_000, move |sim| exchange::cancel(sim, id)).await;
        answered.unwrap_or(CancelOutcome::Unknown { message: "no answer in time".to_owned() })
    }

    async fn lookup(&mut self, order: &OrderRef) -> Lookup {
        let order = order.clone();
        let found = self.read("an order", move |sim, then| look_up(sim, &order, then)).await;
        found.unwrap_or_else(|error| Lookup::Unknown { message: error.to_string() })
    }

    async fn search(&mut self, order: &OrderRef, span: Range<Timestamp>) -> Lookup {
        // By the venue's clock, as well as this one's is known to differ from it.
        let off = Millis(self.error.0 - self.offset.0);
        let (order, span) = (order.clone(), span.start.plus(off)..span.end.plus(off));
        let found = self.read("orders", move |sim, then| search(sim, &order, &span, then)).await;
        found.unwrap_or_else(|error| Lookup::Unknown { message: error.to_string() })
    }

    async fn open_orders(&mut self) -> Result<OpenOrders, VenueError> {
        self.read("open orders", |sim, then| {
            let exchange = sim.exchange.borrow();
            let open = exchange.orders.iter().filter_map(|order| snapshot(order, then));
            OpenOrders { orders: open.filter(|o| !o.state.is_terminal()).collect(), external: Vec::new() }
        })
        .await
    }

    async fn fills_since(&mut self, cursor: &FillCursor) -> Result<FillPage, VenueError> {
        let cursor = cursor.clone();
        self.read("fills", move |sim, then| page(sim, &cursor, then)).await
    }

    async fn balances(&mut self) -> Result<Vec<AssetBalance>, VenueError> {
        self.read("balances", |sim, _| {
            let exchange = sim.exchange.borrow();
            let all = exchange.balances.iter();
            all.map(|(asset, total)| AssetBalance { asset: asset.clone(), total: *total, free: *total })
                .collect()
        })
        .await
    }

    async fn time(&mut self) -> Result<Timestamp, VenueError> {
        self.read("the time", |sim, _| sim.now()).await
    }
}

impl DrivenVenue for SimVenue {
    fn clock(&self) -> Option<Timestamp> {
        Some(Self::clock(self))
    }
}
