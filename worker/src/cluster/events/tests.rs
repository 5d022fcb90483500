//! What is noted of a life of orders and halts, told to a sink beside an engine with one strategy.

use tradewind_core::config::{
    Config, DeletionPolicy, DesiredState, FeeAsset, FeeConfig, InstrumentState, LedgerConfig,
    MarketDataConfig, Mode, PaperConfig, Protection, ResolvedAccount, ResolvedStrategy, SignalConfig,
    SizingConfig, Speed, StrategyInstrument, VenueConfig,
};
use tradewind_core::engine::InstrumentSpec;
use tradewind_core::event::{Event as CoreEvent, EventKind};
use tradewind_core::halt::{HaltAction, HaltOrigin};
use tradewind_core::limits::{AccountLimits, Limits};
use tradewind_core::money::{BasisPoints, Cash, Percent, Price, Quantity};
use tradewind_core::order::{Attempt, ClientOrderId, Epoch, Fee, Incarnation, Liquidity, Purpose, TradeId};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_core::time::{Millis, Timestamp};

use super::*;

fn uid(number: u128) -> Uid {
    Uid(uuid::Uuid::from_u128(number))
}

fn btc() -> Symbol {
    "BTC-USD".parse().unwrap()
}

fn strategy() -> ResolvedStrategy {
    ResolvedStrategy {
        uid: uid(1),
        name: "trend".into(),
        generation: 1,
        desired_state: DesiredState::Trading,
        mode: Mode::Paper,
        capital: Cash::parse("5000").unwrap(),
        instruments: vec![StrategyInstrument { symbol: btc(), state: InstrumentState::Active }],
        bar: Millis(3_600_000),
        signal: SignalConfig::EmaCross { fast: 10, slow: 30 },
        sizing: SizingConfig::FixedPercent { percent: Percent(50_000) },
        stop_loss: None,
        protection: Protection::AtVenue,
        policy: None,
        limits: Limits::defaults(),
        breakers: Vec::new(),
        deletion_policy: DeletionPolicy::CancelEntries,
    }
}

fn state() -> State {
    let account = ResolvedAccount {
        uid: uid(1000),
        namespace: "desk".into(),
        name: "paper".into(),
        quote_currency: "USD".parse().unwrap(),
        venue: VenueConfig::Paper(PaperConfig {
            balances: Vec::new(),
            fees: FeeConfig { maker: BasisPoints(0), taker: BasisPoints(0), paid_in: FeeAsset::Quote },
            slippage: BasisPoints(0),
            latency: Millis(0),
            volume_share: Percent::ONE_HUNDRED,
        }),
        market_data: MarketDataConfig::Replay { data_set: "test".into(), speed: Speed::Max },
        policy: "desk".into(),
        limits: AccountLimits::defaults(),
        breakers: Vec::new(),
        bus: None,
        ledger: LedgerConfig::default(),
    };
    let rules = InstrumentRules::from_decimals(btc(), "0.01", "0.0001", "1").unwrap();
    let specs = vec![InstrumentSpec { rules, interval: Millis(3_600_000) }];
    let identity = LedgerIdentity { incarnation: Incarnation(1), epoch: Epoch(1) };
    let mut state = State::new(account.clone(), specs, identity);
    let config = Config { account, strategies: vec![strategy()] };
    let kind = EventKind::ConfigChange(Box::new(config));
    state.step(&CoreEvent { now: Timestamp(0), kind }, &mut Vec::new());
    state
}

/// A sink, where its notes come out, and the engine beside it.
fn sink() -> (Sink, mpsc::Receiver<Note>, State) {
    let about = About {
        namespace: "desk".to_owned(),
        account: "paper".to_owned(),
        account_uid: uid(1000),
        pod: ("paper-0".to_owned(), "pod-uid".to_owned()),
    };
    let (events, notes) = Events::queue();
    let state = state();
    (Sink::new(events, about, &state), notes, state)
}

/// Buy 0.25 BTC at the market.
fn intent(id: u64) -> Intent {
    Intent {
        id: IntentId(id),
        client_order_id: ClientOrderId(uuid::Uuid::from_u128(0xc0de)),
        strategy: uid(1),
        symbol: btc(),
        side: Side::Buy,
        kind: OrderKind::Market,
        quantity: Quantity(2_500),
        purpose: Purpose::Entry,
        reference_price: Price(6_000_000),
        decision_bar: Timestamp(0),
        decided_at: Timestamp(0),
        valid_until: Timestamp(0),
        epoch: Epoch(1),
    }
}

fn step(id: u64, to: OrderState, detail: Option<&str>) -> Record {
    Record::Transition(Transition {
        intent: IntentId(id),
        attempt: Attempt(1),
        epoch: Epoch(1),
        from: OrderState::Intended,
        to,
        at: Timestamp(0),
        detail: detail.map(str::to_owned),
    })
}

fn fill(id: u64) -> Record {
    let fill = Fill {
        trade_id: TradeId("t".into()),
        client_order_id: intent(id).client_order_id,
        symbol: btc(),
        side: Side::Buy,
        price: Price(6_000_010),
        quantity: Quantity(1_000),
        fee: Fee { asset: "USD".parse().unwrap(), amount: Cash::parse("3.6").unwrap() },
        liquidity: Liquidity::Taker,
        at: Timestamp(0),
    };
    Record::Fill { intent: IntentId(id), fill }
}

fn halt(name: &str, scope: HaltScope) -> Halt {
    Halt {
        name: name.into(),
        scope,
        instruments: Vec::new(),
        action: HaltAction::CancelEntries,
        origin: HaltOrigin::Manual,
        reason: "exchange incident".to_owned(),
        requested_by: "alice".to_owned(),
        since: Timestamp(0),
    }
}

fn set(halt: Halt) -> Record {
    Record::Halt(HaltChange::Set(halt))
}

fn cleared(name: &str) -> Record {
    Record::Halt(HaltChange::Cleared { name: name.into(), by: "bob".to_owned(), at: Timestamp(0) })
}

fn all(notes: &mut mpsc::Receiver<Note>) -> Vec<Note> {
    std::iter::from_fn(|| notes.try_recv().ok()).collect()
}

/// Reason, kind and name of what it is about, kind and name of what is related, text.
fn words(note: &Note) -> [String; 4] {
    let named = |object: &ObjectReference| {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{} {}/{}", part(&object.kind), part(&object.namespace), part(&object.name))
    };
    let related = note.related.as_ref().map(named).unwrap_or_default();
    [note.reason.to_string(), named(&note.regarding), related, note.text.clone()]
}

#[test]
fn an_order_is_told_when_it_is_sent_filled_and_refused() {
    let (mut sink, mut notes, state) = sink();
    let records = [
        Record::Intent(intent(1)),
        step(1, OrderState::Sent, None),
        step(1, OrderState::Accepted, None),
        fill(1),
        step(1, OrderState::Filled, None),
        Record::Intent(intent(2)),
        step(2, OrderState::Rejected, Some("insufficient funds")),
        Record::Intent(intent(3)),
        step(3, OrderState::Denied, Some("not sent: too small")),
    ];
    for record in &records {
        sink.on_record(&state, record);
    }
    let id = "00000000-0000-0000-0000-00000000c0de";
    let order = format!("BUY 0.25 BTC-USD market (Entry), order {id}");
    let refused = format!("{order} rejected by the venue: insufficient funds");
    let denied = format!("{order} not sent: too small");
    let notes = all(&mut notes);
    let expected = [
        ["OrderSent", &order],
        ["OrderFilled", "BUY 0.1 BTC-USD at 60000.1, fee 3.6 USD (Entry)"],
        ["OrderRejected", &refused],
        ["OrderDenied", &denied],
    ];
    let expected = expected.map(|[reason, text]| {
        [reason, "TradingStrategy desk/trend", "Pod desk/paper-0", text].map(str::to_owned)
    });
    assert_eq!(notes.iter().map(words).collect::<Vec<_>>(), expected);
    let types: Vec<EventType> = notes.iter().map(|note| note.type_).collect();
    assert_eq!(types, [EventType::Normal, EventType::Normal, EventType::Warning, EventType::Warning]);
    assert_eq!(notes[0].regarding.uid, Some(uid(1).to_string()));
}

#[test]
fn a_halt_is_told_of_whom_it_reaches_once_and_so_is_its_end() {
    let (mut sink, mut notes, state) = sink();
    let strategies = HaltScope::Strategies(vec![uid(1), uid(99)]);
    let records = [
        set(halt("strategy.trend.latched", strategies.clone())),
        set(halt("strategy.trend.latched", strategies)),
        set(halt("ops/freeze", HaltScope::Account)),
        cleared("ops/freeze"),
        cleared("never set"),
    ];
    for record in &records {
        sink.on_record(&state, record);
    }
    let (trend, paper) = ("TradingStrategy desk/trend", "ExchangeAccount desk/paper");
    let (latch, freeze) = ("TradingHalt desk/strategy.trend.latched", "TradingHalt ops/freeze");
    let expected = [
        [
            "Halted",
            trend,
            latch,
            "CancelEntries by strategy.trend.latched: exchange incident (requested by alice)",
        ],
        ["Halted", paper, freeze, "CancelEntries by ops/freeze: exchange incident (requested by alice)"],
        ["Resumed", paper, freeze, "ops/freeze resumed by bob"],
    ];
    let told: Vec<_> = all(&mut notes).iter().map(words).collect();
    assert_eq!(told, expected.map(|note| note.map(str::to_owned)));
}

#[test]
fn a_halt_known_from_before_is_news_only_when_it_ends() {
    let mut state = state();
    let known = halt("strategy.trend.latched", HaltScope::Strategies(vec![uid(1)]));
    let kind = EventKind::HaltChange(HaltChange::Set(known.clone()));
    state.step(&CoreEvent { now: Timestamp(0), kind }, &mut Vec::new());
    let (other, _, _) = sink();
    let (events, mut notes) = Events::queue();
    let mut sink = Sink::new(events, other.about, &state);
    sink.on_record(&state, &set(known));
    sink.on_record(&state, &cleared("strategy.trend.latched"));
    let reasons: Vec<Reason> = all(&mut notes).iter().map(|note| note.reason).collect();
    assert_eq!(reasons, [Reason::Resumed]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_fills_leaves_room_for_halts_and_is_counted() {
    let (mut sink, mut notes, state) = sink();
    sink.on_record(&state, &Record::Intent(intent(1)));
    for _ in 0..100 {
        sink.on_record(&state, &fill(1));
    }
    sink.on_record(&state, &set(halt("ops/freeze", HaltScope::Account)));
    let told = all(&mut notes);
    assert_eq!(told.iter().filter(|note| note.reason == Reason::OrderFilled).count(), 40);
    assert_eq!(told.last().map(|note| note.reason), Some(Reason::Halted));
    assert_eq!(sink.events.dropped.load(Ordering::Relaxed), 60);
    tokio::time::advance(Duration::from_secs(10)).await;
    for _ in 0..100 {
        sink.on_record(&state, &fill(1));
    }
    // Five in ten seconds, of which one made up for the halt.
    assert_eq!(all(&mut notes).len(), 4);
}

#[test]
fn a_queue_nobody_empties_drops_and_counts() {
    let (events, _notes) = Events::queue();
    let (sink, _, _) = sink();
    let note = Note {
        type_: EventType::Normal,
        reason: Reason::OrderSent,
        action: "Enter",
        text: String::new(),
        regarding: sink.about.account(),
        related: None,
    };
    for _ in 0..QUEUE + 7 {
        events.send(note.clone());
    }
    assert_eq!(events.dropped.load(Ordering::Relaxed), 7);
}

#[test]
fn a_long_text_is_cut_to_what_the_api_takes_between_characters() {
    let cut = cut("é".repeat(2_000));
    assert_eq!(cut.len(), 1_000);
    assert!(cut.chars().all(|c| c == 'é'));
}

#[tokio::test]
async fn only_notes_that_say_the_same_are_counted_as_one() {
    let (asked, mut requests) = mpsc::unbounded_channel();
    let answer = async move |method: axum::http::Method, body: String| {
        let event: serde_json::Value = serde_json::from_str(&body).unwrap();
        asked.send(format!("{method} {}", event["note"].as_str().unwrap())).unwrap();
        body
    };
    let client = Client::new(axum::Router::new().fallback(answer), "desk");
    let (events, published) = Events::start(client, "paper-0");
    for text in ["BUY 1", "BUY 2", "BUY 1"] {
        events.send(Note {
            type_: EventType::Normal,
            reason: Reason::OrderFilled,
            action: "Enter",
            text: text.to_owned(),
            regarding: ObjectReference { name: Some("trend".to_owned()), ..ObjectReference::default() },
            related: None,
        });
    }
    drop(events);
    published.await.unwrap();
    let asked: Vec<String> = std::iter::from_fn(|| requests.try_recv().ok()).collect();
    assert_eq!(asked, ["POST BUY 1", "POST BUY 2", "PATCH BUY 1"]);
}

#[tokio::test]
async fn texts_are_remembered_up_to_a_bound() {
    let client = Client::new(axum::Router::new(), "desk");
    let reporter = Reporter { controller: WORKER_MANAGER.to_owned(), instance: None };
    let mut recorders = Recorders { client, reporter, by_text: HashMap::new() };
    for number in 0..2 * MOST_TEXTS {
        recorders.of(&number.to_string());
    }
    assert!(recorders.by_text.len() <= MOST_TEXTS);
}
