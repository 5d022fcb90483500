//! A worker: what it knows in memory, what of that waits for the next commit, and what it does with both.

use tradewind_core::money::Quantity;
use tradewind_core::order::{Attempt, Epoch, IntentId, OrderState, Side, Transition};
use tradewind_core::protocol::{Life, OrderInput, Origin, Signature, Stage, Stand, Step, is_writer};
use tradewind_core::time::{Millis, Timestamp};

use crate::venue::{Letter, Placed, Sight};
use crate::world::{Bounds, ENTRY_LIFE, LIMIT, LOTS, Ledger, OURS, Row, STRATEGY, TERMS, client_id, intent};

/// An order as its worker knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Own {
    pub(crate) intent: IntentId,
    pub(crate) side: Side,
    pub(crate) lots: i64,
    pub(crate) decided_at: Timestamp,
    pub(crate) born: Epoch,
    pub(crate) life: Life,
    pub(crate) filled: i64,
    pub(crate) cancelling: bool,
}

/// What waits for the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Record {
    Intent(IntentId),
    Signing(IntentId, Signature),
    Step(IntentId, Step),
    Filled(IntentId, i64),
    /// People halt entries, or resume.
    Halted(bool),
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) epoch: Epoch,
    /// When it may take stock and send.
    pub(crate) first_send: Timestamp,
    /// Whether it has taken stock of the venue.
    pub(crate) settled: bool,
    /// Whether it has seen an order its ledger lost, or that its ledger is not the newest: no entries.
    pub(crate) lost: bool,
    /// Whether people have halted entries.
    pub(crate) halted: bool,
    /// Until when it believes that it may send.
    pub(crate) believes_until: Timestamp,
    pub(crate) next_intent: u64,
    pub(crate) orders: Vec<Own>,
    pub(crate) pending: Vec<Record>,
}

impl Worker {
    /// The worker that has been there for long.
    pub(crate) fn first() -> Self {
        Self {
            epoch: Epoch(1),
            first_send: Timestamp(0),
            settled: true,
            lost: false,
            halted: false,
            believes_until: Timestamp(i64::MAX),
            next_intent: 0,
            orders: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// A worker that opens the ledger now: it raises the epoch, and loses track of what was on its way.
    ///
    /// A ledger whose epoch is below the Lease's is not the newest.
    pub(crate) fn open(ledger: &mut Ledger, lease: Epoch, now: Timestamp, believed: Millis) -> Self {
        let lost = ledger.epoch < lease;
        ledger.epoch = Epoch(ledger.epoch.max(lease).0 + 1);
        let mut worker = Self {
            epoch: ledger.epoch,
            first_send: TERMS.first_send(now, believed),
            settled: false,
            lost,
            halted: ledger.halted,
            believes_until: Timestamp(i64::MAX),
            next_intent: ledger.rows.iter().map(|row| row.intent.0 + 1).max().unwrap_or(0),
            orders: ledger.rows.iter().map(own).collect(),
            pending: Vec::new(),
        };
        for index in 0..worker.orders.len() {
            worker.apply(index, OrderInput::LoseTrack);
        }
        worker
    }

    /// Tries an input on an order; what the production table refuses changes nothing.
    pub(crate) fn apply(&mut self, index: usize, input: OrderInput) -> bool {
        let Some(order) = self.orders.get_mut(index) else { return false };
        match order.life.apply(input, &TERMS) {
            Ok(step) => {
                let id = order.intent;
                self.pending.extend(step.map(|step| Record::Step(id, step)));
                true
            }
            Err(_) => false,
        }
    }

    /// What it holds by the fills it knows.
    fn position(&self) -> i64 {
        self.orders.iter().map(|o| if o.side == Side::Buy { o.filled } else { -o.filled }).sum()
    }

    /// What it holds, and what it must count as if it held it.
    fn exposure(&self) -> i64 {
        let at_risk = |o: &Own| o.life.at_risk(Quantity(o.lots), Quantity(o.filled)).0;
        let entries = self.orders.iter().filter(|o| o.side == Side::Buy);
        self.position() + entries.map(at_risk).sum::<i64>()
    }

    pub(crate) fn may_enter(&self, bounds: &Bounds) -> bool {
        let room = self.exposure() + LOTS <= LIMIT;
        self.settled && !self.is_halted() && room && self.orders.len() < bounds.intents
    }

    fn is_halted(&self) -> bool {
        self.lost || self.halted
    }

    /// People halt entries, or resume; what lies ready lapses when it would be sent.
    pub(crate) fn hear(&mut self, halted: bool) -> bool {
        let news = self.halted != halted;
        if news {
            self.halted = halted;
            self.pending.push(Record::Halted(halted));
        }
        news
    }

    /// An entry that may not be sent any more lapses, if nothing of it has left.
    pub(crate) fn lapse(&mut self, index: usize) -> bool {
        let entry = self.orders.get(index).is_some_and(|order| order.side == Side::Buy);
        entry && self.is_halted() && self.apply(index, OrderInput::Lapse)
    }

    /// An exit waits until nothing of the instrument is open.
    pub(crate) fn may_exit(&self, bounds: &Bounds) -> bool {
        let quiet = self.orders.iter().all(|o| o.life.state().is_terminal());
        let room = self.orders.len() < bounds.intents;
        bounds.exits && self.settled && quiet && room && self.position() > 0
    }

    pub(crate) fn decide(&mut self, side: Side, now: Timestamp) {
        let lots = if side == Side::Buy { LOTS } else { self.position() };
        let (id, signature) = (IntentId(self.next_intent), TERMS.sign(now));
        self.next_intent += 1;
        self.orders.push(Own {
            intent: id,
            side,
            lots,
            decided_at: now,
            born: self.epoch,
            life: Life::begin(signature),
            filled: 0,
            cancelling: false,
        });
        self.pending.push(Record::Intent(id));
        self.pending.push(Record::Signing(id, signature));
    }

    /// Whether an entry is still young; exits always are.
    pub(crate) fn is_young(order: &Own, now: Timestamp) -> bool {
        order.side == Side::Sell || now <= order.decided_at.plus(ENTRY_LIFE)
    }

    /// Sends, if the table and the successor's wait let it. What leaves is the request the engine makes.
    pub(crate) fn send(&mut self, index: usize, now: Timestamp) -> Option<Letter> {
        let order = self.orders.get(index)?;
        let barred = order.side == Side::Buy && self.is_halted();
        let may = now >= self.first_send && now <= self.believes_until && !barred;
        if !may || !Self::is_young(order, now) || order.cancelling {
            return None;
        }
        // As at the start, the stage may say more than this worker may know: the signature is the stage's own.
        let signature = order.life.stage().signature().unwrap_or_else(|| TERMS.sign(now));
        if !self.apply(index, OrderInput::Send { at: now }) {
            return None;
        }
        let order = self.orders.get(index)?;
        let decided = intent(order.intent, order.side, order.lots, order.decided_at);
        let request = decided.request(order.life.attempt(), signature);
        let (signed_at, valid_until) = Letter::span(request.signature);
        Some(Letter {
            id: request.client_order_id,
            intent: order.intent,
            born: order.born,
            epoch: self.epoch,
            signed_at,
            valid_until,
            side: request.side,
            lots: request.quantity.0,
        })
    }

    /// Signs an order anew, if the table lets it.
    pub(crate) fn renew(&mut self, index: usize, now: Timestamp) -> bool {
        let Some(order) = self.orders.get(index) else { return false };
        let (id, signature) = (order.intent, TERMS.sign(now));
        let renewed = self.apply(index, OrderInput::Renew { signature });
        if renewed {
            self.pending.push(Record::Signing(id, signature));
        }
        renewed
    }

    /// As the engine does in the step in which an order turns absent: it is signed anew, or its story has ended.
    fn renew_or_end(&mut self, index: usize, now: Timestamp, bounds: &Bounds) -> bool {
        let Some(order) = self.orders.get(index) else { return false };
        let barred = order.side == Side::Buy && self.is_halted();
        let again = order.life.attempt().0 < bounds.attempts && !order.cancelling && !barred;
        again && order.life.stage() == Stage::Absent && Self::is_young(order, now) && self.renew(index, now)
    }

    /// Lets a signature that has run out go unused.
    pub(crate) fn withhold(&mut self, index: usize, now: Timestamp, bounds: &Bounds) -> bool {
        let signature = self.orders.get(index).and_then(|order| order.life.stage().signature());
        let out = signature.is_some_and(|signature| !TERMS.may_send(signature, now));
        let withheld = out && self.apply(index, OrderInput::Withhold);
        if withheld {
            self.renew_or_end(index, now, bounds);
        }
        withheld
    }

    /// Books what the venue has filled of its orders.
    pub(crate) fn take_fills(&mut self, world: &[Placed]) -> bool {
        let mut news = false;
        for index in 0..self.orders.len() {
            let Some(order) = self.orders.get(index) else { continue };
            let id = client_id(order.intent);
            let filled: i64 =
                world.iter().filter(|p| p.id == id && p.born == order.born).map(|p| p.filled).sum();
            if filled <= order.filled {
                continue;
            }
            let (intent, lots) = (order.intent, order.lots);
            let part = OrderInput::FillPart { quantity: Quantity(filled - order.filled) };
            let input = if filled >= lots { OrderInput::FillRest } else { part };
            // A fill is a fact: it is booked whether or not it fits the stage.
            self.apply(index, input);
            if let Some(order) = self.orders.get_mut(index) {
                order.filled = filled;
            }
            self.pending.push(Record::Filled(intent, filled));
            news = true;
        }
        news
    }

    /// Hears that the venue has ended an order, and how much of it was executed.
    pub(crate) fn end(&mut self, index: usize, executed: i64) {
        let Some(order) = self.orders.get(index) else { return };
        let missing = Quantity((executed - order.filled).max(0));
        self.apply(index, OrderInput::Cancel { missing });
    }

    /// Asks for one order by its id, then reads the fills.
    pub(crate) fn look_up(
        &mut self,
        bounds: &Bounds,
        index: usize,
        placed: &[Placed],
        now: Timestamp,
        sight: Sight,
    ) -> LookedUp {
        let Some(order) = self.orders.get(index) else { return LookedUp::default() };
        let (before, id) = (order.life, client_id(order.intent));
        let found = placed.iter().rev().find(|p| p.id == id && sight.shows(p, now)).cloned();
        self.take_fills(placed_seen(placed, now, sight).as_slice());
        let adopted = found.is_some() && matches!(before.stage(), Stage::Unknown { .. });
        let mut renewed = false;
        if let Some(order) = found {
            self.apply(index, OrderInput::Accept);
            if order.cancelled {
                self.end(index, order.filled);
            }
        } else if self.apply(index, OrderInput::NotFound { asked_at: now }) {
            renewed = self.renew_or_end(index, now, bounds);
        }
        let changed = self.orders.get(index).is_some_and(|order| order.life != before);
        LookedUp { changed, adopted: adopted && changed, renewed }
    }

    /// Takes stock of the venue: orders with our tag that the ledger never made are lost ones.
    pub(crate) fn survey(&mut self, placed: &[Placed], now: Timestamp, sight: Sight) -> bool {
        let seen = placed_seen(placed, now, sight);
        let mut lost = false;
        for order in &seen {
            if self.orders.iter().any(|own| client_id(own.intent) == order.id) {
                continue;
            }
            if let Origin::Lost(intent) = Origin::of(order.id, OURS, &[STRATEGY], self.next_intent, &[]) {
                self.next_intent = intent.0 + 1;
                lost = true;
            }
        }
        self.lost |= lost;
        self.take_fills(&seen);
        self.settled = true;
        lost
    }

    /// Writes what waits; false when the ledger refuses, after which the process ends.
    pub(crate) fn commit(&mut self, ledger: &mut Ledger, keep: bool) -> bool {
        let (mut rows, mut halted) = (ledger.rows.clone(), ledger.halted);
        for record in &self.pending {
            if let Record::Halted(change) = record {
                halted = *change;
                if is_writer(self.epoch, ledger.epoch) {
                    continue;
                }
                return false;
            }
            if !self.write(ledger.epoch, &mut rows, record) {
                return false;
            }
        }
        ledger.before = keep.then(|| std::mem::replace(&mut ledger.rows, rows.clone()));
        (ledger.rows, ledger.halted) = (rows, halted);
        self.pending.clear();
        for index in 0..self.orders.len() {
            self.apply(index, OrderInput::Durable);
        }
        true
    }

    fn write(&self, epoch: Epoch, rows: &mut Vec<Row>, record: &Record) -> bool {
        let (Record::Intent(id) | Record::Signing(id, _) | Record::Step(id, _) | Record::Filled(id, _)) =
            *record
        else {
            return false;
        };
        let Some(own) = self.orders.iter().find(|o| o.intent == id) else { return false };
        if let Record::Intent(_) = record {
            let new = !rows.iter().any(|row| row.intent == id);
            if new && is_writer(self.epoch, epoch) {
                rows.push(Row {
                    intent: id,
                    side: own.side,
                    lots: own.lots,
                    decided_at: own.decided_at,
                    born: own.born,
                    state: OrderState::Intended,
                    attempt: Attempt(0),
                    signature: Signature { signed_at: own.decided_at, valid_until: own.decided_at },
                    filled: 0,
                });
            }
            return new && is_writer(self.epoch, epoch);
        }
        let Some(row) = rows.iter_mut().find(|row| row.intent == id) else { return false };
        match record {
            Record::Intent(_) | Record::Halted(_) => {}
            Record::Signing(_, signature) => {
                if !is_writer(self.epoch, epoch) {
                    return false;
                }
                row.signature = *signature;
            }
            Record::Step(_, Step { attempt, from, to }) => {
                let stand = Stand { epoch, state: row.state, attempt: row.attempt };
                let step = Transition {
                    intent: id,
                    attempt: *attempt,
                    epoch: self.epoch,
                    from: *from,
                    to: *to,
                    at: Timestamp(0),
                    detail: None,
                };
                if !stand.admits(&step) {
                    return false;
                }
                (row.state, row.attempt) = (*to, *attempt);
            }
            // A fill told twice is one fill.
            Record::Filled(_, lots) => row.filled = row.filled.max(*lots),
        }
        true
    }
}

/// What came of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LookedUp {
    pub(crate) changed: bool,
    pub(crate) adopted: bool,
    pub(crate) renewed: bool,
}

/// Orders and fills as a query shows them. Fills are never forgotten.
fn placed_seen(placed: &[Placed], now: Timestamp, sight: Sight) -> Vec<Placed> {
    let sight = if sight == Sight::Forgetful { Sight::Late } else { sight };
    let shown = placed.iter().filter(|p| sight.shows(p, now));
    shown
        .map(|p| {
            // A fill younger than the lag may not show yet, though its order does.
            let hidden = sight == Sight::Late && p.changed_at.plus(TERMS.query_lag) > now && p.filled > 0;
            Placed { filled: if hidden { p.filled - 1 } else { p.filled }, ..p.clone() }
        })
        .collect()
}

fn own(row: &Row) -> Own {
    Own {
        intent: row.intent,
        side: row.side,
        lots: row.lots,
        decided_at: row.decided_at,
        born: row.born,
        life: Life::recovered(row.state, row.attempt, row.signature, &TERMS),
        filled: row.filled,
        cancelling: false,
    }
}
