//! Start to ready: a worker process on a ledger of a million decisions and 100 000 fills, from its start to the moment
//! `/health` answers 200.
//!
//! The ledger is written through its port: the desk's own decisions of half a year, as often as it takes, and round
//! trips that cost nothing (so that ledger and venue agree); then the desk trades thirty days on it, so that there are
//! positions, resting stops and indicators to recover. The feed runs in real time: once ready, the worker waits.

use std::path::Path;
use std::time::Instant;

use smol_str::{SmolStr, format_smolstr};
use tradewind_core::config::VenueConfig;
use tradewind_core::event::Record;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::Cash;
use tradewind_core::name::Uid;
use tradewind_core::order::{Attempt, Fee, Fill, Intent, Liquidity, OrderState, Side, TradeId, Transition};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_core::time::{DAY_MS, Millis, Timestamp};
use tradewind_ledger::{Batch, DecisionRow, Ledger, LedgerReader, SqliteLedger};
use tradewind_venues::paper::PaperVenue;
use tradewind_worker::assembly::Assembly;
use tradewind_worker::commands::run::{LEDGER_FILE, PAPER_FILE};

use crate::desk::{self, Watch};
use crate::intents::{intent, options};
use crate::measure::{self, Goal, Runs};
use crate::process::Running;
use crate::{BenchError, Figure, series};

const DECISIONS: usize = 1_000_000;
const FILLS: u64 = 100_000;
/// Hours traded on top: thirty days.
const GROUPS: usize = 720;
/// Round trips of a commit while the ledger is made.
const TRIPS: u64 = 250;
const RUNS: usize = 7;
const SECTION: &str = "start";

/// How much a ledger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Decisions.
    pub decisions: u64,
    /// Fills.
    pub fills: u64,
}

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let worker = measure::worker_binary()?;
    let root = Path::new(".");
    let assembly = desk::assembly(root)?;
    let dir = measure::scratch()?;
    let started = Instant::now();
    let size = Box::pin(build(&assembly, dir.path(), DECISIONS, FILLS)).await?;
    let making = started.elapsed().as_secs_f64();
    let file = root.join(desk::FILE);
    let (mut ready, mut memory) = (Runs::default(), Runs::default());
    for _ in 0..RUNS {
        let started = Instant::now();
        let running = Running::start(&worker, &file, &root.join(desk::MARKET_DATA), dir.path(), "realtime")?;
        running.wait_ready()?;
        ready.push(started.elapsed().as_secs_f64());
        memory.push(running.status_mb("VmHWM").unwrap_or(0.0));
        running.stop()?;
    }
    let seconds = ready.median();
    let measured = format!("{seconds:.2} s (worst {:.2} s)", ready.most());
    let ledger = std::fs::metadata(dir.path().join(LEDGER_FILE))?.len() / (1 << 20);
    Ok(vec![
        Figure::new(SECTION, "process start to /health 200", measured).goal(
            "≤ 2 s",
            Goal::AtMost(2.0),
            ready.most(),
        ),
        Figure::new(
            SECTION,
            "in the ledger",
            format!("{} decisions, {} fills, {ledger} MiB", size.decisions, size.fills),
        ),
        Figure::new(SECTION, "making the ledger", format!("{making:.0} s")),
        Figure::new(SECTION, "peak RSS until ready", format!("{:.1} MiB", memory.most())),
    ])
}

/// Makes a ledger of at least that many decisions and fills in `dir`, and the venue's book beside it.
pub async fn build(
    assembly: &Assembly,
    dir: &Path,
    decisions: usize,
    fills: u64,
) -> Result<Size, BenchError> {
    let ledger = SqliteLedger::open(&dir.join(LEDGER_FILE), &options(assembly)).await?;
    // The first start: what is on the account becomes a deposit, and capital is given out.
    let mut driver =
        desk::driver(assembly, Some(ledger), venue(assembly, dir).await?, Watch::default()).await?;
    driver.settle(assembly.config.clone(), Timestamp(series::START_MS - DAY_MS)).await?;
    let (_, _, ledger) = driver.finish().await?;
    let mut ledger = ledger.ok_or_else(|| BenchError::Process("the driver lost its ledger".to_owned()))?;
    round_trips(assembly, &mut ledger, fills / 2).await?;
    repeated_decisions(assembly, &mut ledger, decisions).await?;
    // The second: thirty days of trading on top.
    let mut driver =
        desk::driver(assembly, Some(ledger), venue(assembly, dir).await?, Watch::default()).await?;
    desk::trade(assembly, &mut driver, GROUPS).await?;
    let (_, _, ledger) = driver.finish().await?;
    let mut ledger = ledger.ok_or_else(|| BenchError::Process("the driver lost its ledger".to_owned()))?;
    let size = Size {
        decisions: ledger.outcomes().await?.iter().map(|count| count.count).sum(),
        fills: ledger.fill_counts().await?.iter().map(|(_, count)| count).sum(),
    };
    ledger.close().await?;
    Ok(size)
}

async fn venue(assembly: &Assembly, dir: &Path) -> Result<PaperVenue, BenchError> {
    let VenueConfig::Paper(paper) = &assembly.config.account.venue else {
        return Err(BenchError::Wrong("the desk is not on paper".to_owned()));
    };
    let quote = &assembly.config.account.quote_currency;
    Ok(PaperVenue::open(&dir.join(PAPER_FILE), paper, quote, &rules(assembly)).await?)
}

/// Who trades what, round and round.
fn traders(assembly: &Assembly) -> Vec<(Uid, InstrumentRules)> {
    let mut traders = Vec::new();
    for strategy in &assembly.config.strategies {
        for listed in &strategy.instruments {
            let rules = assembly.instruments.iter().find(|i| i.rules.symbol == listed.symbol);
            traders.extend(rules.map(|i| (strategy.uid, i.rules.clone())));
        }
    }
    traders
}

async fn round_trips(assembly: &Assembly, ledger: &mut SqliteLedger, trips: u64) -> Result<(), BenchError> {
    let traders = traders(assembly);
    let (rules, names) = (rules(assembly), names(assembly));
    let identity = ledger.identity();
    let mut records = Vec::new();
    for (trip, (strategy, traded)) in (0..trips).zip(traders.iter().cycle()) {
        // An hour apart, the last one a day before the data begins.
        let hours = i64::try_from(trips - trip).unwrap_or(0);
        let at = Timestamp(series::START_MS - DAY_MS - hours * 3_600_000);
        for (number, side) in [(2 * trip + 1, Side::Buy), (2 * trip + 2, Side::Sell)] {
            let intent = intent(number, identity, *strategy, traded, side, at);
            records.extend(story(intent, identity, traded));
        }
        if (trip + 1) % TRIPS == 0 || trip + 1 == trips {
            let batch = Batch { records: &records, rules: &rules, names: &names, ..Batch::default() };
            ledger.commit(&batch).await?;
            records.clear();
        }
    }
    Ok(())
}

/// An order from its intent to its one fill, at its reference price and free of charge.
fn story(intent: Intent, identity: LedgerIdentity, rules: &InstrumentRules) -> [Record; 5] {
    let step = |from, to| {
        Record::Transition(Transition {
            intent: intent.id,
            attempt: Attempt(1),
            epoch: identity.epoch,
            from,
            to,
            at: intent.decided_at,
            detail: (to == OrderState::Accepted).then(|| format!("paper-{}", intent.id.0)),
        })
    };
    let fill = Fill {
        trade_id: TradeId(format_smolstr!("bench-{}", intent.id.0)),
        client_order_id: intent.client_order_id,
        symbol: rules.symbol.clone(),
        side: intent.side,
        price: intent.reference_price,
        quantity: intent.quantity,
        fee: Fee { asset: rules.symbol.quote().clone(), amount: Cash::ZERO },
        liquidity: Liquidity::Taker,
        at: intent.decided_at.plus(Millis(150)),
    };
    let sent = step(OrderState::Intended, OrderState::Sent);
    let accepted = step(OrderState::Sent, OrderState::Accepted);
    let filled = step(OrderState::Accepted, OrderState::Filled);
    let booked = Record::Fill { intent: intent.id, fill };
    [Record::Intent(intent), sent, accepted, booked, filled]
}

/// The decisions the desk makes in half a year, again and again, each time half a year earlier.
async fn repeated_decisions(
    assembly: &Assembly,
    ledger: &mut SqliteLedger,
    wanted: usize,
) -> Result<(), BenchError> {
    let watch = Watch { decisions: Some(Vec::new()) };
    let driver = desk::traded(assembly, usize::MAX, watch).await?;
    let made = driver.observer.decisions.unwrap_or_default();
    if made.is_empty() {
        return Err(BenchError::Wrong("the desk made no decision".to_owned()));
    }
    let (rules, names) = (rules(assembly), names(assembly));
    let (mut left, mut earlier) = (wanted, Millis(0));
    while left > 0 {
        earlier = Millis(earlier.0 - 182 * DAY_MS);
        let shifted: Vec<DecisionRow> = made
            .iter()
            .take(left)
            .map(|row| DecisionRow {
                at: row.at.plus(earlier),
                bar: row.bar.plus(earlier),
                intent: None,
                ..row.clone()
            })
            .collect();
        for decisions in shifted.chunks(10_000) {
            ledger.commit(&Batch { decisions, rules: &rules, names: &names, ..Batch::default() }).await?;
        }
        left -= shifted.len();
    }
    Ok(())
}

fn rules(assembly: &Assembly) -> Vec<InstrumentRules> {
    assembly.instruments.iter().map(|i| i.rules.clone()).collect()
}

fn names(assembly: &Assembly) -> Vec<(Uid, SmolStr)> {
    assembly.config.strategies.iter().map(|s| (s.uid, s.name.clone())).collect()
}
