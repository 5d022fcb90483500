//! Placing, cancelling and looking up orders, and the port.

use std::ops::Range;

use smol_str::{SmolStr, format_smolstr};
use tradewind_core::order::{ClientOrderId, OrderRef, OrderRequest, OrderState, Side};
use tradewind_core::protocol::VenueTerms;
use tradewind_core::recovery::FillCursor;
use tradewind_core::time::{Millis, Timestamp};

use super::outcome::{Body, Class, Held, Seen, decide};
use super::reply::{Acknowledgement, ErrorBody, Order, Owner};
use super::request::{ExactRequest, NotSendable};
use super::rules::{SymbolRules, Trading};
use super::{BinanceError, BinanceUs, Need, reply, request, seen};
use crate::driven::DrivenVenue;
use crate::port::{
    AssetBalance, CancelOutcome, FillPage, Lookup, OpenOrders, OrderSnapshot, PlaceOutcome, Venue, VenueError,
};

/// "Unknown order sent.": ended before, or never there (errors.md).
const CANCEL_REJECTED: i64 = -2011;
/// "Order does not exist." (errors.md).
const NO_SUCH_ORDER: i64 = -2013;
/// When to try again what was held back for another reason than budget or ban.
const SOON: Millis = Millis(1_000);
/// When to try again while the symbol is not trading.
const LATER: Millis = Millis(60_000);

/// What came of one sending, before it is told by the port.
struct Sending {
    seen: Seen,
    /// The venue's number of the order, once it has one.
    order_id: Option<u64>,
    /// What the venue or the cause said.
    words: String,
    /// How long to wait before it may be tried again, if it may.
    wait: Millis,
}

impl Sending {
    fn held(why: Held, words: String, wait: Millis) -> Self {
        Self { seen: Seen::Held(why), order_id: None, words, wait }
    }
}

/// What an answer to placing the order of that id is, and the venue's number of the order where it acknowledges it.
pub fn conclude(status: u16, body: &[u8], id: ClientOrderId, rules: &SymbolRules) -> (Seen, Option<u64>) {
    let error = ErrorBody::parse(body);
    if error.is_some() || status != 200 {
        return (seen(status, error), None);
    }
    match Acknowledgement::parse(body, id, rules) {
        Ok(order_id) => (Seen::Answer { status, body: Body::Acknowledgement }, Some(order_id)),
        Err(_) => (Seen::Answer { status, body: Body::Other }, None),
    }
}

impl BinanceUs {
    /// The request an order becomes, if it is `now` for the engine and it is signed when it is `signed_at` by our clock.
    /// Nothing is sent. As long as the venue's clock is not asked again, [`Self::send_order`] with the same times sends
    /// the very same.
    pub fn exact_order(
        &self,
        order: &OrderRequest,
        now: Timestamp,
        signed_at: Timestamp,
    ) -> Result<Result<ExactRequest, NotSendable>, BinanceError> {
        let rules = self.rules(&order.symbol)?;
        Ok(request::place(order, now, self.clock.venue_time_of(signed_at, self.now())?, rules))
    }

    /// Sends an order, once, signed with the venue's time of when it was `signed_at` by our clock.
    pub async fn send_order(
        &mut self,
        order: &OrderRequest,
        now: Timestamp,
        signed_at: Timestamp,
    ) -> PlaceOutcome {
        let sending = self.sending(order, now, signed_at).await;
        let row = decide(&sending.seen);
        match (row.class, sending.order_id) {
            (Class::Accepted, Some(id)) => PlaceOutcome::Accepted { venue_order_id: format_smolstr!("{id}") },
            (Class::Rejected, _) => {
                // The venue knows better than the rules we read.
                self.rules_read_at = None;
                let (code, message) = match sending.seen {
                    Seen::Answer { body: Body::Error { code, message }, .. } => {
                        (format_smolstr!("{code}"), message)
                    }
                    // No row says so: all that are refusals list a code.
                    _ => (SmolStr::default(), sending.words),
                };
                PlaceOutcome::Rejected { code, message }
            }
            (Class::Denied, _) => {
                // As well may they have changed since.
                self.rules_read_at = None;
                PlaceOutcome::Denied { message: sending.words }
            }
            (Class::Throttled, _) => {
                let retry_at = now.plus(sending.wait);
                PlaceOutcome::Throttled { retry_at, message: format!("{}: {}", row.meaning, sending.words) }
            }
            (Class::Accepted | Class::Unknown, _) => {
                PlaceOutcome::Unknown { message: format!("{}: {}", row.meaning, sending.words) }
            }
        }
    }

    async fn sending(&mut self, order: &OrderRequest, now: Timestamp, signed_at: Timestamp) -> Sending {
        const WHAT: &str = "the order";
        let rules = match self.rules(&order.symbol) {
            Ok(rules) => rules.clone(),
            Err(error) => return Sending::held(Held::NotTrading, error.to_string(), LATER),
        };
        if let Some(closed) = self.closed(&rules) {
            return Sending::held(Held::NotTrading, closed, LATER);
        }
        if let Err(error) = self.signing_time().await {
            return Sending::held(Held::Clock, error.to_string(), SOON);
        }
        let exact = match self.exact_order(order, now, signed_at) {
            Ok(Ok(exact)) => exact,
            Ok(Err(problem)) => return Sending::held(Held::NotSendable, problem.to_string(), SOON),
            Err(error) => return Sending::held(Held::Clock, error.to_string(), SOON),
        };
        // Spot holds nothing short: whatever sells reduces risk.
        let need = if order.side == Side::Sell { Need::Urgent } else { Need::Ordinary };
        let (answer, _) = match self.call(WHAT, &exact, need, true).await {
            Ok(answered) => answered,
            Err(error) => return self.unanswered(&error),
        };
        let wait = self.budget.silent_until().map_or(SOON, |until| until.since(self.now()).max(SOON));
        let (seen, order_id) = conclude(answer.status, &answer.body, order.client_order_id, &rules);
        if let Some(id) = order_id {
            self.remember(&rules, id, Owner::Worker(order.client_order_id));
        }
        Sending { words: seen.to_string(), seen, order_id, wait }
    }

    fn unanswered(&self, error: &BinanceError) -> Sending {
        let words = error.to_string();
        match error {
            BinanceError::Wait { wait, .. } => {
                let held = error.held().unwrap_or(Held::Budget);
                Sending::held(held, words, wait.until().since(self.now()).max(SOON))
            }
            BinanceError::NoAnswer { seen, .. } => {
                Sending { seen: seen.clone(), order_id: None, words, wait: SOON }
            }
            // Whatever else there may be proves nothing.
            _ => {
                let seen = Seen::Lost(super::outcome::Lost::Connection);
                Sending { seen, order_id: None, words, wait: SOON }
            }
        }
    }

    /// Why nothing may be placed now, if so.
    fn closed(&self, rules: &SymbolRules) -> Option<String> {
        if let Some(words) = &self.maintenance {
            return Some(format!("the venue is in maintenance: {words}"));
        }
        match &rules.trading {
            Trading::Open => None,
            Trading::Closed(status) => {
                Some(format!("{} is not trading: its status is {status}", rules.rules.symbol))
            }
        }
    }

    async fn try_cancel(&mut self, order: &OrderRef) -> Result<CancelOutcome, BinanceError> {
        const WHAT: &str = "the cancel";
        let rules = self.rules(&order.symbol)?.clone();
        let exact = request::cancel(order.client_order_id, self.signing_time().await?, &rules);
        let (answer, error) = self.call(WHAT, &exact, Need::Urgent, false).await?;
        match (answer.status, error) {
            (200, None) => {
                let ended = reply::order(&answer.body);
                let ended = ended.map_err(|source| BinanceError::Reply { what: WHAT, source })?;
                if ended.is(order.client_order_id, &rules)
                    && ended.state().ok() == Some(OrderState::Cancelled)
                {
                    let executed = ended.executed(&rules);
                    let executed = executed.map_err(|source| BinanceError::Reply { what: WHAT, source })?;
                    return Ok(CancelOutcome::Cancelled { executed });
                }
                Ok(CancelOutcome::Unknown { message: "the answer is about another order".to_owned() })
            }
            // Whether it was filled, ended or never there, only a look-up tells.
            (400, Some(error)) if error.code == CANCEL_REJECTED => Ok(CancelOutcome::AlreadyDone),
            (status, error) => Err(BinanceError::NoAnswer { what: WHAT, seen: seen(status, error) }),
        }
    }

    async fn try_look_up(&mut self, order: &OrderRef) -> Result<Option<OrderSnapshot>, BinanceError> {
        const WHAT: &str = "the look-up";
        let rules = self.rules(&order.symbol)?.clone();
        let exact = request::look_up(order.client_order_id, self.signing_time().await?, &rules);
        let (answer, error) = self.call(WHAT, &exact, Need::Urgent, false).await?;
        match (answer.status, error) {
            (200, None) => {
                let contradiction = |what| BinanceError::Reply {
                    what: WHAT,
                    source: reply::ReplyError::Contradiction { what },
                };
                let wrong = |source| BinanceError::Reply { what: WHAT, source };
                let found: Order = reply::order(&answer.body).map_err(wrong)?;
                if !found.is(order.client_order_id, &rules) {
                    return Err(contradiction("it is about another order"));
                }
                let snapshot = found.snapshot(&rules).map_err(wrong)?;
                let snapshot = snapshot.map_err(|_| contradiction("it is about another order"))?;
                self.remember(&rules, found.order_id, Owner::Worker(order.client_order_id));
                Ok(Some(snapshot))
            }
            (400, Some(error)) if error.code == NO_SUCH_ORDER => Ok(None),
            (status, error) => Err(BinanceError::NoAnswer { what: WHAT, seen: seen(status, error) }),
        }
    }
}

impl BinanceUs {
    /// The latest of that id among the orders of its symbol in that span, by our clock. A page that is full may not show it,
    /// and proves nothing.
    async fn try_search(&mut self, order: &OrderRef, span: Range<Timestamp>) -> Result<Lookup, BinanceError> {
        const WHAT: &str = "the orders";
        let wrong = |source| BinanceError::Reply { what: WHAT, source };
        let (id, rules) = (order.client_order_id, self.rules(&order.symbol)?.clone());
        let (signed_at, now) = (self.signing_time().await?, self.now());
        let span = self.clock.venue_time_of(span.start, now)?..self.clock.venue_time_of(span.end, now)?;
        let answer = self.read(WHAT, &request::all_orders(&span, signed_at, &rules), Need::Urgent).await?;
        let orders = reply::orders(&answer.body).map_err(wrong)?;
        let full = orders.len() >= request::ORDERS_PAGE;
        let of_id = orders.into_iter().filter(|found| found.is(id, &rules));
        let Some(found) = of_id.max_by_key(|found| found.order_id) else {
            let (symbol, most) = (&order.symbol, request::ORDERS_PAGE);
            let message =
                format!("{symbol} has more than {most} orders since then; look for {id} among them by hand");
            return Ok(if full { Lookup::Unknown { message } } else { Lookup::NotFound });
        };
        self.remember(&rules, found.order_id, Owner::Worker(id));
        let snapshot = found.snapshot(&rules).map_err(wrong)?;
        let contradiction = |_| wrong(reply::ReplyError::Contradiction { what: "it is about another order" });
        Ok(Lookup::Found(snapshot.map_err(contradiction)?))
    }
}

impl DrivenVenue for BinanceUs {
    fn clock(&self) -> Option<Timestamp> {
        Some(self.now())
    }
}

impl Venue for BinanceUs {
    fn terms(&self) -> VenueTerms {
        self.terms()
    }

    async fn place(&mut self, request: &OrderRequest, now: Timestamp) -> PlaceOutcome {
        // The signature in the ledger is the one that is sent: a later time would outlive what the ledger knows of it.
        self.send_order(request, now, request.signature.signed_at).await
    }

    async fn cancel(&mut self, order: &OrderRef, _now: Timestamp) -> CancelOutcome {
        let outcome = self.try_cancel(order).await;
        outcome.unwrap_or_else(|error| CancelOutcome::Unknown { message: error.to_string() })
    }

    async fn lookup(&mut self, order: &OrderRef) -> Lookup {
        match self.try_look_up(order).await {
            Ok(Some(order)) => Lookup::Found(order),
            Ok(None) => Lookup::NotFound,
            Err(error) => Lookup::Unknown { message: error.to_string() },
        }
    }

    async fn search(&mut self, order: &OrderRef, span: Range<Timestamp>) -> Lookup {
        let found = self.try_search(order, span).await;
        found.unwrap_or_else(|error| Lookup::Unknown { message: error.to_string() })
    }

    async fn open_orders(&mut self) -> Result<OpenOrders, VenueError> {
        Ok(self.read_open_orders().await?)
    }

    async fn fills_since(&mut self, cursor: &FillCursor) -> Result<FillPage, VenueError> {
        Ok(self.read_fills(cursor).await?)
    }

    async fn balances(&mut self) -> Result<Vec<AssetBalance>, VenueError> {
        Ok(self.read_account().await?.balances)
    }

    async fn time(&mut self) -> Result<Timestamp, VenueError> {
        Ok(self.ask_time().await?)
    }
}
