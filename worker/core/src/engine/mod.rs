//! The engine: one account, its strategies, and the step from an event to effects.
//!
//! Each module below handles one kind of event; all of them are methods of [`State`]. What none of them may do: read a
//! clock, draw a number, wait, or send an order that is not durable.

mod balances;
mod bar;
mod config;
mod decide;
mod exits;
mod fills;
mod foreign;
mod halts;
mod orders;
mod probe;
mod protection;
mod recover;
mod state;
mod succession;
mod transfer;
mod view;
mod window;

pub use config::InstrumentSpec;
pub use probe::Probe;
pub use recover::RecoverError;
pub use state::State;
pub use succession::HeirView;
pub use view::{AccountView, DustView, OrderView, PositionView, StrategyView};

use crate::event::{Effects, Event, EventKind, Report};
use crate::instrument::{Bar, InstrumentId};
use crate::money::MoneyError;
use crate::order::Fill;
use crate::time::Timestamp;

impl State {
    /// Takes in one event and appends what is to be done about it.
    ///
    /// Time that goes back is taken as standing still: `now` is the latest time ever told.
    pub fn step(&mut self, event: &Event, effects: &mut Effects) {
        self.now = self.now.max(event.now);
        match &event.kind {
            EventKind::Bar { instrument, bar } => self.step_bar(event.now, *instrument, bar, effects),
            EventKind::WarmUp { instrument, bar } => self.on_warm_up(*instrument, bar),
            EventKind::Mark { instrument, price } => self.on_mark(*instrument, *price, effects),
            EventKind::Timer => {
                self.on_timer(effects);
                self.send_waiting(effects);
            }
            EventKind::Durable { intent } => self.on_durable(*intent, effects),
            EventKind::OrderUpdate { client_order_id, update } => {
                self.on_order_update(*client_order_id, update, effects);
            }
            EventKind::Fill(fill) => self.on_fill(fill, effects),
            EventKind::HaltChange(change) => self.on_halt_change(change, effects),
            EventKind::EntryGate(block) => self.block = *block,
            EventKind::ConfigChange(config) => self.on_config_change(config, effects),
            EventKind::Transfer(transfer) => self.on_transfer(transfer, effects),
            EventKind::Balances(held) => self.on_balances(held, effects),
        }
        self.hand_over_to_heirs(effects);
    }
}

impl State {
    /// As [`Self::step`] with a bar, for those who have no event to keep.
    #[inline]
    pub fn step_bar(&mut self, now: Timestamp, instrument: InstrumentId, bar: &Bar, effects: &mut Effects) {
        self.now = self.now.max(now);
        self.on_bar(instrument, bar, effects);
        self.hand_over_to_heirs(effects);
    }

    /// As [`Self::step`] with a fill, at its own time, for those who have no event to keep.
    pub fn step_fill(&mut self, fill: &Fill, effects: &mut Effects) {
        self.now = self.now.max(fill.at);
        self.on_fill(fill, effects);
    }
}

/// Money that cannot be computed is reported, and nothing is done on it.
pub(crate) fn fault(effects: &mut Effects, doing: &str, error: &MoneyError) {
    effects.push(crate::event::Effect::Report(Report::MoneyFault {
        message: format!("while {doing}: {error}"),
    }));
}
