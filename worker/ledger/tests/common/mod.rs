//! Rows for tests, with hand-picked values. Shared by the suites of all ledgers.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod authority;
pub(crate) mod mariadb;
pub(crate) mod outbox;
pub(crate) mod proxy;
pub(crate) mod suite;
pub(crate) mod tamper;

use std::path::Path;

use tradewind_core::event::{HaltChange, Record, Succession, Transfer};
use tradewind_core::external::{External, ExternalTrade};
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{Cash, Percent, Price, Quantity};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{
    Attempt, ClientOrderId, Epoch, Fee, Fill, Incarnation, Intent, IntentId, Liquidity, OrderKind,
    OrderState, Purpose, Side, Signing, TradeId, Transition,
};
use tradewind_core::protocol::Signature;
use tradewind_core::recovery::{Checkpoint, InstrumentMark, LedgerIdentity, Watermark};
use tradewind_core::time::Timestamp;
use tradewind_ledger::{Batch, DecisionRow, EquityRow, Ledger, SqliteLedger, SqliteOptions};
use uuid::Uuid;

pub(crate) const TAG: Incarnation = Incarnation(0x0051_de55);

pub(crate) fn strategy() -> Uid {
    Uid(Uuid::from_u128(0xa1))
}

pub(crate) fn btc() -> Symbol {
    "BTC-USD".parse().unwrap()
}

pub(crate) fn eth() -> Symbol {
    "ETH-USD".parse().unwrap()
}

pub(crate) fn rules() -> Vec<InstrumentRules> {
    let rules = |symbol, tick, lot| InstrumentRules::from_decimals(symbol, tick, lot, "1").unwrap();
    vec![rules(btc(), "0.01", "0.00000001"), rules(eth(), "0.01", "0.0001")]
}

pub(crate) fn options() -> SqliteOptions {
    SqliteOptions {
        account: Uid(Uuid::from_u128(1)),
        account_name: "paper".into(),
        owner: "worker of paper".into(),
        // 2025-01-02T03:04:05Z
        now: Timestamp(1_735_787_045_000),
        incarnation: TAG,
        max_bytes: None,
    }
}

pub(crate) async fn open(path: &Path) -> SqliteLedger {
    SqliteLedger::open(path, &options()).await.unwrap()
}

pub(crate) fn identity(epoch: u64) -> LedgerIdentity {
    LedgerIdentity { incarnation: TAG, epoch: Epoch(epoch) }
}

/// Buy 0.5 BTC at a limit of 100.25.
pub(crate) fn intent(id: u64, epoch: u64) -> Intent {
    Intent {
        id: IntentId(id),
        client_order_id: ClientOrderId::derive(TAG, strategy(), IntentId(id)),
        strategy: strategy(),
        symbol: btc(),
        side: Side::Buy,
        kind: OrderKind::Limit { price: Price(10_025) },
        quantity: Quantity(50_000_000),
        purpose: Purpose::Entry,
        reference_price: Price(10_020),
        decision_bar: Timestamp(1_000),
        decided_at: Timestamp(2_000),
        valid_until: Timestamp(3_000),
        epoch: Epoch(epoch),
    }
}

pub(crate) fn step(id: u64, epoch: u64, attempt: u32, from: OrderState, to: OrderState) -> Record {
    Record::Transition(Transition {
        intent: IntentId(id),
        attempt: Attempt(attempt),
        epoch: Epoch(epoch),
        from,
        to,
        at: Timestamp(2_500),
        detail: (to == OrderState::Accepted).then(|| "venue-1".to_owned()),
    })
}

/// The sending that comes next, signed at 2 s for 5 s.
pub(crate) fn signing(id: u64, epoch: u64, attempt: u32) -> Record {
    let (attempt, epoch) = (Attempt(attempt), Epoch(epoch));
    let signature = Signature { signed_at: Timestamp(2_000), valid_until: Timestamp(7_000) };
    let request = intent(id, epoch.0).request(attempt, signature);
    Record::Signing(Signing { intent: IntentId(id), attempt, epoch, signature, request })
}

/// 0.2 BTC at 100.10, fee 0.012 USD.
pub(crate) fn fill(trade: &str, id: u64) -> Fill {
    Fill {
        trade_id: TradeId(trade.into()),
        client_order_id: ClientOrderId::derive(TAG, strategy(), IntentId(id)),
        symbol: btc(),
        side: Side::Buy,
        price: Price(10_010),
        quantity: Quantity(20_000_000),
        fee: Fee { asset: "USD".parse().unwrap(), amount: Cash::parse("0.012").unwrap() },
        liquidity: Liquidity::Taker,
        at: Timestamp(2_600),
    }
}

pub(crate) fn booked(trade: &str, id: u64) -> Record {
    Record::Fill { intent: IntentId(id), fill: fill(trade, id) }
}

pub(crate) fn transfer(amount: &str, strategy: Option<Uid>) -> Transfer {
    Transfer {
        asset: "USD".parse().unwrap(),
        amount: Cash::parse(amount).unwrap(),
        strategy,
        at: Timestamp(10),
    }
}

/// The strategy was made anew under its name.
pub(crate) fn succession() -> Succession {
    Succession { from: strategy(), to: Uid(Uuid::from_u128(0xa2)), at: Timestamp(11) }
}

pub(crate) fn halt(name: &str) -> Halt {
    Halt {
        name: name.into(),
        scope: HaltScope::Strategies(vec![strategy()]),
        instruments: vec![btc()],
        action: HaltAction::CancelEntries,
        origin: HaltOrigin::Breaker { breaker: "drawdown".into() },
        reason: "drawdown 15.2 % > 15 %".into(),
        requested_by: "worker".into(),
        since: Timestamp(42),
    }
}

pub(crate) fn set(name: &str) -> Record {
    Record::Halt(HaltChange::Set(halt(name)))
}

pub(crate) fn cleared(name: &str) -> Record {
    Record::Halt(HaltChange::Cleared { name: name.into(), by: "trader".into(), at: Timestamp(43) })
}

pub(crate) fn checkpoint(now: i64) -> Checkpoint {
    Checkpoint {
        now: Timestamp(now),
        instruments: vec![InstrumentMark {
            symbol: btc(),
            last_bar: Some(Timestamp(now - 1)),
            mark: Price(10_011),
        }],
        strategies: vec![Watermark {
            strategy: Some(strategy()),
            reference: Cash::parse("5000.5").unwrap(),
            ..Watermark::default()
        }],
        ..Checkpoint::default()
    }
}

pub(crate) fn decision(at: i64, name: &str, symbol: Symbol) -> DecisionRow {
    DecisionRow {
        at: Timestamp(at),
        bar: Timestamp(at - 60_000),
        strategy: strategy(),
        strategy_name: name.into(),
        symbol,
        side: Some(Side::Buy),
        confidence: Some(Percent::parse("62.5").unwrap()),
        close: "100.1".into(),
        position: "0".into(),
        readings: "{\"fast\":1.5}".into(),
        stage: "threshold".into(),
        outcome: "BelowConfidence".into(),
        detail: "confidence 62.5% < 65%".into(),
        intent: None,
    }
}

pub(crate) fn equity(at: i64, strategy: Option<Uid>) -> EquityRow {
    EquityRow {
        strategy,
        strategy_name: "trend".into(),
        at: Timestamp(at),
        equity: Cash::parse("5000.123456789012345678").unwrap(),
        cash: Cash::parse("-1.5").unwrap(),
        reference: Cash::parse("5001").unwrap(),
        exposure: Cash::ZERO,
    }
}

/// A trade of the account that no worker made.
pub(crate) fn external(trade: &str) -> Record {
    Record::External(External::Trade(ExternalTrade {
        trade_id: TradeId(trade.into()),
        venue_order_id: "O-7".into(),
        symbol: btc(),
        side: Side::Sell,
        price: Price(10_010),
        quantity: Quantity(20_000_000),
        at: Timestamp(12),
    }))
}

/// Commits records alone.
pub(crate) async fn commit<L: Ledger>(
    ledger: &mut L,
    records: &[Record],
) -> Result<usize, tradewind_ledger::LedgerError> {
    let rules = rules();
    let names = [(strategy(), "trend".into())];
    let batch = Batch { records, rules: &rules, names: &names, ..Batch::default() };
    ledger.commit(&batch).await.map(|done| done.new_fills)
}

/// Commits a little of everything: thirteen rows of the chain, a decision, equity and a checkpoint.
pub(crate) async fn fill_up<L: Ledger>(ledger: &mut L) {
    let epoch = ledger.identity().epoch.0;
    let records = [
        Record::Transfer(transfer("1000", None)),
        Record::Transfer(transfer("400", Some(strategy()))),
        Record::Intent(intent(1, epoch)),
        signing(1, epoch, 1),
        step(1, epoch, 1, OrderState::Intended, OrderState::Sent),
        booked("t-1", 1),
        step(1, epoch, 1, OrderState::Sent, OrderState::Unknown),
        set("a"),
        set("b"),
        cleared("a"),
        Record::Succession(succession()),
        external("x-1"),
        Record::Rebase {
            strategy: Some(strategy()),
            reference: transfer("1", None).amount,
            at: Timestamp(1),
        },
    ];
    let (rules, checkpoint) = (rules(), checkpoint(7_000));
    let batch = Batch {
        records: &records,
        decisions: &[decision(60_000, "trend", btc())],
        equity: &[equity(1, None)],
        checkpoint: Some(&checkpoint),
        rules: &rules,
        names: &[],
    };
    ledger.commit(&batch).await.unwrap();
}

/// Drives a future that many polls further than its first and then drops it; none if it was not done by then. How far it
/// has come is the machine's affair.
pub(crate) async fn dropped_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(result) => std::task::Poll::Ready(Some(result)),
        std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
        std::task::Poll::Pending => {
            left -= 1;
            std::task::Poll::Pending
        }
    })
    .await
}
