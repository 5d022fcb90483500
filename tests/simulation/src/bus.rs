//! The bus: two streams that are away, lose what is sent to them or what they answer, and are emptied.
//!
//! Its chance is a stream of its own: whether there is a bus changes nothing of what is traded, here as in production.

use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::watch;
use tradewind_ledger::outbox::Kind;
use tradewind_ledger::{LedgerError, OutboxRow};
use tradewind_worker::bus::{BusError, BusFacts, Ends, EventStreams, Place, Relay, Timing};

use crate::broken::Broken;
use crate::coverage::Fault;
use crate::dice::Dice;
use crate::sim::Sim;
use crate::store::{SimLedger, SimOutbox};

/// What Redis would have.
#[derive(Debug)]
pub(crate) struct Bus {
    dice: Dice,
    /// Events by their numbers, in the stream of orders or the other.
    streams: BTreeMap<bool, BTreeMap<u64, OutboxRow>>,
}

impl Bus {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed, 3), streams: BTreeMap::new() }
    }

    fn end(&self, of_orders: bool) -> u64 {
        let last = self.streams.get(&of_orders).and_then(|stream| stream.last_key_value());
        last.map_or(0, |(number, _)| *number)
    }

    fn ends(&self) -> Ends {
        Ends { orders: self.end(true), signals: self.end(false) }
    }

    /// All events, by their numbers.
    pub(crate) fn events(&self) -> BTreeMap<u64, OutboxRow> {
        self.streams.values().flatten().map(|(number, row)| (*number, row.clone())).collect()
    }
}

/// Whether that befalls the bus now.
fn strikes(sim: &Sim, fault: Fault) -> bool {
    let strikes = !sim.is_calm() && sim.bus.borrow_mut().dice.chance(sim.plan.bus_odds);
    if strikes {
        sim.count(fault);
    }
    strikes
}

/// What comes from outside, once in each bar.
pub(crate) fn disturb(sim: &Sim) {
    if strikes(sim, Fault::BusEmptied) {
        sim.bus.borrow_mut().streams.clear();
    }
}

/// The streams as one process reaches them.
pub(crate) struct SimStreams {
    sim: Rc<Sim>,
    watched: Ends,
}

fn silent() -> BusError {
    BusError::silent("the simulated bus")
}

impl EventStreams for SimStreams {
    async fn ends(&mut self) -> Result<Ends, BusError> {
        if strikes(&self.sim, Fault::BusAway) {
            return Err(silent());
        }
        self.watched = self.sim.bus.borrow().ends();
        Ok(self.watched)
    }

    async fn add(&mut self, rows: &[&OutboxRow], _published: u64) -> Result<bool, BusError> {
        if strikes(&self.sim, Fault::BusAway) {
            return Err(silent());
        }
        if self.sim.bus.borrow().ends() != self.watched {
            return Ok(false);
        }
        for row in rows {
            let of_orders = row.kind.is_of_orders();
            let mut bus = self.sim.bus.borrow_mut();
            let end = bus.end(of_orders);
            bus.streams.entry(of_orders).or_default().insert(row.sequence, (*row).clone());
            drop(bus);
            if row.sequence <= end {
                let what = format!("event {} was told after event {end}", row.sequence);
                self.sim.break_with(Broken::Events(what));
            }
        }
        if strikes(&self.sim, Fault::BusAnswerLost) { Err(silent()) } else { Ok(true) }
    }
}

/// What a process tells events with: the relay of production.
pub(crate) struct Teller<O> {
    relay: Relay<SimOutbox, O>,
    streams: SimStreams,
}

/// One for a process on that ledger.
pub(crate) fn teller(
    sim: &Rc<Sim>,
    ledger: &SimLedger,
) -> Option<Teller<impl AsyncFn() -> Result<SimOutbox, LedgerError> + use<>>> {
    let place = Place::of(&sim.plan.config.account, None)?;
    let (reader, tap) = (ledger.outbox(), ledger.tap());
    let open = async move || Ok(reader.clone());
    let (facts, _) = watch::channel(BusFacts::default());
    let relay = Relay::new(place, tap, open, facts, Timing::default());
    Some(Teller { relay, streams: SimStreams { sim: Rc::clone(sim), watched: Ends::default() } })
}

impl<O: AsyncFn() -> Result<SimOutbox, LedgerError>> Teller<O> {
    /// Tells all there is to tell; true if that was done.
    pub(crate) async fn tell(&mut self) -> bool {
        match self.relay.tell(&mut self.streams).await {
            Ok(()) => true,
            Err(error) => {
                self.streams.sim.say(|| format!("bus: {error}"));
                false
            }
        }
    }
}

/// Whether the streams hold what the ledger says, in the end.
pub(crate) fn compare(told: &BTreeMap<u64, OutboxRow>, written: &[OutboxRow]) -> Result<(), Broken> {
    let broken = |what: String| Err(Broken::Events(what));
    if let Some(missing) = written.iter().find(|row| told.get(&row.sequence) != Some(*row)) {
        let kind: &str = Kind::into(missing.kind);
        return broken(format!("event {} ({kind}) is in the ledger and was not told so", missing.sequence));
    }
    if told.len() == written.len() {
        return Ok(());
    }
    broken(format!("{} events were told, and {} happened", told.len(), written.len()))
}
