//! A desk to test the engine at: events in by hand, effects out in a list, no venue and no ledger.

#![allow(dead_code, unreachable_pub, clippy::wildcard_imports, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use tradewind_core::config::*;
use tradewind_core::decision::{Decision, Outcome};
use tradewind_core::denial::Denial;
use tradewind_core::engine::{InstrumentSpec, State};
use tradewind_core::event::{Effect, Effects, Event, EventKind, HaltChange, Record, Report, Transfer};
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::instrument::{Bar, InstrumentId, InstrumentRules};
use tradewind_core::limits::{AccountLimits, Breaker, Limits};
use tradewind_core::money::*;
use tradewind_core::name::Uid;
use tradewind_core::order::*;
use tradewind_core::recovery::{BookedFill, History, LedgerIdentity, OpenOrder};
use tradewind_core::time::{Millis, Timestamp};

pub const HOUR: i64 = 3_600_000;

pub fn cash(text: &str) -> Cash {
    Cash::parse(text).unwrap()
}

/// All alike, but for the ticks of ADA-USD, which are coarser than a price unit.
pub fn rules(symbol: &str) -> InstrumentRules {
    let tick = if symbol == "ADA-USD" { "0.05" } else { "0.01" };
    InstrumentRules::from_decimals(symbol.parse().unwrap(), tick, "0.001", "1").unwrap()
}

pub fn uid(number: u128) -> Uid {
    Uid(uuid::Uuid::from_u128(number))
}

pub fn account() -> ResolvedAccount {
    ResolvedAccount {
        uid: uid(1000),
        namespace: "default".into(),
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
    }
}

/// Buys when the close crosses above its two-bar average, sells when it crosses below; 5 % of equity a trade.
pub fn strategy(number: u128, symbols: &[&str]) -> ResolvedStrategy {
    ResolvedStrategy {
        uid: uid(number),
        name: smol_str::format_smolstr!("s{number}"),
        generation: 0,
        desired_state: DesiredState::Trading,
        mode: Mode::Paper,
        capital: cash("10000"),
        instruments: symbols
            .iter()
            .map(|s| StrategyInstrument { symbol: s.parse().unwrap(), state: InstrumentState::Active })
            .collect(),
        bar: Millis(HOUR),
        signal: SignalConfig::EmaCross { fast: 1, slow: 2 },
        sizing: SizingConfig::FixedPercent { percent: Percent(50_000) },
        stop_loss: None,
        protection: Protection::AtVenue,
        policy: None,
        limits: Limits { min_confidence: Percent(0), cooldown: Millis(0), ..Limits::defaults() },
        breakers: vec![Breaker { confirm_for: Millis(0), ..Breaker::default_drawdown() }],
        deletion_policy: DeletionPolicy::CancelEntries,
    }
}

pub fn halt(name: &str, scope: HaltScope, action: HaltAction) -> Halt {
    Halt {
        name: name.into(),
        scope,
        instruments: Vec::new(),
        action,
        origin: HaltOrigin::Manual,
        reason: "test".into(),
        requested_by: "a person".into(),
        since: Timestamp(0),
    }
}

pub struct Desk {
    pub state: State,
    /// Every event since the start, for replays.
    pub events: Vec<Event>,
    pub config: Config,
    pub hour: i64,
    pub specs: Vec<InstrumentSpec>,
    trades: u64,
}

impl Desk {
    pub fn new(strategies: Vec<ResolvedStrategy>, symbols: &[&str]) -> Self {
        Self::with(account(), strategies, symbols)
    }

    pub fn with(account: ResolvedAccount, strategies: Vec<ResolvedStrategy>, symbols: &[&str]) -> Self {
        let config = Config { account: account.clone(), strategies };
        let state = State::new(account, specs(symbols), identity());
        let mut desk = Self {
            state,
            events: Vec::new(),
            config: config.clone(),
            hour: 0,
            specs: specs(symbols),
            trades: 0,
        };
        desk.tell(EventKind::Transfer(Transfer {
            asset: "USD".parse().unwrap(),
            amount: cash("100000"),
            strategy: None,
            at: Timestamp(0),
        }));
        desk.tell(EventKind::ConfigChange(Box::new(config)));
        desk
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.hour * HOUR)
    }

    pub fn tell(&mut self, kind: EventKind) -> Effects {
        let event = Event { now: self.now(), kind };
        let mut effects = Vec::new();
        self.state.step(&event, &mut effects);
        self.events.push(event);
        effects
    }

    /// One hourly bar: flat at that price, unless told otherwise.
    pub fn bar(&mut self, instrument: u16, close: &str) -> Effects {
        self.bar_with(instrument, close, close, close)
    }

    pub fn bar_with(&mut self, instrument: u16, high: &str, low: &str, close: &str) -> Effects {
        let price = |text: &str| rules("BTC-USD").parse_price(text).unwrap();
        let open_time = self.now();
        self.hour += 1;
        let bar = Bar {
            open_time,
            open: price(close),
            high: price(high),
            low: price(low),
            close: price(close),
            volume: Quantity(1_000_000),
        };
        self.tell(EventKind::Bar { instrument: InstrumentId(instrument), bar })
    }

    /// The same bar for several instruments at one time.
    pub fn bars(&mut self, closes: &[(u16, &str)]) -> Effects {
        let start = self.hour;
        let mut all = Vec::new();
        for (instrument, close) in closes {
            self.hour = start;
            all.extend(self.bar(*instrument, close));
        }
        all
    }

    /// Flat bars until the signal is warm.
    pub fn warm(&mut self, instrument: u16) {
        for _ in 0..3 {
            self.bar(instrument, "100");
        }
    }

    /// Answers every signing with `Durable`; returns the requests sent.
    pub fn durable(&mut self, effects: &Effects) -> Vec<OrderRequest> {
        let ids: Vec<IntentId> = signings(effects).iter().map(|s| s.intent).collect();
        let mut sent = Vec::new();
        for intent in ids {
            sent.extend(requests(&self.tell(EventKind::Durable { intent })));
        }
        sent
    }

    pub fn update(&mut self, id: ClientOrderId, update: OrderUpdate) -> Effects {
        self.tell(EventKind::OrderUpdate { client_order_id: id, update })
    }

    pub fn accept(&mut self, request: &OrderRequest) -> Effects {
        self.update(request.client_order_id, OrderUpdate::Accepted { venue_order_id: "V".into() })
    }

    pub fn a_fill(&mut self, request: &OrderRequest, price: &str, quantity: Quantity) -> Fill {
        self.trades += 1;
        Fill {
            trade_id: TradeId(smol_str::format_smolstr!("T{}", self.trades)),
            client_order_id: request.client_order_id,
            symbol: request.symbol.clone(),
            side: request.side,
            price: rules("BTC-USD").parse_price(price).unwrap(),
            quantity,
            fee: Fee { asset: "USD".parse().unwrap(), amount: Cash::ZERO },
            liquidity: Liquidity::Taker,
            at: self.now(),
        }
    }

    pub fn fill(&mut self, request: &OrderRequest, price: &str) -> Effects {
        let fill = self.a_fill(request, price, request.quantity);
        self.tell(EventKind::Fill(fill))
    }

    /// Warms up, then buys at 110; returns the effects of the entry's fill.
    pub fn enter(&mut self, instrument: u16) -> Effects {
        self.warm(instrument);
        let effects = self.bar(instrument, "110");
        let sent = self.durable(&effects);
        assert_eq!(sent.len(), 1, "{effects:?}");
        self.accept(&sent[0]);
        self.fill(&sent[0], "110")
    }
}

pub fn specs(symbols: &[&str]) -> Vec<InstrumentSpec> {
    symbols.iter().map(|s| InstrumentSpec { rules: rules(s), interval: Millis(HOUR) }).collect()
}

pub fn identity() -> LedgerIdentity {
    LedgerIdentity { incarnation: Incarnation(7), epoch: Epoch(1) }
}

pub fn intents(effects: &Effects) -> Vec<&Intent> {
    effects
        .iter()
        .filter_map(|e| match e {
            Effect::Persist(record) => match record.as_ref() {
                Record::Intent(intent) => Some(intent),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

pub fn signings(effects: &Effects) -> Vec<Signing> {
    let signing =
        |record: &Record| if let Record::Signing(signing) = record { Some(signing.clone()) } else { None };
    records(effects).into_iter().filter_map(signing).collect()
}

pub fn records(effects: &Effects) -> Vec<&Record> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Persist(record) = e { Some(record.as_ref()) } else { None })
        .collect()
}

pub fn requests(effects: &Effects) -> Vec<OrderRequest> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Send(r) = e { Some(r.as_ref().clone()) } else { None })
        .collect()
}

pub fn cancels(effects: &Effects) -> Vec<ClientOrderId> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Cancel(id) = e { Some(id.client_order_id) } else { None })
        .collect()
}

pub fn decisions(effects: &Effects) -> Vec<Decision> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Report(Report::Decision(d)) = e { Some(*d) } else { None })
        .collect()
}

pub fn denial(effects: &Effects) -> Denial {
    match decisions(effects).as_slice() {
        [decision] => match decision.outcome {
            Outcome::Nothing(denial) => denial,
            other => panic!("not denied: {other:?}"),
        },
        other => panic!("not one decision: {other:?}"),
    }
}

/// An event that many milliseconds after a time; it is not kept.
pub fn later(desk: &mut Desk, start: Timestamp, ms: i64, kind: EventKind) -> Effects {
    let mut effects = Vec::new();
    desk.state.step(&Event { now: start.plus(Millis(ms)), kind }, &mut effects);
    effects
}

/// What a ledger would give back after the desk's events: a fold over the records the engine asked to persist.
pub fn history(desk: &Desk) -> History {
    let mut replay = State::new(desk.config.account.clone(), desk.specs.clone(), identity());
    let mut history =
        History { next_intent: 1, checkpoint: Some(desk.state.checkpoint()), ..History::default() };
    let mut orders: BTreeMap<IntentId, OpenOrder> = BTreeMap::new();
    let mut intents: BTreeMap<IntentId, Intent> = BTreeMap::new();
    for event in &desk.events {
        let mut effects = Vec::new();
        replay.step(event, &mut effects);
        for record in records(&effects) {
            match record {
                Record::Intent(intent) => {
                    history.next_intent = intent.id.0 + 1;
                    let (attempt, state) = (Attempt(0), OrderState::Intended);
                    orders.insert(
                        intent.id,
                        OpenOrder { intent: intent.clone(), attempt, state, signature: None },
                    );
                    intents.insert(intent.id, intent.clone());
                }
                Record::Signing(signing) => {
                    orders.get_mut(&signing.intent).unwrap().signature = Some(signing.signature);
                }
                Record::Transition(t) => {
                    let order = orders.get_mut(&t.intent).unwrap();
                    (order.attempt, order.state) = (t.attempt, t.to);
                }
                Record::Fill { intent, fill } => {
                    let Intent { strategy, purpose, .. } = intents[intent];
                    history.fills.push(BookedFill { intent: *intent, strategy, purpose, fill: fill.clone() });
                }
                Record::Transfer(transfer) => history.transfers.push(transfer.clone()),
                Record::Succession(done) => history.successions.push(*done),
                Record::Halt(HaltChange::Set(halt)) => history.halts.push(halt.clone()),
                Record::Halt(HaltChange::Cleared { name, .. }) => history.halts.retain(|h| h.name != *name),
                Record::Rebase { .. } | Record::External(_) => {}
            }
        }
    }
    history.open_orders = orders.into_values().filter(|o| !o.state.is_terminal()).collect();
    history
}
