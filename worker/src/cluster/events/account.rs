//! Notes on what is held and how it stands: stops, liquidations, dust, and what others did on the account.

use kube::runtime::events::EventType;
use tradewind_core::books::Difference;
use tradewind_core::decision::StrategyId;
use tradewind_core::engine::State;
use tradewind_core::event::ProtectionChange;
use tradewind_core::external::External;
use tradewind_core::instrument::InstrumentId;
use tradewind_core::money::Quantity;
use tradewind_crds::reasons::Reason;

use super::super::report::differences_text;
use super::{Note, Sink, rules, side};

impl Sink {
    pub(super) fn on_protection(
        &mut self,
        state: &State,
        strategy: StrategyId,
        instrument: InstrumentId,
        change: ProtectionChange,
    ) {
        let Some((uid, name)) = state.strategy_name(strategy) else { return };
        let Some(symbol) = state.rules(instrument).map(|rules| &rules.symbol) else { return };
        let (type_, reason, action, text) = match change {
            ProtectionChange::Lost => (
                EventType::Warning,
                Reason::StopMissing,
                "Guard",
                format!(
                    "no stop order rests for {symbol}: it is placed again, the worker guards it meanwhile"
                ),
            ),
            ProtectionChange::Restored => {
                let text = format!("all of {symbol} has its stop order again");
                (EventType::Normal, Reason::StopsPlaced, "Guard", text)
            }
            ProtectionChange::Flattened => {
                let text = format!("{symbol} was without its stop order for too long and is sold");
                (EventType::Warning, Reason::Flattened, "Exit", text)
            }
        };
        let (regarding, related) = (self.about.strategy(name, uid), Some(self.about.pod()));
        self.note(Note { type_, reason, action, text, regarding, related });
    }

    pub(super) fn on_external(&mut self, state: &State, external: &External) {
        let text = match external {
            External::Order { order, .. } => format!(
                "open order {} ({} {}) is not ours: it is left alone",
                order.venue_order_id,
                side(order.side),
                order.symbol
            ),
            External::Trade(trade) => {
                let rules = rules(state, &trade.symbol);
                let quantity = rules.map(|rules| rules.quantity_text(trade.quantity)).unwrap_or_default();
                let what = format!("{} {quantity} {}", side(trade.side), trade.symbol);
                format!("trade {} ({what}) is not ours: it is recorded, not counted", trade.trade_id.0)
            }
        };
        let (regarding, related) = (self.about.account(), Some(self.about.pod()));
        let (type_, reason, action) = (EventType::Warning, Reason::ExternalActivity, "Record");
        self.note(Note { type_, reason, action, text, regarding, related });
    }

    pub(super) fn on_balances(&mut self, differences: &[Difference]) {
        let (type_, reason, text) = if differences.is_empty() {
            (EventType::Normal, Reason::InSync, "the venue holds what the ledger says".to_owned())
        } else {
            let text = format!("{}; no entries", differences_text(differences));
            (EventType::Warning, Reason::BalancesDiffer, text)
        };
        let (regarding, related) = (self.about.account(), Some(self.about.pod()));
        self.note(Note { type_, reason, action: "Compare", text, regarding, related });
    }

    pub(super) fn on_unsold(
        &mut self,
        state: &State,
        strategy: StrategyId,
        instrument: InstrumentId,
        left: Quantity,
    ) {
        let Some((uid, name)) = state.strategy_name(strategy) else { return };
        let Some(rules) = state.rules(instrument) else { return };
        let text = format!(
            "{} {} are being liquidated and not sold within 5 minutes: nobody buys near the mark, or the venue refuses; it \
             goes on",
            rules.quantity_text(left),
            rules.symbol.base(),
        );
        let (regarding, related) = (self.about.strategy(name, uid), Some(self.about.pod()));
        let (type_, reason, action) = (EventType::Warning, Reason::LiquidationOverdue, "Exit");
        self.note(Note { type_, reason, action, text, regarding, related });
    }

    pub(super) fn on_dust(&mut self, state: &State, strategy: StrategyId, instrument: InstrumentId) {
        let Some((uid, name)) = state.strategy_name(strategy) else { return };
        let Some(rules) = state.rules(instrument) else { return };
        let text = format!(
            "what is left of {} is less than the venue's smallest order ({} {}, worth {}): it stays on the account",
            rules.symbol,
            rules.quantity_text(rules.lot),
            rules.symbol.base(),
            rules.min_notional,
        );
        let (regarding, related) = (self.about.strategy(name, uid), Some(self.about.pod()));
        let (type_, reason, action) = (EventType::Normal, Reason::DustLeft, "Exit");
        self.note(Note { type_, reason, action, text, regarding, related });
    }
}
