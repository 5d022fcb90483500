//! Durable intents a second: one commit an intent through the ledger port, on SQLite and on MariaDB, with the checkpoint
//! of a desk of sixteen instruments, synced in full. Beside it what the disk does: 4 KiB appends, each followed by
//! `fdatasync`.

use std::io::Write;
use std::path::Path;

use smol_str::SmolStr;
use tradewind_core::event::Record;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{Price, Quantity};
use tradewind_core::name::Uid;
use tradewind_core::order::{
    Attempt, ClientOrderId, Incarnation, Intent, IntentId, OrderKind, Purpose, Side, Signing,
};
use tradewind_core::protocol::VenueTerms;
use tradewind_core::recovery::{Checkpoint, LedgerIdentity};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::{Batch, Ledger, LedgerReader, MysqlLedger, SqliteLedger, SqliteOptions};
use tradewind_worker::assembly::Assembly;

use crate::desk::{self, Watch};
use crate::mariadb::MariaDb;
use crate::measure::{self, Goal, Runs, per_second, rate, ratio};
use crate::{BenchError, Figure, series};

/// Intents of a round.
const INTENTS: u64 = 2_000;
const ROUNDS: u64 = 5;
/// Hours the desk has traded when its checkpoint is taken: thirty days, with positions and stops in it.
const GROUPS: usize = 720;
const SECTION: &str = "intents";

/// How a ledger of the desk is opened here.
pub fn options(assembly: &Assembly) -> SqliteOptions {
    SqliteOptions {
        account: assembly.config.account.uid,
        account_name: assembly.config.account.name.clone(),
        owner: format!("tradewind-bench (pid {})", std::process::id()),
        now: Timestamp(series::START_MS),
        incarnation: Incarnation(0x0bec_0bec),
        max_bytes: None,
    }
}

/// A market order of a strategy.
pub fn intent(
    number: u64,
    identity: LedgerIdentity,
    strategy: Uid,
    rules: &InstrumentRules,
    side: Side,
    at: Timestamp,
) -> Intent {
    let id = IntentId(number);
    Intent {
        id,
        client_order_id: ClientOrderId::derive(identity.incarnation, strategy, id),
        strategy,
        symbol: rules.symbol.clone(),
        side,
        kind: OrderKind::Market,
        quantity: Quantity(rules.lot.0.saturating_mul(1_000)),
        purpose: if side == Side::Buy { Purpose::Entry } else { Purpose::SignalExit },
        reference_price: Price(rules.tick.0.saturating_mul(6_000)),
        decision_bar: at,
        decided_at: at,
        valid_until: at.plus(Millis(3_600_000)),
        epoch: identity.epoch,
    }
}

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let assembly = desk::assembly(Path::new("."))?;
    let checkpoint = desk::traded(&assembly, GROUPS, Watch::default()).await?.state.checkpoint();
    let dir = measure::scratch()?;
    let appended = dir.path().join("appends");
    let mut sqlite = SqliteLedger::open(&dir.path().join("ledger.db"), &options(&assembly)).await?;
    let in_file = race(&assembly, &mut sqlite, &checkpoint, &appended).await?;
    sqlite.close().await?;
    let server = MariaDb::start(dir.path()).await?;
    let mut mysql = MysqlLedger::open(&server.options(&options(&assembly))).await?;
    let in_database = race(&assembly, &mut mysql, &checkpoint, &appended).await?;
    mysql.close().await?;
    let figure = |ledger: &str, words: &str, goal: f64, (commits, disk): (Runs, Runs)| {
        let speed = commits.median();
        let name = format!(
            "durable intents a second on {ledger}, checkpoint of {} instruments",
            checkpoint.instruments.len()
        );
        let measured =
            format!("{} (best {}, worst {})", rate(speed), rate(commits.most()), rate(commits.least()));
        Figure::new(SECTION, name, measured).goal(words, Goal::AtLeast(goal), speed).against(
            format!("4 KiB append + fdatasync: {}", rate(disk.median())),
            ratio(speed, disk.median()),
        )
    };
    Ok(vec![figure("SQLite", "≥ 2000", 2_000.0, in_file), figure("MariaDB", "≥ 1000", 1_000.0, in_database)])
}

/// Commits and appends by turns: how many a second of each.
async fn race<L: Ledger + LedgerReader>(
    assembly: &Assembly,
    ledger: &mut L,
    checkpoint: &Checkpoint,
    appended: &Path,
) -> Result<(Runs, Runs), BenchError> {
    let (mut commits, mut disk) = (Runs::default(), Runs::default());
    for round in 0..ROUNDS {
        let (result, seconds) = measure::wall_seconds(|| appends(appended));
        disk.push(per_second(result?, seconds));
        let started = std::time::Instant::now();
        commit_all(assembly, ledger, checkpoint, round * INTENTS).await?;
        commits.push(per_second(INTENTS, started.elapsed().as_secs_f64()));
    }
    // Read back: what was counted is there.
    let there = ledger.history().await?.open_orders.len();
    if u64::try_from(there).ok() == Some(ROUNDS * INTENTS) {
        return Ok((commits, disk));
    }
    Err(BenchError::Wrong(format!("{there} intents are in the ledger, not {}", ROUNDS * INTENTS)))
}

async fn commit_all<L: Ledger>(
    assembly: &Assembly,
    ledger: &mut L,
    checkpoint: &Checkpoint,
    from: u64,
) -> Result<(), BenchError> {
    let rules: Vec<InstrumentRules> = assembly.instruments.iter().map(|i| i.rules.clone()).collect();
    let names: Vec<(Uid, SmolStr)> =
        assembly.config.strategies.iter().map(|s| (s.uid, s.name.clone())).collect();
    let identity = ledger.identity();
    let who = names.first().map(|(uid, _)| *uid);
    for (number, (rules_of, strategy)) in
        (from + 1..=from + INTENTS).zip(rules.iter().cycle().zip(who.iter().cycle()))
    {
        let intent = intent(number, identity, *strategy, rules_of, Side::Buy, checkpoint.now);
        let (attempt, signature) = (Attempt(1), VenueTerms::default().sign(checkpoint.now));
        let request = intent.request(attempt, signature);
        let signing = Signing { intent: intent.id, attempt, epoch: identity.epoch, signature, request };
        let records = [Record::Intent(intent), Record::Signing(signing)];
        let batch = Batch {
            records: &records,
            checkpoint: Some(checkpoint),
            rules: &rules,
            names: &names,
            ..Batch::default()
        };
        ledger.commit(&batch).await?;
    }
    Ok(())
}

fn appends(path: &Path) -> Result<u64, BenchError> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    for _ in 0..INTENTS {
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
    }
    Ok(INTENTS)
}
