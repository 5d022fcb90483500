//! A ledger with an outbox, what happens on it, and a bus that tells it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tradewind_core::config::RedisConfig;
use tradewind_core::event::{HaltChange, Record};
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{Cash, Percent, Price, Quantity};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{
    Attempt, ClientOrderId, Fee, Fill, Incarnation, Intent, IntentId, Liquidity, OrderKind, OrderState,
    Purpose, Side, TradeId, Transition,
};
use tradewind_core::time::Timestamp;
use tradewind_ledger::outbox::{Event, Limits};
use tradewind_ledger::{
    Batch, DecisionRow, EquityRow, Ledger, Outbox, OutboxOptions, OutboxReader, OutboxRow, SqliteLedger,
    SqliteOptions, SqliteReader,
};
use tradewind_worker::bus::{Bus, BusFacts, Place, Streams, Timing};
use uuid::Uuid;

use super::server::{DEADLINE, Redis};

pub(crate) const ACCOUNT: &str = "desk/paper";
const TAG: Incarnation = Incarnation(0xb05);

/// Fast enough for a test, slow enough for a busy machine.
pub(crate) const TIMING: Timing = Timing {
    answer: Duration::from_secs(1),
    look: Duration::from_millis(50),
    first_pause: Duration::from_millis(10),
    longest_pause: Duration::from_millis(100),
};

pub(crate) struct Desk {
    dir: TempDir,
    pub(crate) ledger: SqliteLedger,
    next: u64,
}

pub(crate) fn strategy() -> Uid {
    Uid(Uuid::from_u128(7))
}

fn btc() -> Symbol {
    "BTC-USD".parse().unwrap()
}

fn intent(id: u64, epoch: u64) -> Intent {
    Intent {
        id: IntentId(id),
        client_order_id: ClientOrderId::derive(TAG, strategy(), IntentId(id)),
        strategy: strategy(),
        symbol: btc(),
        side: Side::Buy,
        kind: OrderKind::Market,
        quantity: Quantity(100),
        purpose: Purpose::Entry,
        reference_price: Price(6_000_000),
        decision_bar: Timestamp(0),
        decided_at: Timestamp(1_000),
        valid_until: Timestamp(9_000),
        epoch: tradewind_core::order::Epoch(epoch),
    }
}

fn step(id: u64, epoch: u64, from: OrderState, to: OrderState) -> Record {
    Record::Transition(Transition {
        intent: IntentId(id),
        attempt: Attempt(1),
        epoch: tradewind_core::order::Epoch(epoch),
        from,
        to,
        at: Timestamp(2_000),
        detail: None,
    })
}

/// An order that is decided, sent and filled; a halt made and resumed.
fn story(id: u64, epoch: u64) -> Vec<Record> {
    let fill = Fill {
        trade_id: TradeId(format!("t-{id}").into()),
        client_order_id: ClientOrderId::derive(TAG, strategy(), IntentId(id)),
        symbol: btc(),
        side: Side::Buy,
        price: Price(6_000_010),
        quantity: Quantity(100),
        fee: Fee { asset: "USD".parse().unwrap(), amount: Cash::parse("0.36").unwrap() },
        liquidity: Liquidity::Taker,
        at: Timestamp(2_000),
    };
    let halt = Halt {
        name: format!("account.paper.h{id}").into(),
        scope: HaltScope::Account,
        instruments: vec![btc()],
        action: HaltAction::CancelEntries,
        origin: HaltOrigin::Manual,
        reason: "news".into(),
        requested_by: "trader".into(),
        since: Timestamp(2_000),
    };
    let cleared = HaltChange::Cleared { name: halt.name.clone(), by: "trader".into(), at: Timestamp(3_000) };
    vec![
        Record::Intent(intent(id, epoch)),
        step(id, epoch, OrderState::Intended, OrderState::Sent),
        Record::Fill { intent: IntentId(id), fill },
        step(id, epoch, OrderState::Sent, OrderState::Filled),
        Record::Halt(HaltChange::Set(halt)),
        Record::Halt(cleared),
    ]
}

fn decision(at: i64) -> DecisionRow {
    DecisionRow {
        at: Timestamp(at),
        bar: Timestamp(at - 60_000),
        strategy: strategy(),
        strategy_name: "btc-trend".into(),
        symbol: btc(),
        side: Some(Side::Buy),
        confidence: Some(Percent::parse("71.25").unwrap()),
        close: "60000.1".into(),
        position: "0".into(),
        readings: "{\"fast\":1.5,\"slow\":null}".into(),
        stage: "order".into(),
        outcome: "Enter".into(),
        detail: "buy 0.01 BTC".into(),
        intent: None,
    }
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let options = SqliteOptions {
            account: Uid(Uuid::from_u128(1)),
            account_name: "paper".into(),
            owner: "test".into(),
            now: Timestamp(1_700_000_000_000),
            incarnation: TAG,
            max_bytes: None,
        };
        let mut ledger = SqliteLedger::open(&dir.path().join("ledger.db"), &options).await.unwrap();
        let outbox = OutboxOptions { account: ACCOUNT.into(), now: options.now, limits: Limits::default() };
        ledger.publish(Some(&outbox)).await.unwrap();
        Self { dir, ledger, next: 1 }
    }

    /// So many orders, halts, signals, decisions and equity, a commit each: what a worker does.
    pub(crate) async fn trade(&mut self, times: u64) {
        let rules = [InstrumentRules::from_decimals(btc(), "0.01", "0.0001", "1").unwrap()];
        let names = [(strategy(), "btc-trend".into())];
        for _ in 0..times {
            let (id, epoch) = (self.next, self.ledger.identity().epoch.0);
            self.next += 1;
            let cash = Cash::parse("1000.5").unwrap();
            let equity = EquityRow {
                strategy: Some(strategy()),
                strategy_name: "btc-trend".into(),
                at: Timestamp(4_000),
                equity: cash,
                cash,
                reference: cash,
                exposure: Cash::ZERO,
            };
            let batch = Batch {
                records: &story(id, epoch),
                decisions: &[decision(60_000 * i64::try_from(id).unwrap())],
                equity: &[equity],
                rules: &rules,
                names: &names,
                ..Batch::default()
            };
            let commit = self.ledger.commit(&batch);
            tokio::time::timeout(DEADLINE, commit).await.expect("trading waits for nothing").unwrap();
        }
    }

    /// Every event there ever was.
    pub(crate) async fn events(&mut self) -> Vec<OutboxRow> {
        self.ledger.events_after(0, 1_000_000).await.unwrap()
    }

    pub(crate) fn bus(&self, place: Place) -> Told {
        let path = self.dir.path().join("ledger.db");
        let open = async move || SqliteReader::open(&path).await;
        let bus = Bus::start(place, self.ledger.tap(), open, TIMING).unwrap();
        Told { facts: bus.facts(), bus }
    }

    /// Waits until all there is is told, and holds the streams to it: everything once, and in order.
    pub(crate) async fn all_is_told(&mut self, told: &mut Told, redis: &Redis) {
        self.all_is_told_by(told, redis, None).await;
    }

    /// The same, where the test itself needs a password.
    pub(crate) async fn all_is_told_by(&mut self, told: &mut Told, redis: &Redis, password: Option<&str>) {
        let rows = self.events().await;
        let last = rows.last().unwrap().sequence;
        let (tap, end) = (self.ledger.tap(), tokio::time::Instant::now() + DEADLINE);
        // What Redis has lost is told again although it was told before.
        while tap.relayed() < last || entries_by(redis, password) != of_streams(&rows) {
            assert!(tokio::time::Instant::now() < end, "not told: {:?}", told.facts.borrow());
            tokio::time::timeout(TIMING.look, told.facts.changed()).await.ok();
        }
        told.until("the state is told", |facts| facts.waiting == 0 && facts.behind_since.is_none()).await;
    }
}

/// A bus, and what it shows.
pub(crate) struct Told {
    bus: Bus,
    pub(crate) facts: watch::Receiver<BusFacts>,
}

impl Told {
    pub(crate) async fn until(&mut self, what: &str, is: impl FnMut(&BusFacts) -> bool) -> BusFacts {
        let waited = tokio::time::timeout(DEADLINE, self.facts.wait_for(is)).await;
        waited.unwrap_or_else(|_| panic!("{what}")).unwrap().clone()
    }

    pub(crate) async fn stop(self) {
        self.bus.stop().await;
    }
}

/// A Redis on this machine without passwords.
pub(crate) fn plain(port: u16) -> Place {
    let redis = RedisConfig { host: "127.0.0.1".into(), port, database: 0, tls: false, credentials: None };
    Place { account: ACCOUNT.into(), redis, credentials: None }
}

/// The same with a Secret whose files lie there.
pub(crate) fn with_secret(port: u16, tls: bool, folder: &TempDir) -> Place {
    let credentials: PathBuf = folder.path().to_owned();
    let redis =
        RedisConfig { host: "localhost".into(), port, database: 0, tls, credentials: Some("redis".into()) };
    Place { account: ACCOUNT.into(), redis, credentials: Some(credentials) }
}

/// Number and event of an entry.
type Entry = (u64, String);

/// What is in the two streams: number and event of each entry.
pub(crate) fn entries(redis: &Redis) -> [Vec<Entry>; 2] {
    entries_by(redis, None)
}

fn entries_by(redis: &Redis, password: Option<&str>) -> [Vec<Entry>; 2] {
    let mut conn = redis.admin_by(password);
    let Streams { orders, signals } = Streams::of(ACCOUNT);
    [orders, signals].map(|key| {
        let asked: Result<Vec<(String, HashMap<String, String>)>, _> =
            redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(&mut conn);
        let entry = |(id, fields): (String, HashMap<String, String>)| {
            (id.split_once('-').unwrap().0.parse().unwrap(), fields["event"].clone())
        };
        asked.map(|found| found.into_iter().map(entry).collect()).unwrap_or_default()
    })
}

/// What must be in them.
fn of_streams(rows: &[OutboxRow]) -> [Vec<Entry>; 2] {
    let of = |orders: bool| {
        let rows = rows.iter().filter(|row| row.kind.is_of_orders() == orders);
        rows.map(|row| (row.sequence, row.body.clone())).collect()
    };
    [of(true), of(false)]
}

/// A reader that drops what it has seen: the number tells.
#[derive(Default)]
pub(crate) struct Reader {
    highest: [u64; 2],
    pub(crate) read: Vec<Event>,
    pub(crate) repeats: usize,
}

impl Reader {
    /// Reads both streams from their beginning, as one that forgot where it was.
    pub(crate) fn read(&mut self, redis: &Redis) {
        for (highest, stream) in self.highest.iter_mut().zip(entries(redis)) {
            for (number, text) in stream {
                if number <= *highest {
                    self.repeats += 1;
                    continue;
                }
                *highest = number;
                self.read.push(serde_json::from_str(&text).unwrap());
            }
        }
    }
}
