//! The state of the world, its bounds, and what must and what can be true of it.

use std::sync::OnceLock;

use stateright::{Model, Property};
use tradewind_core::money::{Price, Quantity};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{
    Attempt, ClientOrderId, Epoch, Incarnation, Intent, IntentId, OrderKind, OrderState, Purpose, Side,
};
use tradewind_core::protocol::{Signature, VenueTerms};
use tradewind_core::time::{Millis, Timestamp};
use uuid::Uuid;

use crate::actions::Action;
use crate::venue::{Letter, Placed};
use crate::worker::Worker;

/// Signatures live one tick, clocks differ by one, look-ups lag by two: the fewest by which a wait that is left out shows.
pub(crate) const TERMS: VenueTerms =
    VenueTerms { signature_life: Millis(1), clock_skew: Millis(1), query_lag: Millis(2) };
/// How long a worker may believe in a Lease that it has lost, where each node has a ledger of its own. Elsewhere the ledger is
/// the fence, and none is needed.
pub(crate) const LEASE: Millis = Millis(2);
/// Every entry is of that many lots, so that it can fill in parts.
pub(crate) const LOTS: i64 = 2;
/// The most lots that may ever be held or be about to be.
pub(crate) const LIMIT: i64 = 2;
/// How long an entry may be sent after it was decided.
pub(crate) const ENTRY_LIFE: Millis = Millis(7);
/// Tag of the one ledger.
pub(crate) const OURS: Incarnation = Incarnation(7);
/// The one strategy.
pub(crate) const STRATEGY: Uid = Uid(Uuid::from_u128(1));

/// How much of everything there is.
#[expect(clippy::struct_excessive_bools, reason = "what a world has or not, each for itself")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Ticks until the end of the world.
    pub horizon: i64,
    /// Orders that are ever decided.
    pub intents: usize,
    /// Sendings of one order.
    pub attempts: u32,
    /// Times a worker is killed.
    pub crashes: u8,
    /// Times the ledger is opened after the beginning.
    pub openings: u8,
    /// Times the ledger loses its last commit.
    pub rollbacks: u8,
    /// Cancels.
    pub cancels: u8,
    /// Sendings that the worker's own budget holds back.
    pub throttles: u8,
    /// Halts that people make, and resume.
    pub halts: u8,
    /// Whether the second worker's node has a ledger of its own: a copy of the first one's, which the first one goes on with.
    pub nodes: bool,
    /// Whether what is held may be sold.
    pub exits: bool,
    /// Whether coins lie on the account that are not ours: then the venue does not notice that we sell too much.
    pub foreign_coins: bool,
    /// Whether orders fill lot by lot or at once.
    pub partial_fills: bool,
}

/// A row of the ledger for one order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) intent: IntentId,
    pub(crate) side: Side,
    pub(crate) lots: i64,
    pub(crate) decided_at: Timestamp,
    /// Who decided it: tells it from a later order that got its number because the ledger had lost it.
    pub(crate) born: Epoch,
    pub(crate) state: OrderState,
    pub(crate) attempt: Attempt,
    pub(crate) signature: Signature,
    /// Lots booked by trade id.
    pub(crate) filled: i64,
}

/// What is on stable storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ledger {
    pub(crate) epoch: Epoch,
    pub(crate) rows: Vec<Row>,
    /// Whether people have halted entries.
    pub(crate) halted: bool,
    /// The rows before the last commit, while they may come back.
    pub(crate) before: Option<Vec<Row>>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub(crate) now: Timestamp,
    pub(crate) ledger: Ledger,
    /// That of the second worker's node, once it has parted from the first one.
    pub(crate) other: Option<Ledger>,
    /// The epoch that the Lease knows.
    pub(crate) lease: Epoch,
    pub(crate) workers: [Option<Worker>; 2],
    pub(crate) wire: Vec<Letter>,
    pub(crate) placed: Vec<Placed>,
    /// Epoch of the last order the venue accepted.
    pub(crate) accepted: Epoch,
    /// What was broken on the way here and cannot be seen from what is left.
    pub(crate) broken: Option<Broken>,
    pub(crate) rolled_back: bool,
    pub(crate) reached: Reached,
    pub(crate) left: Left,
}

/// What happened once on the way here.
#[expect(clippy::struct_excessive_bools, reason = "each is reached for itself")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Reached {
    pub(crate) adopted: bool,
    pub(crate) renewed: bool,
    pub(crate) lost_seen: bool,
    pub(crate) lapsed: bool,
    /// A worker has taken stock under a halt that it found in the ledger.
    pub(crate) inherited: bool,
}

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) crashes: u8,
    pub(crate) openings: u8,
    pub(crate) rollbacks: u8,
    pub(crate) cancels: u8,
    pub(crate) throttles: u8,
    pub(crate) halts: u8,
}

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    /// The venue accepted an order of an earlier worker after one of a later.
    EpochWentBack,
    /// The venue accepted an order that was not on stable storage.
    NotDurable,
}

/// The model, within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// How much of everything there is.
    pub bounds: Bounds,
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let Bounds { crashes, openings, rollbacks, cancels, throttles, halts, .. } = self.bounds;
        vec![World {
            now: Timestamp(0),
            ledger: Ledger { epoch: Epoch(1), rows: Vec::new(), halted: false, before: None },
            other: None,
            lease: Epoch(1),
            workers: [Some(Worker::first()), None],
            wire: Vec::new(),
            placed: Vec::new(),
            accepted: Epoch(0),
            broken: None,
            rolled_back: false,
            reached: Reached::default(),
            left: Left { crashes, openings, rollbacks, cancels, throttles, halts },
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        crate::actions::offer(&self.bounds, world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        crate::actions::take(&self.bounds, &mut next, action).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always("an intent is executed once at most", |_, w| w.executed_once()),
            Property::<Self>::always("no intent is lost", |_, w| w.none_lost()),
            Property::<Self>::always("the exposure bound holds", |_, w| w.bound_holds()),
            Property::<Self>::always("epochs never go back", |_, w| w.broken != Some(Broken::EpochWentBack)),
            Property::<Self>::always("nothing is sent before it is durable", |_, w| {
                w.broken != Some(Broken::NotDurable)
            }),
            Property::<Self>::sometimes("an order fills and the ledger has it", |_, w| w.recorded()),
            Property::<Self>::sometimes("an order of unknown outcome is adopted", |_, w| w.reached.adopted),
        ];
        if self.bounds.attempts > 1 {
            let renewed = |_: &Self, w: &World| w.reached.renewed && w.recorded();
            properties.push(Property::<Self>::sometimes("an absent order is sent anew and fills", renewed));
        }
        if self.bounds.halts > 0 {
            properties
                .push(Property::<Self>::sometimes("an entry lapses in a halt", |_, w| w.reached.lapsed));
            let inherited = |_: &Self, w: &World| w.reached.inherited;
            properties.push(Property::<Self>::sometimes("a successor starts under a halt", inherited));
        }
        if self.bounds.rollbacks > 0 {
            properties
                .push(Property::<Self>::sometimes("a lost order is noticed", |_, w| w.reached.lost_seen));
        }
        if self.bounds.exits {
            properties.push(Property::<Self>::sometimes("what was bought is sold", |_, w| w.sold_out()));
        }
        properties
    }
}

impl World {
    fn executed_once(&self) -> bool {
        self.placed.iter().enumerate().all(|(index, one)| {
            let same = |other: &&Placed| (other.intent, other.born) == (one.intent, one.born);
            let again = self.placed.iter().skip(index + 1).filter(same).any(Placed::matters);
            !(one.matters() && again)
        })
    }

    /// What the ledger holds for never executed and never to be is not at the venue.
    fn none_lost(&self) -> bool {
        let gone =
            |row: &&Row| matches!(row.state, OrderState::Absent | OrderState::Rejected | OrderState::Denied);
        self.newest().rows.iter().filter(gone).all(|row| {
            !self.placed.iter().any(|p| (p.intent, p.born) == (row.intent, row.born) && p.matters())
        })
    }

    fn bound_holds(&self) -> bool {
        let bought: i64 = self.placed.iter().filter(|p| p.side == Side::Buy).map(Placed::at_stake).sum();
        let sold: i64 = self.placed.iter().filter(|p| p.side == Side::Sell).map(|p| p.filled).sum();
        bought - sold <= LIMIT && self.held() >= 0
    }

    /// Lots on the account.
    pub(crate) fn held(&self) -> i64 {
        let signed = |p: &Placed| if p.side == Side::Buy { p.filled } else { -p.filled };
        self.placed.iter().map(signed).sum()
    }

    /// What stable storage has, on all nodes.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        std::iter::once(&self.ledger).chain(&self.other).flat_map(|ledger| &ledger.rows)
    }

    /// The ledger that the Lease's holder opened last: what an older one says nobody goes by.
    fn newest(&self) -> &Ledger {
        self.other.as_ref().filter(|other| other.epoch > self.ledger.epoch).unwrap_or(&self.ledger)
    }

    /// The ledger that a worker writes to.
    pub(crate) fn ledger_of(&mut self, index: usize) -> &mut Ledger {
        match &mut self.other {
            Some(other) if index == 1 => other,
            _ => &mut self.ledger,
        }
    }

    fn recorded(&self) -> bool {
        self.rows().any(|row| row.state == OrderState::Filled && row.filled == row.lots)
    }

    fn sold_out(&self) -> bool {
        let sold = |row: &Row| row.side == Side::Sell && row.state == OrderState::Filled;
        self.held() == 0 && self.rows().any(sold)
    }
}

/// The intent of that number, as the engine makes it.
pub(crate) fn intent(id: IntentId, side: Side, lots: i64, decided_at: Timestamp) -> Intent {
    let purpose = if side == Side::Buy { Purpose::Entry } else { Purpose::SignalExit };
    Intent {
        id,
        client_order_id: client_id(id),
        strategy: STRATEGY,
        symbol: symbol(),
        side,
        kind: OrderKind::Market,
        quantity: Quantity(lots),
        purpose,
        reference_price: Price(1),
        decision_bar: decided_at,
        decided_at,
        valid_until: decided_at.plus(ENTRY_LIFE),
        epoch: Epoch(0),
    }
}

fn symbol() -> Symbol {
    static SYMBOL: OnceLock<Symbol> = OnceLock::new();
    #[expect(clippy::expect_used, reason = "a constant, read once")]
    SYMBOL.get_or_init(|| "BTC-USD".parse().expect("BTC-USD is a symbol")).clone()
}

/// The client order id of an intent, by the production rule; remembered because it is asked for in every state.
pub(crate) fn client_id(id: IntentId) -> ClientOrderId {
    static IDS: OnceLock<Vec<ClientOrderId>> = OnceLock::new();
    let ids =
        IDS.get_or_init(|| (0..16).map(|n| ClientOrderId::derive(OURS, STRATEGY, IntentId(n))).collect());
    let known = usize::try_from(id.0).ok().and_then(|n| ids.get(n)).copied();
    known.unwrap_or_else(|| ClientOrderId::derive(OURS, STRATEGY, id))
}
