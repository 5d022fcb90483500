//! Whatever is ordered and whatever the price does: nothing is negative, nothing is made or lost, and no order gets more
//! or better than it may. The balances are held against a plain model that knows only the fills.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tradewind_core::config::{FeeAsset, FeeConfig, PaperConfig};
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::money::{BasisPoints, Percent, Price, Quantity};
use tradewind_core::order::{Fill, OrderKind, OrderRequest, Side};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::{PhaseOutcome, PlaceOutcome, Venue};

use crate::desk::{Desk, MINUTE, asset, cash, id, minute, named};

#[derive(Debug, Clone)]
pub enum Step {
    Place { instrument: u16, buy: bool, kind: u8, price: i64, lots: i64 },
    Cancel { order: u64 },
    Bar { instrument: u16, prices: [i64; 4], volume: i64 },
}

pub fn step() -> impl Strategy<Value = Step> {
    let price = 1_i64..400;
    prop_oneof![
        3 => (0_u16..2, any::<bool>(), 0_u8..3, price.clone(), 1_i64..3000).prop_map(
            |(instrument, buy, kind, price, lots)| Step::Place { instrument, buy, kind, price, lots }
        ),
        1 => (1_u64..30).prop_map(|order| Step::Cancel { order }),
        4 => (0_u16..2, [price.clone(), price.clone(), price.clone(), price], 0_i64..20_000)
            .prop_map(|(instrument, prices, volume)| Step::Bar { instrument, prices, volume }),
    ]
}

pub fn settings() -> impl Strategy<Value = PaperConfig> {
    let rates = (0_i64..3_000_000, 0_i64..3_000_000, 0_i64..2_000_000);
    (rates, 0_u8..3, prop_oneof![Just(0_i64), Just(150), Just(90_000)], 1_i64..=100).prop_map(
        |((maker, taker, slippage), paid_in, latency, share)| PaperConfig {
            balances: ["USD", "BTC", "BNB"].map(|a| (asset(a), cash("500"))).into(),
            fees: FeeConfig {
                maker: BasisPoints(maker),
                taker: BasisPoints(taker),
                paid_in: match paid_in {
                    0 => FeeAsset::Quote,
                    1 => FeeAsset::Received,
                    _ => FeeAsset::Other { asset: asset("BNB"), price: cash("0.03") },
                },
            },
            slippage: BasisPoints(slippage),
            latency: Millis(latency),
            volume_share: Percent(share * 10_000),
        },
    )
}

/// Lots of BTC are 0.001 and ticks 0.01; of ETH 0.01 and 0.05. Prices here are whole ticks times 100.
pub fn request(desk: &mut Desk, step: &Step) -> Option<OrderRequest> {
    let Step::Place { instrument, buy, kind, price, lots } = step else { return None };
    let rules = &desk.rules[usize::from(*instrument)];
    let price = Price(price * rules.tick.0 * 100);
    let lot = rules.lot.0;
    let kind = match kind {
        0 => OrderKind::Market,
        1 => OrderKind::Limit { price },
        _ => OrderKind::Stop { trigger: price },
    };
    let side = if *buy { Side::Buy } else { Side::Sell };
    let mut request = desk.request(InstrumentId(*instrument), side, kind, "1");
    request.quantity = Quantity(lots * lot);
    Some(request)
}

pub fn bar(desk: &Desk, step: &Step, n: i64) -> Option<(InstrumentId, Bar)> {
    let Step::Bar { instrument, prices, volume } = step else { return None };
    let rules = &desk.rules[usize::from(*instrument)];
    let mut sorted = *prices;
    sorted.sort_unstable();
    let price = |ticks: i64| Price(ticks * rules.tick.0 * 100);
    let bar = Bar {
        open_time: minute(n),
        open: price(prices[0]),
        high: price(sorted[3]),
        low: price(sorted[0]),
        close: price(prices[3]),
        volume: Quantity(*volume),
    };
    Some((InstrumentId(*instrument), bar))
}

/// Balances by the fills alone, in units of 10^-18.
struct Model {
    balances: BTreeMap<String, i128>,
    filled: BTreeMap<u64, i64>,
    accepted: BTreeMap<u64, OrderRequest>,
}

impl Model {
    fn book(&mut self, fill: &Fill) {
        // BTC: 0.01 * 0.001 = 10^-5; ETH: 0.01 * 0.01 = 10^-4.
        let (unit, lot) = if fill.symbol.base().as_str() == "BTC" { (13, 15) } else { (14, 16) };
        let notional = i128::from(fill.price.0) * i128::from(fill.quantity.0) * 10_i128.pow(unit);
        let base = i128::from(fill.quantity.0) * 10_i128.pow(lot);
        let sign = if fill.side == Side::Buy { 1 } else { -1 };
        *self.balances.entry(fill.symbol.base().to_string()).or_default() += sign * base;
        *self.balances.entry("USD".into()).or_default() -= sign * notional;
        *self.balances.entry(fill.fee.asset.to_string()).or_default() -= fill.fee.amount.0;
        assert!(fill.fee.amount.0 >= 0 && fill.price.0 > 0 && fill.quantity.0 > 0);
        let (number, request) =
            self.accepted.iter().find(|(_, r)| r.client_order_id == fill.client_order_id).expect("our order");
        assert_eq!((request.side, &request.symbol), (fill.side, &fill.symbol));
        match (request.kind, fill.side) {
            (OrderKind::Limit { price }, Side::Buy) => assert!(fill.price <= price),
            (OrderKind::Limit { price }, Side::Sell) => assert!(fill.price >= price),
            _ => {}
        }
        let filled = self.filled.entry(*number).or_default();
        *filled += fill.quantity.0;
        assert!(*filled <= request.quantity.0, "order {number} filled beyond its quantity");
    }

    async fn check(&self, desk: &mut Desk) {
        for balance in desk.venue.balances().await.unwrap() {
            let expected = self.balances.get(balance.asset.as_str()).copied().unwrap_or(0);
            assert_eq!(balance.total.0, expected, "{}", balance.asset);
            assert!(balance.free.0 >= 0 && balance.free <= balance.total, "{balance:?}");
        }
    }
}

async fn run(config: &PaperConfig, steps: &[Step]) {
    let mut desk = Desk::new(config);
    let balances = config.balances.iter().map(|(a, b)| (a.to_string(), b.0)).collect();
    let mut model = Model { balances, filled: BTreeMap::new(), accepted: BTreeMap::new() };
    for (n, step) in (0_i64..).zip(steps) {
        if let Some(request) = request(&mut desk, step)
            && let PlaceOutcome::Accepted { .. } = desk.venue.place(&request, minute(n)).await
        {
            model.accepted.insert(request.intent.0, request);
        }
        if let Step::Cancel { order } = step {
            desk.venue.cancel(&named(id(*order)), minute(n)).await;
        }
        if let Some((instrument, bar)) = bar(&desk, step, n) {
            let mut traded = 0;
            for phase in [tradewind_venues::Phase::Open, tradewind_venues::Phase::Range] {
                let PhaseOutcome { fills, .. } = desk.phase(phase, instrument, &bar).await;
                for fill in &fills {
                    model.book(fill);
                    traded += fill.quantity.0;
                    assert!(fill.at >= bar.open_time && fill.at < Timestamp(bar.open_time.0 + MINUTE.0));
                }
                model.check(&mut desk).await;
            }
            let share = i128::from(bar.volume.0) * i128::from(config.volume_share.0) / 1_000_000;
            assert!(i128::from(traded) <= share, "traded {traded} of {share}");
        }
        model.check(&mut desk).await;
    }
    // Cancelling everything frees everything.
    for order in desk.venue.open_orders().await.unwrap().orders {
        desk.venue.cancel(&named(order.client_order_id), minute(1_000)).await;
    }
    for balance in desk.venue.balances().await.unwrap() {
        assert_eq!(balance.free, balance.total);
    }
    let told: i64 = desk.all_fills().await.iter().map(|fill| fill.quantity.0).sum();
    assert_eq!(told, model.filled.values().sum::<i64>(), "the port tells every fill once");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_negative_made_or_lost(config in settings(), steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(&config, &steps));
    }
}
