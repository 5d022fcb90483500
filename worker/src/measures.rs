//! What is measured beside what is counted: how long things take, and what orders cost in price. For metrics only.

use std::collections::BTreeMap;
use std::time::Duration;

use smol_str::SmolStr;
use tradewind_core::money::Price;
use tradewind_core::name::Symbol;
use tradewind_core::order::{Fill, Intent, OrderKind, OrderRequest, Side};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::histogram::{Bounds, Histogram};

/// Symbol, side and kind of an order, as metrics label it.
pub type OrderKey = (SmolStr, &'static str, &'static str);

/// Bounds of histograms, in millionths, under a name each.
macro_rules! bounds {
    ($($(#[$doc:meta])* $name:ident: $upper:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name;

        impl Bounds for $name {
            const UPPER: &'static [u64] = &$upper;
        }
    )*};
}

const MS: u64 = 1_000;
const S: u64 = 1_000_000;

bounds! {
    /// Of a look at the market and at orders: 10 ms to a minute.
    CycleTimes: [10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S, 2_500 * MS, 5 * S, 10 * S, 30 * S, 60 * S];
    /// Of a halt until it is in force: 10 ms to a minute.
    HaltTimes: [10 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S, 2_500 * MS, 5 * S, 15 * S, 60 * S];
    /// Of a commit: from a millisecond, a sync of a fast disk, to the half minute for which it is tried.
    CommitTimes: [MS, 2 * MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S, 5 * S, 30 * S];
    /// Of an order's sending until its answer: 10 ms to 10 s.
    SubmitTimes: [10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S, 2_500 * MS, 5 * S, 10 * S];
    /// Of an order until it has filled: 100 ms to 10 minutes.
    FillTimes: [100 * MS, 250 * MS, 500 * MS, S, 2_500 * MS, 5 * S, 10 * S, 30 * S, 60 * S, 300 * S, 600 * S];
    /// Of a price against what it should have been: one basis point to 5 %.
    Slippage: [100, 250, 500, MS, 2_500, 5_000, 10_000, 25_000, 50_000];
    /// Of a bar from its end until it was heard: half a second to 5 minutes.
    BarDelays: [500 * MS, S, 2 * S, 3 * S, 5 * S, 10 * S, 30 * S, 60 * S, 300 * S];
}

/// What was measured since this process began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measures {
    /// Cycles of the loop.
    pub cycles: Histogram<CycleTimes>,
    /// Halts, from when a watch heard of them.
    pub halts: Histogram<HaltTimes>,
    /// Commits to the ledger.
    pub commits: Histogram<CommitTimes>,
    /// Sendings of orders.
    pub submits: BTreeMap<OrderKey, Histogram<SubmitTimes>>,
    /// Orders that trade at once and have filled, from their decision.
    pub fills: BTreeMap<OrderKey, Histogram<FillTimes>>,
    /// Fills, by how much worse their price was.
    pub slippage: BTreeMap<OrderKey, Histogram<Slippage>>,
    /// Bars of an exchange, from their end.
    pub bar_delays: BTreeMap<SmolStr, Histogram<BarDelays>>,
}

impl Measures {
    /// An order was sent and the venue has answered, or not.
    pub(crate) fn on_answer(&mut self, request: &OrderRequest, took: Duration) {
        let key = order_key(&request.symbol, request.side, request.kind);
        self.submits.entry(key).or_default().observe_time(took);
    }

    /// An order has filled whole. One that rests waits for the market, not for the venue, and is not measured.
    pub(crate) fn on_filled(&mut self, intent: &Intent, at: Timestamp) {
        if matches!(intent.kind, OrderKind::Market | OrderKind::ImmediateOrCancel { .. }) {
            let key = order_key(&intent.symbol, intent.side, intent.kind);
            self.fills.entry(key).or_default().observe_time(time(at.since(intent.decided_at)));
        }
    }

    /// Part of an order was traded at a price.
    pub(crate) fn on_fill(&mut self, intent: &Intent, fill: &Fill) {
        let expected = match intent.kind {
            OrderKind::Stop { trigger, .. } => trigger,
            _ => intent.reference_price,
        };
        if let Some(worse) = adverse(intent.side, expected, fill.price) {
            let key = order_key(&intent.symbol, intent.side, intent.kind);
            self.slippage.entry(key).or_default().observe(worse);
        }
    }

    /// A bar that ended then was heard.
    pub(crate) fn on_bar(&mut self, symbol: &Symbol, ended: Timestamp, now: Timestamp) {
        let symbol = smol_str::format_smolstr!("{symbol}");
        self.bar_delays.entry(symbol).or_default().observe_time(time(now.since(ended)));
    }
}

fn time(span: Millis) -> Duration {
    Duration::from_millis(u64::try_from(span.0).unwrap_or(0))
}

/// By how many millionths a price is worse for us; zero when it is better. None: nothing to compare with.
fn adverse(side: Side, expected: Price, got: Price) -> Option<u64> {
    let (expected, got) = (i128::from(expected.0), i128::from(got.0));
    let worse = match side {
        Side::Buy => got - expected,
        Side::Sell => expected - got,
    };
    let millionths = worse.max(0).checked_mul(1_000_000)?.checked_div(expected)?;
    u64::try_from(millionths).ok()
}

pub(crate) fn order_key(symbol: &Symbol, side: Side, kind: OrderKind) -> OrderKey {
    (smol_str::format_smolstr!("{symbol}"), side_text(side), kind_text(kind))
}

pub(crate) fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn kind_text(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Market => "market",
        OrderKind::Limit { .. } => "limit",
        OrderKind::ImmediateOrCancel { .. } => "immediate or cancel",
        OrderKind::Stop { .. } => "stop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_worse_when_it_is_higher_for_a_buy_and_lower_for_a_sale() {
        let (hundred, more, less) = (Price(10_000), Price(10_050), Price(9_900));
        assert_eq!(adverse(Side::Buy, hundred, more), Some(5_000));
        assert_eq!(adverse(Side::Sell, hundred, less), Some(10_000));
        assert_eq!(adverse(Side::Buy, hundred, less), Some(0), "better is not worse");
        assert_eq!(adverse(Side::Sell, hundred, more), Some(0));
        assert_eq!(adverse(Side::Sell, Price(0), more), None, "nothing to compare with");
    }
}
