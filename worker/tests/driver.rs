//! The driver at an exchange of a test's own: a clock that is set by hand, requests that are counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use tradewind_core::config::{
    BinanceUsConfig, Config, DeletionPolicy, DesiredState, FeeAsset, FeeConfig, InstrumentState,
    LedgerConfig, MarketDataConfig, Mode, ResolvedAccount, ResolvedStrategy, SignalConfig, SizingConfig,
    StrategyInstrument, VenueConfig,
};
use tradewind_core::engine::{InstrumentSpec, State};
use tradewind_core::event::{Record, Report};
use tradewind_core::instrument::{Bar, InstrumentId, InstrumentRules};
use tradewind_core::limits::{AccountLimits, Limits};
use tradewind_core::money::{BasisPoints, Cash, Percent, Quantity};
use tradewind_core::name::Uid;
use tradewind_core::order::{Epoch, Incarnation, OrderRef, OrderRequest, OrderState};
use tradewind_core::recovery::{FillCursor, LedgerIdentity};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::MemoryLedger;
use tradewind_venues::{
    AssetBalance, CancelOutcome, DrivenVenue, FillPage, Lookup, OpenOrders, OrderSnapshot, PlaceOutcome,
    Venue, VenueError, VenueTerms,
};
use tradewind_worker::driver::{Driver, DriverError, Journal, Observer, Start};

const MINUTE: i64 = 60_000;
const START: i64 = 1_767_225_600_000;
const TERMS: VenueTerms =
    VenueTerms { signature_life: Millis(5_000), clock_skew: Millis(500), query_lag: Millis(5_000) };

/// What the exchange is told to do and what it has seen.
#[derive(Default)]
struct World {
    now: i64,
    sent: Vec<OrderRequest>,
    answers: bool,
    /// Where the last order stands when it is looked up; none: it is not found.
    stands: Option<OrderState>,
    /// It is found by a search only.
    unlisted: bool,
    /// In which spans orders were searched for.
    searched: Vec<(i64, i64)>,
}

struct Exchange(Rc<RefCell<World>>);

impl Venue for Exchange {
    fn terms(&self) -> VenueTerms {
        TERMS
    }

    async fn place(&mut self, request: &OrderRequest, _now: Timestamp) -> PlaceOutcome {
        let mut world = self.0.borrow_mut();
        world.sent.push(request.clone());
        if world.answers {
            PlaceOutcome::Accepted { venue_order_id: "V1".into() }
        } else {
            PlaceOutcome::Unknown { message: "time-out".to_owned() }
        }
    }

    async fn cancel(&mut self, _order: &OrderRef, _now: Timestamp) -> CancelOutcome {
        CancelOutcome::NotFound
    }

    async fn lookup(&mut self, order: &OrderRef) -> Lookup {
        let world = self.0.borrow();
        if world.unlisted { Lookup::NotFound } else { world.find(order) }
    }

    async fn search(&mut self, order: &OrderRef, span: Range<Timestamp>) -> Lookup {
        self.0.borrow_mut().searched.push((span.start.0, span.end.0));
        self.0.borrow().find(order)
    }

    async fn open_orders(&mut self) -> Result<OpenOrders, VenueError> {
        Ok(OpenOrders::default())
    }

    async fn fills_since(&mut self, cursor: &FillCursor) -> Result<FillPage, VenueError> {
        Ok(FillPage { next: cursor.clone(), ..FillPage::default() })
    }

    async fn balances(&mut self) -> Result<Vec<AssetBalance>, VenueError> {
        if !self.0.borrow().answers {
            return Err(VenueError::NoTime);
        }
        let total = Cash::parse("10000").unwrap();
        Ok(vec![AssetBalance { asset: "USD".parse().unwrap(), total, free: total }])
    }

    async fn time(&mut self) -> Result<Timestamp, VenueError> {
        Ok(Timestamp(self.0.borrow().now))
    }
}

impl World {
    fn find(&self, order: &OrderRef) -> Lookup {
        let (Some(state), Some(sent)) = (self.stands, self.sent.last()) else { return Lookup::NotFound };
        assert_eq!(sent.client_order_id, order.client_order_id);
        Lookup::Found(OrderSnapshot {
            client_order_id: sent.client_order_id,
            venue_order_id: "V1".into(),
            symbol: sent.symbol.clone(),
            side: sent.side,
            kind: sent.kind,
            quantity: sent.quantity,
            filled: Quantity(0),
            state,
        })
    }
}

impl DrivenVenue for Exchange {
    fn clock(&self) -> Option<Timestamp> {
        Some(Timestamp(self.0.borrow().now))
    }
}

struct Nobody;

impl Observer for Nobody {
    fn on_report(&mut self, _: &State, _: &Report) {}
    fn on_record(&mut self, _: &State, _: &Record) {}
}

fn rules() -> InstrumentRules {
    InstrumentRules::from_decimals("BTC-USD".parse().unwrap(), "0.01", "0.001", "1").unwrap()
}

fn config() -> Config {
    let strategy = ResolvedStrategy {
        uid: Uid(uuid::Uuid::from_u128(2)),
        name: "rise".into(),
        generation: 1,
        desired_state: DesiredState::Trading,
        mode: Mode::Live,
        capital: Cash::parse("5000").unwrap(),
        instruments: vec![StrategyInstrument {
            symbol: "BTC-USD".parse().unwrap(),
            state: InstrumentState::Active,
        }],
        bar: Millis(MINUTE),
        signal: SignalConfig::EmaCross { fast: 1, slow: 2 },
        sizing: SizingConfig::FixedPercent { percent: Percent(50_000) },
        stop_loss: Some(Percent(50_000)),
        protection: tradewind_core::config::Protection::AtVenue,
        policy: None,
        limits: Limits { min_confidence: Percent(0), ..Limits::defaults() },
        breakers: Vec::new(),
        deletion_policy: DeletionPolicy::CancelEntries,
    };
    let account = ResolvedAccount {
        uid: Uid(uuid::Uuid::from_u128(1)),
        namespace: "desk".into(),
        name: "real".into(),
        quote_currency: "USD".parse().unwrap(),
        venue: VenueConfig::BinanceUs(BinanceUsConfig {
            endpoint: "http://localhost".into(),
            credentials: "key".into(),
            fees: FeeConfig { maker: BasisPoints(0), taker: BasisPoints(0), paid_in: FeeAsset::Quote },
            slippage: BasisPoints(0),
        }),
        market_data: MarketDataConfig::Venue { bar: Millis(MINUTE) },
        policy: "limits".into(),
        limits: AccountLimits::defaults(),
        breakers: Vec::new(),
        bus: None,
        ledger: LedgerConfig::default(),
    };
    Config { account, strategies: vec![strategy] }
}

/// A driver on that ledger.
async fn driver(
    world: &Rc<RefCell<World>>,
    ledger: MemoryLedger,
    lease: Millis,
) -> Driver<MemoryLedger, Exchange, Nobody> {
    let start = Start {
        config: config(),
        instruments: vec![InstrumentSpec { rules: rules(), interval: Millis(MINUTE) }],
        ledger: Some(ledger),
        identity: identity(1),
        venue: Exchange(Rc::clone(world)),
        lease,
        journal: Journal::keeping(vec![rules()]),
        observer: Nobody,
    };
    Driver::recover(start).await.unwrap()
}

/// A driver on a ledger of its own that has settled and may send.
async fn settled(world: &Rc<RefCell<World>>) -> Driver<MemoryLedger, Exchange, Nobody> {
    let mut driver = driver(world, MemoryLedger::new(identity(1)), Millis(0)).await;
    world.borrow_mut().now = driver.state.first_send().0;
    driver.settle(config(), Timestamp(0)).await.unwrap();
    driver
}

fn identity(epoch: u64) -> LedgerIdentity {
    LedgerIdentity { incarnation: Incarnation(7), epoch: Epoch(epoch) }
}

fn bar(minute: i64, price: &str) -> Bar {
    let price = rules().parse_price(price).unwrap();
    let open_time = Timestamp(START + minute * MINUTE);
    Bar { open_time, open: price, high: price, low: price, close: price, volume: Quantity(1_000_000) }
}

/// Fills the indicators, then tells the bar that rises, a second after its end.
async fn rise(world: &Rc<RefCell<World>>, driver: &mut Driver<MemoryLedger, Exchange, Nobody>) {
    for minute in 0..4 {
        driver.warm_up(InstrumentId(0), &bar(minute, "100"));
    }
    world.borrow_mut().now = START + 5 * MINUTE + 1_000;
    driver.on_bars(&[(InstrumentId(0), bar(4, "110"))], Millis(MINUTE)).await.unwrap();
}

fn world(answers: bool) -> Rc<RefCell<World>> {
    Rc::new(RefCell::new(World { now: START + 4 * MINUTE, answers, ..World::default() }))
}

#[tokio::test]
async fn a_worker_sends_nothing_until_what_its_predecessor_signed_is_over() {
    let world = world(true);
    // Opened a second before the rise is known, while another may believe in its Lease for a minute.
    world.borrow_mut().now = START + 5 * MINUTE;
    let mut driver = driver(&world, MemoryLedger::new(identity(1)), Millis(30_000)).await;
    let first_send = Timestamp(START + 5 * MINUTE + 30_000 + 5_000 + 500 + 5_000 + 1);
    assert_eq!(driver.state.first_send(), first_send);
    driver.settle(config(), Timestamp(0)).await.unwrap();
    rise(&world, &mut driver).await;
    assert_eq!(driver.state.open_orders().len(), 1, "decided, and durable");
    world.borrow_mut().now = first_send.0 - 1;
    driver.tick().await.unwrap();
    assert!(world.borrow().sent.is_empty());
    world.borrow_mut().now = first_send.0;
    driver.tick().await.unwrap();
    // Its own signature is over by then, so it is signed anew.
    let sent = world.borrow().sent.clone();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].signature.signed_at, first_send);
    assert_eq!(sent[0].signature.valid_until, first_send.plus(TERMS.signature_life));
}

#[tokio::test]
async fn what_the_engine_is_told_has_the_time_of_the_clock() {
    let world = world(true);
    let mut driver = settled(&world).await;
    rise(&world, &mut driver).await;
    let sent = world.borrow().sent.clone();
    assert_eq!(sent[0].signature.signed_at, Timestamp(START + 5 * MINUTE + 1_000), "heard, not ended");
    assert_eq!(driver.state.now(), Timestamp(START + 5 * MINUTE + 1_000));
}

#[tokio::test]
async fn an_order_of_unknown_outcome_is_sent_again_only_when_its_signature_skew_and_lag_are_over() {
    let world = world(true);
    let mut driver = settled(&world).await;
    world.borrow_mut().answers = false;
    rise(&world, &mut driver).await;
    assert!(driver.is_unsure());
    let sent_at = START + 5 * MINUTE + 1_000;
    world.borrow_mut().now = sent_at + 10_500;
    driver.settle_unknown().await.unwrap();
    assert_eq!((world.borrow().sent.len(), driver.is_unsure()), (1, true), "not found proves nothing yet");
    world.borrow_mut().now = sent_at + 10_501;
    driver.settle_unknown().await.unwrap();
    let sent = world.borrow().sent.clone();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].client_order_id, sent[1].client_order_id);
}

#[tokio::test]
async fn an_order_that_is_not_found_by_its_id_is_searched_for_before_it_is_sent_again() {
    let world = world(true);
    let mut driver = settled(&world).await;
    world.borrow_mut().answers = false;
    rise(&world, &mut driver).await;
    world.borrow_mut().unlisted = true;
    world.borrow_mut().stands = Some(OrderState::Accepted);
    let sent_at = START + 5 * MINUTE + 1_000;
    world.borrow_mut().now = sent_at + 10_500;
    driver.settle_unknown().await.unwrap();
    assert!(world.borrow().searched.is_empty(), "not found proves nothing yet");
    world.borrow_mut().now = sent_at + 10_501;
    driver.settle_unknown().await.unwrap();
    assert_eq!(driver.state.open_orders()[0].state, OrderState::Accepted);
    assert_eq!(world.borrow().sent.len(), 1);
    let span = (sent_at - 60_000, sent_at + 10_501 + 60_000);
    assert_eq!(world.borrow().searched, [span], "from a minute before it was signed until now");
}

#[tokio::test]
async fn an_order_that_is_looked_up_and_stands_as_refused_has_ended() {
    // Whether its answer was lost, or said that it was accepted.
    for answered in [false, true] {
        let world = world(true);
        let mut driver = settled(&world).await;
        world.borrow_mut().answers = answered;
        rise(&world, &mut driver).await;
        world.borrow_mut().answers = true;
        world.borrow_mut().stands = Some(OrderState::Rejected);
        world.borrow_mut().now += 60_000;
        driver.settle_unknown().await.unwrap();
        assert!(driver.state.open_orders().is_empty(), "{:?}", driver.state.open_orders());
        assert!(!driver.is_unsure(), "it is asked for no more");
        driver.tick().await.unwrap();
        assert_eq!(world.borrow().sent.len(), 1, "and not sent again");
    }
}

#[tokio::test]
async fn a_start_that_the_venue_interrupts_goes_on_where_it_was_and_books_the_first_balances_once() {
    let world = world(false);
    let mut driver = driver(&world, MemoryLedger::new(identity(1)), Millis(0)).await;
    let failed = driver.settle_orders(Timestamp(0)).await;
    assert!(matches!(failed, Err(DriverError::Venue(_))), "{failed:?}");
    world.borrow_mut().answers = true;
    for _ in 0..2 {
        driver.settle_orders(Timestamp(0)).await.unwrap();
    }
    driver.take_over(config(), Timestamp(0)).await.unwrap();
    assert_eq!(driver.state.account_view().cash, Cash::parse("10000").unwrap());
}

#[tokio::test]
async fn an_order_that_was_under_way_at_the_end_is_settled_by_the_next_start_under_the_venues_terms() {
    let world = world(true);
    let mut first = driver(&world, MemoryLedger::new(identity(1)), Millis(0)).await;
    world.borrow_mut().now = first.state.first_send().0;
    first.settle(config(), Timestamp(0)).await.unwrap();
    world.borrow_mut().answers = false;
    rise(&world, &mut first).await;
    let (_, _, ledger) = first.finish().await.unwrap();
    world.borrow_mut().answers = true;

    let mut second = driver(&world, ledger.unwrap(), Millis(0)).await;
    second.settle_orders(Timestamp(0)).await.unwrap();
    assert_eq!(second.state.open_orders()[0].state, OrderState::Unknown, "it may still arrive");
    assert_eq!(world.borrow().sent.len(), 1);
    world.borrow_mut().now = second.state.first_send().0;
    second.settle_orders(Timestamp(0)).await.unwrap();
    second.take_over(config(), Timestamp(0)).await.unwrap();
    let sent = world.borrow().sent.clone();
    assert_eq!(sent.len(), 2, "proven absent, signed anew and sent");
    assert_eq!(sent[0].client_order_id, sent[1].client_order_id);
}
