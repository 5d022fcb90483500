//! How a run begins: ledger and venue are opened, then what was left is taken up again.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tradewind_core::config::{LedgerConfig, MysqlConfig, PaperConfig, ResolvedAccount, VenueConfig};
use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::order::Incarnation;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::mysql::{Isolation, Tls};
use tradewind_ledger::outbox::Limits;
use tradewind_ledger::{
    Ledger, LedgerReader, MysqlLedger, MysqlOptions, MysqlReader, MysqlServer, Outbox, OutboxOptions,
    SqliteLedger, SqliteOptions, SqliteReader,
};
use tradewind_venues::binance_us::BinanceUs;
use tradewind_venues::paper::PaperVenue;

use super::{Group, LEDGER_FILE, PAPER_FILE, Running};
use crate::assembly::Assembly;
use crate::board::Board;
use crate::bus::{self, Bus, Timing};
use crate::commands::CommandError;
use crate::driver::{Driver, Journal, Start};
use crate::feed::{Feed, Grouped};
use crate::ledger::AccountLedger;
use crate::market_data::{Bounds, CandleReader};
use crate::summary;
use crate::venue::AccountVenue;

/// Whose ledger is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The account's own; any other is refused.
    Ours,
    /// Any: whether it may be traded on is found out later. One that the opener had before is refused if another worker has
    /// opened it since.
    Anyones {
        /// The tag of the ledger that the opener had before.
        known: Option<Incarnation>,
    },
}

async fn sqlite(
    data_dir: &Path,
    options: &SqliteOptions,
    whose: Whose,
) -> Result<AccountLedger, CommandError> {
    let path = data_dir.join(LEDGER_FILE);
    let ledger = match whose {
        Whose::Ours => SqliteLedger::open(&path, options).await?,
        Whose::Anyones { known } => SqliteLedger::open_any(&path, options, known).await?,
    };
    Ok(AccountLedger::Sqlite(Box::new(ledger)))
}

async fn mysql(
    account: &ResolvedAccount,
    server: &MysqlConfig,
    options: &SqliteOptions,
    whose: Whose,
    credentials: Option<&Path>,
) -> Result<AccountLedger, CommandError> {
    let options = MysqlOptions {
        server: database(server, credentials)?,
        account: options.account,
        account_name: account.full_name(),
        owner: options.owner.clone(),
        now: options.now,
        incarnation: options.incarnation,
    };
    let ledger = match whose {
        Whose::Ours => MysqlLedger::open(&options).await?,
        Whose::Anyones { known } => MysqlLedger::open_any(&options, known).await?,
    };
    Ok(AccountLedger::Mysql(Box::new(ledger)))
}

fn database(server: &MysqlConfig, credentials: Option<&Path>) -> Result<MysqlServer, CommandError> {
    Ok(MysqlServer {
        host: server.host.to_string(),
        port: server.port,
        database: server.database.to_string(),
        credentials: credentials.ok_or(CommandError::NoLedgerCredentials)?.to_path_buf(),
        tls: if server.tls { Tls::Required } else { Tls::PlainText },
        isolation: Isolation::default(),
        patience: MysqlServer::PATIENCE,
    })
}

/// What is opened, and for whom.
pub(crate) struct Opening<'a> {
    /// Where the files lie.
    pub(crate) data_dir: &'a Path,
    /// How the ledger is opened.
    pub(crate) ledger: SqliteOptions,
    /// The folder with user and password of the ledger's database, where it is in one.
    pub(crate) credentials: Option<&'a Path>,
    /// Whose ledger.
    pub(crate) whose: Whose,
    /// Is told the tag of the ledger that was opened, before anything else is done with it.
    pub(crate) opened: &'a dyn Fn(Incarnation),
    /// The exchange, where the account is at one.
    pub(crate) exchange: Option<BinanceUs>,
    /// How long a predecessor may have believed in its Lease; zero where a lock keeps two workers apart.
    pub(crate) lease: Millis,
}

/// Opens ledger and venue; a second worker on the same ledger is refused here.
pub(crate) async fn open(assembly: &mut Assembly, opening: Opening<'_>) -> Result<Running, CommandError> {
    let Opening { data_dir, ledger: options, credentials, whose, opened, exchange, lease } = opening;
    let file = |source| CommandError::File { path: data_dir.to_path_buf(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(file)?;
    let live = !assembly.config.account.venue.is_paper();
    let mut ledger = match &assembly.config.account.ledger {
        LedgerConfig::Sqlite => sqlite(data_dir, &options, whose).await?,
        LedgerConfig::Mysql(server) => {
            mysql(&assembly.config.account, server, &options, whose, credentials).await?
        }
    };
    opened(ledger.identity().incarnation);
    if live {
        ledger.check_durable().await?;
    }
    assembly.include(&ledger.symbols().await?)?;
    let account = &assembly.config.account;
    ledger.note_paper(account.venue.is_paper()).await?;
    let outbox = account.bus.as_ref().map(|_| OutboxOptions {
        account: account.full_name(),
        now: options.now,
        limits: Limits::default(),
    });
    ledger.publish(outbox.as_ref()).await?;
    let rules: Vec<_> = assembly.instruments.iter().map(|i| i.rules.clone()).collect();
    let venue = match (&account.venue, exchange) {
        (VenueConfig::Paper(config), _) => paper(account, config, data_dir, &rules).await?,
        (VenueConfig::BinanceUs(_), Some(venue)) => AccountVenue::BinanceUs(Box::new(venue)),
        (VenueConfig::BinanceUs(_), None) => return Err(CommandError::NoCredentials),
    };
    let interval = assembly.data.bar();
    let instruments = u16::try_from(assembly.instruments.len()).unwrap_or(u16::MAX);
    let identity = ledger.identity();
    let start = Start {
        config: assembly.config.clone(),
        instruments: assembly.instruments.clone(),
        ledger: Some(ledger),
        identity,
        venue,
        lease,
        journal: Journal::keeping(rules),
        observer: Board::new(interval, instruments, true),
    };
    Ok(Driver::recover(start).await?)
}

/// What a bus is started with.
pub(crate) struct Telling<'a> {
    /// Where the files lie.
    pub(crate) data_dir: &'a Path,
    /// The folder with user and password of the ledger's database, where it is in one.
    pub(crate) ledger: Option<&'a Path>,
    /// The folder with the files of the bus's own Secret.
    pub(crate) bus: Option<PathBuf>,
}

/// Starts to tell events, where the account has a bus.
pub(crate) fn start_bus(driver: &mut Running, telling: Telling<'_>) -> Result<Option<Bus>, CommandError> {
    let account = driver.state.account();
    let Some(place) = bus::Place::of(account, telling.bus) else { return Ok(None) };
    let (kept, name) = (account.ledger.clone(), account.full_name());
    let Some(ledger) = driver.ledger_mut() else { return Ok(None) };
    let tap = ledger.tap();
    let bus = match kept {
        LedgerConfig::Sqlite => {
            let path = telling.data_dir.join(LEDGER_FILE);
            Bus::start(place, tap, async move || SqliteReader::open(&path).await, Timing::default())?
        }
        LedgerConfig::Mysql(server) => {
            let server = database(&server, telling.ledger)?;
            Bus::start(place, tap, async move || MysqlReader::open(&server, &name).await, Timing::default())?
        }
    };
    driver.observer.watch_bus(bus.facts());
    Ok(Some(bus))
}

async fn paper(
    account: &ResolvedAccount,
    config: &PaperConfig,
    data_dir: &Path,
    rules: &[InstrumentRules],
) -> Result<AccountVenue, CommandError> {
    let path = data_dir.join(PAPER_FILE);
    let venue = PaperVenue::open(&path, config, &account.quote_currency, rules).await?;
    if venue.created_with() != config.balances.as_slice() {
        tracing::warn!(
            "the paper account keeps the balances it was created with; use a new --data-dir to start over"
        );
    }
    Ok(AccountVenue::Paper(Box::new(venue)))
}

/// What people are shown of the time before this process: whose orders are open, and the last trades.
pub(crate) async fn recall(driver: &mut Running) -> Result<(), CommandError> {
    let state = &driver.state;
    driver.observer.know_orders(state);
    if let Some(ledger) = driver.ledger_mut() {
        let trades = ledger.trades(u32::try_from(crate::snapshot::RECENT_TRADES).unwrap_or(u32::MAX)).await?;
        driver.observer.know_trades(summary::trade_snapshots(trades));
    }
    Ok(())
}

/// Warms the indicators up with the bars seen before; the feed goes on behind them.
pub(crate) fn rewind(
    driver: &mut Running,
    assembly: &Assembly,
    feed: &mut Grouped<CandleReader>,
) -> Result<(), CommandError> {
    let positions = driver.positions().to_vec();
    if positions.iter().any(Option::is_some) {
        for (id, bar) in assembly.merge(Bounds::default())? {
            let Ok(bar) = bar else { continue };
            let seen = positions.get(id.index()).copied().flatten();
            if seen.is_some_and(|last| bar.open_time <= last) {
                driver.warm_up(id, &bar);
            }
        }
        for (id, last) in positions.iter().enumerate() {
            if let (Ok(id), Some(last)) = (u16::try_from(id), last) {
                feed.merge_mut().skip_through(InstrumentId(id), *last);
            }
        }
    }
    Ok(())
}

/// Warms the indicators up, settles open orders and takes over the configuration. Returns the first new group of bars, if
/// there is one.
pub(crate) async fn recover(
    driver: &mut Running,
    assembly: &Assembly,
    feed: &mut Grouped<CandleReader>,
) -> Result<Option<Group>, CommandError> {
    rewind(driver, assembly, feed)?;
    let mut group = Vec::new();
    let more = feed.next_group(&mut group);
    let start = group.first().map_or(Timestamp(0), |(_, bar)| bar.open_time);
    recall(driver).await?;
    driver.settle(assembly.config.clone(), start).await?;
    Ok(more.then_some(group))
}

/// The tag of a new ledger's orders; chance, because two ledgers of one account must not share it.
pub(crate) fn random_incarnation() -> Incarnation {
    let (tag, _, _, _) = uuid::Uuid::new_v4().as_fields();
    Incarnation(tag)
}
