//! A desk to test the paper venue from: one-minute bars, prices and quantities as decimal text.

use std::path::Path;

use tradewind_core::config::{FeeAsset, FeeConfig, PaperConfig};
use tradewind_core::instrument::{Bar, InstrumentId, InstrumentRules};
use tradewind_core::money::{BasisPoints, Cash, Percent};
use tradewind_core::name::{Asset, Symbol, Uid};
use tradewind_core::order::{
    Attempt, ClientOrderId, Fill, Incarnation, IntentId, OrderKind, OrderRef, OrderRequest, OrderState, Side,
};
use tradewind_core::protocol::VenueTerms;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::{
    CancelOutcome, FillCursor, Lookup, OrderSnapshot, PaperVenue, Phase, PhaseOutcome, PlaceOutcome, Venue,
};

pub const MINUTE: Millis = Millis(60_000);
pub const BTC: InstrumentId = InstrumentId(0);
pub const ETH: InstrumentId = InstrumentId(1);

pub fn asset(text: &str) -> Asset {
    text.parse().unwrap()
}

pub fn cash(text: &str) -> Cash {
    Cash::parse(text).unwrap()
}

/// An order of BTC-USD, as the venue is asked for it.
pub fn named(client_order_id: ClientOrderId) -> OrderRef {
    OrderRef { client_order_id, symbol: symbol("BTC-USD") }
}

pub fn id(n: u64) -> ClientOrderId {
    ClientOrderId::derive(Incarnation(7), Uid(uuid::Uuid::from_u128(1)), IntentId(n))
}

/// When bar `n` opens.
pub fn minute(n: i64) -> Timestamp {
    Timestamp(n * 60_000)
}

/// BTC: tick 0.01, lot 0.001, minimum 10. ETH: tick 0.05, lot 0.01, minimum 5.
pub fn rules() -> Vec<InstrumentRules> {
    let rules = |symbol: &str, tick, lot, min| {
        InstrumentRules::from_decimals(symbol.parse().unwrap(), tick, lot, min).unwrap()
    };
    vec![rules("BTC-USD", "0.01", "0.001", "10"), rules("ETH-USD", "0.05", "0.01", "5")]
}

/// 10 000 USD, no fees, no slippage, no latency, all of the volume.
pub fn free_of_charge() -> PaperConfig {
    PaperConfig {
        balances: vec![(asset("USD"), cash("10000"))],
        fees: FeeConfig { maker: BasisPoints(0), taker: BasisPoints(0), paid_in: FeeAsset::Quote },
        slippage: BasisPoints(0),
        latency: Millis(0),
        volume_share: Percent::ONE_HUNDRED,
    }
}

/// The defaults: 40/60 bps, 2 bps of slippage, 150 ms, a tenth of the volume.
pub fn usual() -> PaperConfig {
    PaperConfig {
        fees: FeeConfig {
            maker: BasisPoints::parse("40").unwrap(),
            taker: BasisPoints::parse("60").unwrap(),
            paid_in: FeeAsset::Quote,
        },
        slippage: BasisPoints::parse("2").unwrap(),
        latency: Millis(150),
        volume_share: Percent::parse("10").unwrap(),
        ..free_of_charge()
    }
}

pub struct Desk {
    pub venue: PaperVenue,
    pub rules: Vec<InstrumentRules>,
    pub next: u64,
}

impl Desk {
    pub fn new(config: &PaperConfig) -> Self {
        let rules = rules();
        let venue = PaperVenue::in_memory(config, &asset("USD"), &rules).unwrap();
        Self { venue, rules, next: 1 }
    }

    pub async fn stored(path: &Path, config: &PaperConfig) -> Self {
        let rules = rules();
        let venue = PaperVenue::open(path, config, &asset("USD"), &rules).await.unwrap();
        Self { venue, rules, next: 1 }
    }

    /// A desk whose BTC has been seen at 100, with minute 1 about to open.
    pub async fn seen_at_100(config: &PaperConfig) -> Self {
        let mut desk = Self::new(config);
        desk.calm(BTC, 0, "100").await;
        desk
    }

    /// Bar `n` of the instrument: open, high, low, close, volume.
    pub fn bar(
        &self,
        instrument: InstrumentId,
        n: i64,
        [open, high, low, close]: [&str; 4],
        volume: &str,
    ) -> Bar {
        let rules = &self.rules[instrument.index()];
        let price = |text| rules.parse_price(text).unwrap();
        Bar {
            open_time: minute(n),
            open: price(open),
            high: price(high),
            low: price(low),
            close: price(close),
            volume: rules.parse_quantity(volume).unwrap(),
        }
    }

    /// Both phases of a bar in which the price stands still.
    pub async fn calm(&mut self, instrument: InstrumentId, n: i64, price: &str) -> PhaseOutcome {
        self.run(instrument, n, [price; 4], "1000").await
    }

    /// Both phases of a bar.
    pub async fn run(
        &mut self,
        instrument: InstrumentId,
        n: i64,
        prices: [&str; 4],
        volume: &str,
    ) -> PhaseOutcome {
        let bar = self.bar(instrument, n, prices, volume);
        let mut outcome = self.phase(Phase::Open, instrument, &bar).await;
        let range = self.phase(Phase::Range, instrument, &bar).await;
        outcome.fills.extend(range.fills);
        outcome.expired.extend(range.expired);
        outcome
    }

    pub async fn phase(&mut self, phase: Phase, instrument: InstrumentId, bar: &Bar) -> PhaseOutcome {
        match phase {
            Phase::Open => self.venue.on_open(instrument, bar, MINUTE).await.unwrap(),
            Phase::Range => self.venue.on_range(instrument, bar, MINUTE).await.unwrap(),
        }
    }

    pub fn request(
        &mut self,
        instrument: InstrumentId,
        side: Side,
        kind: OrderKind,
        quantity: &str,
    ) -> OrderRequest {
        let rules = &self.rules[instrument.index()];
        let n = self.next;
        self.next += 1;
        OrderRequest {
            intent: IntentId(n),
            attempt: Attempt(1),
            client_order_id: id(n),
            symbol: rules.symbol.clone(),
            side,
            kind,
            quantity: rules.parse_quantity(quantity).unwrap(),
            valid_until: Timestamp(i64::MAX),
            signature: VenueTerms::default().sign(Timestamp(0)),
        }
    }

    pub fn limit(&self, price: &str) -> OrderKind {
        OrderKind::Limit { price: self.rules[0].parse_price(price).unwrap() }
    }

    pub fn stop(&self, trigger: &str) -> OrderKind {
        OrderKind::Stop { trigger: self.rules[0].parse_price(trigger).unwrap() }
    }

    /// Places an order in BTC that must be accepted.
    pub async fn place(
        &mut self,
        side: Side,
        kind: OrderKind,
        quantity: &str,
        at: Timestamp,
    ) -> ClientOrderId {
        let request = self.request(BTC, side, kind, quantity);
        let outcome = self.venue.place(&request, at).await;
        assert!(matches!(outcome, PlaceOutcome::Accepted { .. }), "{outcome:?}");
        request.client_order_id
    }

    /// Places an order in BTC that must be refused, and says by which code.
    pub async fn refused(&mut self, side: Side, kind: OrderKind, quantity: &str, at: Timestamp) -> String {
        let request = self.request(BTC, side, kind, quantity);
        refusal(self.venue.place(&request, at).await)
    }

    pub async fn cancel(&mut self, order: ClientOrderId) -> CancelOutcome {
        self.venue.cancel(&named(order), minute(0)).await
    }

    pub async fn order(&mut self, order: ClientOrderId) -> OrderSnapshot {
        match self.venue.lookup(&named(order)).await {
            Lookup::Found(order) => order,
            other => panic!("{other:?}"),
        }
    }

    pub async fn state(&mut self, order: ClientOrderId) -> OrderState {
        self.order(order).await.state
    }

    /// Total and free balance of an asset, as text.
    pub async fn balance(&mut self, name: &str) -> (String, String) {
        let balances = self.venue.balances().await.unwrap();
        let found = balances.into_iter().find(|b| b.asset.as_str() == name).unwrap();
        (found.total.to_string(), found.free.to_string())
    }

    pub async fn all_fills(&mut self) -> Vec<Fill> {
        let mut all = Vec::new();
        let mut cursor = FillCursor::default();
        loop {
            let page = self.venue.fills_since(&cursor).await.unwrap();
            all.extend(page.fills);
            if page.next == cursor {
                return all;
            }
            cursor = page.next;
        }
    }

    /// Price, quantity and fee with its asset, as text.
    pub fn text(&self, fill: &Fill) -> String {
        let rules = self.rules.iter().find(|r| r.symbol == fill.symbol).unwrap();
        let (price, quantity) = (rules.price_text(fill.price), rules.quantity_text(fill.quantity));
        format!("{quantity} at {price}, fee {} {}, {:?}", fill.fee.amount, fill.fee.asset, fill.liquidity)
    }

    pub fn texts(&self, outcome: &PhaseOutcome) -> Vec<String> {
        outcome.fills.iter().map(|fill| self.text(fill)).collect()
    }
}

pub fn refusal(outcome: PlaceOutcome) -> String {
    match outcome {
        PlaceOutcome::Rejected { code, message } => {
            assert!(message.contains(';'), "no fix in {message:?}");
            code.to_string()
        }
        other => panic!("{other:?}"),
    }
}

pub fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}
