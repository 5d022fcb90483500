//! Orders and fills at the venue that no open order of ours has: whose they are, and what follows.

use crate::event::{Effect, Effects, Record, Report};
use crate::external::{External, ExternalTrade};
use crate::halt::{Halt, HaltAction, HaltOrigin, HaltScope, ledger_unknown};
use crate::order::{ClientOrderId, Fill};
use crate::protocol::{Origin, VenueTerms};
use crate::time::{Millis, Timestamp};

use super::state::State;

impl State {
    /// What holds at the venue, and when the ledger was opened for this worker: nothing is sent before what its
    /// predecessor may have signed is over. `lease` is how long the predecessor may have believed in its Lease.
    pub fn set_terms(&mut self, terms: VenueTerms, opened_at: Timestamp, lease: Millis) {
        self.terms = terms;
        self.first_send = terms.first_send(opened_at, lease);
    }

    /// From when on orders are sent, and the venue can be taken stock of.
    pub fn first_send(&self) -> Timestamp {
        self.first_send
    }

    /// What bounds the doubt about an order.
    pub fn terms(&self) -> VenueTerms {
        self.terms
    }

    /// The venue tells of an order or fill that no open order of ours has. One that bears our tag and was never made by
    /// this ledger proves that the ledger has lost a commit: nothing is entered until a person has looked, and no later
    /// intent may get the lost one's number.
    pub(super) fn on_foreign(&mut self, id: ClientOrderId, effects: &mut Effects) -> Origin {
        let origin = self.origin_of(id);
        effects.push(Effect::Report(Report::Foreign { client_order_id: id, origin }));
        if let Origin::Lost(intent) = origin {
            self.leave_out_to(intent.0.saturating_add(1));
            let halt = self.lost_halt(id);
            // One that rests at the venue is told again and again.
            if !self.halts.iter().any(|known| known.name == halt.name) {
                self.on_halt_change(&crate::event::HaltChange::Set(halt), effects);
            }
        }
        origin
    }

    /// Whose an order is that no open order of ours has the id of.
    pub fn origin_of(&self, id: ClientOrderId) -> Origin {
        // Ids are made of who decided, and stay so when another takes over.
        let before = self.successions.iter().map(|done| done.from);
        let strategies: Vec<_> = self.strategies.iter().map(|s| s.config.uid).chain(before).collect();
        Origin::of(id, self.identity.incarnation, &strategies, self.next_intent, &self.left_out)
    }

    /// The next intent has that number at least; those between are of intents the ledger does not have.
    pub(super) fn leave_out_to(&mut self, next: u64) {
        if next > self.next_intent {
            self.left_out.push(self.next_intent..next);
            self.next_intent = next;
        }
    }

    /// As [`Self::on_foreign`] with a fill: one that is somebody else's, or of an order the ledger has lost, is kept as one
    /// that the positions do not hold.
    pub(super) fn on_foreign_fill(&mut self, fill: &Fill, effects: &mut Effects) {
        if self.on_foreign(fill.client_order_id, effects) != Origin::Ended {
            let trade = ExternalTrade {
                trade_id: fill.trade_id.clone(),
                venue_order_id: smol_str::format_smolstr!("{}", fill.client_order_id),
                symbol: fill.symbol.clone(),
                side: fill.side,
                price: fill.price,
                quantity: fill.quantity,
                at: fill.at,
            };
            effects.push(Effect::Persist(Box::new(Record::External(External::Trade(trade)))));
        }
    }

    fn lost_halt(&self, id: ClientOrderId) -> Halt {
        Halt {
            name: ledger_unknown(&self.account.name),
            scope: HaltScope::Account,
            instruments: Vec::new(),
            action: HaltAction::StopEntries,
            origin: HaltOrigin::LedgerUnknown,
            reason: format!(
                "the venue has order {id}, which bears this ledger's tag and is not in it: the ledger has lost its last \
                 commits; compare positions and open orders with the venue's, cancel there what nobody wants, then resume"
            ),
            requested_by: "worker".to_owned(),
            since: self.now,
        }
    }
}
