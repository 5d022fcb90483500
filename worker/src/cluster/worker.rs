//! From start to end: what the pod was given, the ledger and the Lease, then the loop with the cluster around it.
//!
//! Without an API server it starts all the same, from the mounted configuration and the ledger: blind, so that it makes
//! no entries, and every exit works. The bars of a replay wait half a minute for the first sight.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::{Client, Config};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tradewind_core::config::{MarketDataConfig, ResolvedAccount, Speed};
use tradewind_core::event::EventKind;
use tradewind_core::halt::EntryBlock;
use tradewind_core::order::Incarnation;
use tradewind_core::time::Timestamp;
use tradewind_crds::names;
use tradewind_crds::objects::Key;
use tradewind_ledger::{Ledger, LedgerError, LedgerReader, SqliteOptions};

use super::calls::Caller;
use super::crash::{self, Quarantine, Suspects};
use super::desk::Desk;
use super::events::{About, Events, Sink};
use super::inbox::{Inbox, Shared};
use super::lease::{self, ApiStore, LedgerAtStart, LedgerFacts};
use super::opened::Opened;
use super::report::{ApiStore as StatusStore, Figures, Target, Writer};
use super::start;
use super::surroundings::{Surroundings, Trust};
use super::watch::{self as watches, QUEUE, Scope};
use crate::assembly::{Assembly, Market};
use crate::bus::Bus;
use crate::commands::CommandError;
use crate::commands::cluster::Options;
use crate::feed::Grouped;
use crate::http;
use crate::market_data::Bounds;
use crate::session::{
    self, Around, Connected, Doors, Ended, Live, Opening, Plan, Running, Telling, Waited, Whose,
};
use crate::snapshot::{Phase, Snapshot};

/// How long the bars of a replay wait for entries to be possible: its time is not the world's, and nothing is lost.
const REPLAY_WAITS: Duration = Duration::from_secs(30);
/// How often is looked around while nothing else is to be done.
const IDLE: Duration = Duration::from_millis(100);
/// How long a ledger that another worker has opened since is left alone before this process ends and says so: longer than a
/// Lease lasts that nobody renews.
const LEFT_ALONE: Duration = Duration::from_mins(1);
/// How long a venue may be away at a start before this process ends: only then do people see it in the account's status.
const VENUE_AWAY: Duration = Duration::from_mins(1);
/// Connecting to the API server takes at most this long.
const CONNECT: Duration = Duration::from_secs(3);

/// Runs until it is asked to stop.
pub(crate) async fn run(options: &Options) -> Result<(), CommandError> {
    let mut shutdown = session::shutdown_signal()?;
    let (account, namespace, pod) = (&options.account, &options.namespace, &options.pod_name);
    tracing::info!(account, namespace, pod, version = env!("CARGO_PKG_VERSION"), "worker started");
    let config = cluster_config().await?;
    let store = ApiStore::new(config.clone(), namespace, &names::worker(account))?;
    let Some((desk, assembly, mut driver)) = Box::pin(opened(options, &store, &mut shutdown)).await? else {
        return Ok(());
    };
    let scope = desk.scope().clone();
    let account = assembly.config.account.clone();
    let suspects: Suspects = Arc::new(Mutex::new(Vec::new()));
    crash::watch_panics(&options.data_dir, driver.state.probe(), Arc::clone(&suspects));
    // Closed before anything can happen, until something is seen.
    driver.handle(driver.now(), EventKind::EntryGate(Some(EntryBlock::Blind))).await?;

    let client = watching_client(config)?;
    let (trust, keeper) = trust(options, store, &account, &mut driver).await?;
    let (inbox, watching) = inbox(desk, &client, &scope, &trust);
    driver.look_at(Box::new(inbox.clone()));

    let (reports, reported) = watch::channel(None);
    let target = Target { name: account.name.clone(), uid: account.uid };
    let writer = Writer::start(StatusStore::new(&client, &options.namespace), target, reported);
    let sink = sink(options, &client, &account, &driver);
    driver.observer.tell_also(Box::new(sink));
    let bus = session::start_bus(&mut driver, telling(options))?;
    let (snapshots, shown) = watch::channel(driver.observer.snapshot(&driver.state));
    let doors = doors(options, shown).await?;
    let mut around = Surroundings {
        inbox,
        doors,
        shutdown,
        snapshots,
        reports,
        status_failures: writer.failures(),
        figures: Figures::default(),
        trust,
        suspects,
        data_dir: options.data_dir.clone(),
        shown: None,
        looked: Instant::now(),
        taken_over: None,
        heirs: 0,
        ledger_fault: None,
    };
    let ended = traded(options, &mut driver, &assembly, &mut around).await;
    around.ledger_fault = ended.as_ref().err().and_then(CommandError::ledger_fault).map(ToString::to_string);
    if ended.is_ok() {
        driver.observer.set_phase(Phase::Draining);
        driver.flush().await?;
        around.look(&mut driver).await?;
    }
    around.farewell(&driver, ended.is_ok(), writer).await;
    drop(watching);
    ended?;
    Box::pin(end(driver, bus)).await?;
    keeper.release().await;
    tracing::info!("worker stopped; what is known is durable");
    Ok(())
}

fn telling(options: &Options) -> Telling<'_> {
    Telling {
        data_dir: &options.data_dir,
        ledger: options.ledger_credentials.as_deref(),
        bus: options.bus_credentials.clone(),
    }
}

/// Trades on the account's market, until somebody asks to stop.
async fn traded(
    options: &Options,
    driver: &mut Running,
    assembly: &Assembly,
    around: &mut Surroundings,
) -> Result<(), CommandError> {
    match assembly.config.account.market_data {
        MarketDataConfig::Replay { speed, .. } if assembly.config.account.venue.is_paper() => {
            work(driver, assembly, around, speed, options.keep_days).await
        }
        _ => {
            let begun = Live::begin(driver, assembly, None, options.keep_days)?;
            live(driver, assembly, around, begun).await
        }
    }
}

/// After this nothing of ours can leave any more.
async fn end(driver: Running, bus: Option<Bus>) -> Result<(), CommandError> {
    let (_, _, ledger) = Box::pin(driver.finish()).await?;
    if let Some(bus) = bus {
        bus.stop().await;
    }
    if let Some(ledger) = ledger {
        ledger.close().await?;
    }
    Ok(())
}

/// Opens the ledger, unless this pod had it before and another worker has opened it since: then only when nobody holds the
/// Lease. A container that is started again on a node that is cut off must not take the ledger from the pod that goes on in
/// its place. None: somebody asked to stop first.
async fn opened(
    options: &Options,
    store: &ApiStore,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<Option<(Desk, Assembly, Running)>, CommandError> {
    let note = Opened::within(&options.pod_dir);
    let by = match Box::pin(open(options, &note, note.read(), shutdown)).await {
        Err(CommandError::Ledger(LedgerError::OpenedSince { by, .. })) => by,
        found => return found,
    };
    tracing::warn!(by, "the ledger was opened by another worker since this pod had it; it is left alone");
    tokio::select! {
        biased;
        _ = shutdown.wait_for(|stop| *stop) => return Ok(None),
        free = lease::until_free(store, LEFT_ALONE) => {
            free.map_err(|standing| CommandError::LeftAlone { by, standing })?;
        }
    }
    tracing::info!("nobody holds the Lease; the ledger is opened");
    Box::pin(open(options, &note, None, shutdown)).await
}

/// What the pod was given, its ledger and its venue. None: somebody asked to stop before the venue answered.
async fn open(
    options: &Options,
    note: &Opened,
    known: Option<Incarnation>,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<Option<(Desk, Assembly, Running)>, CommandError> {
    let given = start::configuration(&options.config_dir, &options.data_dir)?;
    let account = &given.published.account.account;
    let market = Market::of(&account.market_data, &options.market_data)?;
    let (exchange, offered) = match market {
        Market::Recorded(data) if account.venue.is_paper() => (None, start::recorded(data)),
        market => {
            let keys = options.credentials.as_ref();
            let found = session::connect(account, &market, keys, Some(VENUE_AWAY), shutdown).await?;
            let Some(Connected { venue, offer }) = found else { return Ok(None) };
            (Some(venue), start::offered(offer))
        }
    };
    let (mut desk, mut assembly) = desk(options, given, offered);
    let account = assembly.config.account.clone();
    let opening = Opening {
        data_dir: &options.data_dir,
        ledger: ledger_options(options, &account),
        credentials: options.ledger_credentials.as_deref(),
        whose: Whose::Anyones { known },
        opened: &|tag| note.write(tag),
        exchange,
        // As long as another worker may believe in its Lease.
        lease: lease::DURATION.into(),
    };
    let driver = Box::pin(session::open(&mut assembly, opening)).await?;
    remember(&mut desk, &driver, &mut assembly);
    Ok(Some((desk, assembly, driver)))
}

/// The desk learns of strategies that are gone and still hold something, and what it then tells is what is started with.
fn remember(desk: &mut Desk, driver: &Running, assembly: &mut Assembly) {
    let gone = driver.state.strategy_views().into_iter().filter(|view| !view.present);
    desk.remember(gone.map(|view| view.config));
    if let Some(told) = desk.told() {
        assembly.config.clone_from(&told.config);
    }
}

/// From recovery to the end of the data and beyond, until somebody asks to stop.
async fn work(
    driver: &mut Running,
    assembly: &Assembly,
    around: &mut Surroundings,
    speed: Speed,
    keep_days: u32,
) -> Result<(), CommandError> {
    if around.trust.at_start.is_new() && !first_rows(driver, around).await? {
        return Ok(());
    }
    let interval = assembly.data.bar();
    let mut feed = Grouped::new(assembly.merge(Bounds::default())?, interval);
    let first = session::recover(driver, assembly, &mut feed).await?;
    let state = &driver.state;
    tracing::info!(
        orders = state.open_orders().len(),
        halts = state.halts().len(),
        "recovered: the ledger is read, open orders settled"
    );
    around.recall(driver).await?;
    around.take_over(driver);
    driver.observer.set_phase(Phase::Running);
    around.now(driver);
    if !sight(driver, around).await? {
        return Ok(());
    }
    let plan = Plan { interval, speed, keep_days };
    if session::trade(driver, &mut feed, first, &plan, around).await? == Ended::Drained {
        return Ok(());
    }
    driver.flush().await?;
    session::report_quality(driver, &mut feed);
    // What was read is not needed any more.
    drop(feed);
    driver.observer.set_phase(Phase::Completed);
    tracing::info!(
        bars = driver.observer.totals_mut().bars,
        "the data have ended; halts and configuration go on"
    );
    around.now(driver);
    while around.wait(driver, IDLE).await? != Waited::Stop {
        around.show(driver)?;
    }
    Ok(())
}

/// From recovery at an exchange until somebody asks to stop; then no entry stays open.
async fn live(
    driver: &mut Running,
    assembly: &Assembly,
    around: &mut Surroundings,
    mut live: Live,
) -> Result<(), CommandError> {
    if around.trust.at_start.is_new() && !first_rows(driver, around).await? {
        return Ok(());
    }
    around.now(driver);
    let inbox = around.inbox.clone();
    // What was taken over meanwhile holds, not what was mounted at the start.
    let config = || inbox.told().unwrap_or_else(|| assembly.config.clone());
    if live.recover(driver, &config, around).await? {
        around.recall(driver).await?;
        around.take_over(driver);
        driver.observer.set_phase(Phase::Running);
        around.now(driver);
        if live.trade(driver, around).await? == Ended::Completed {
            driver.observer.set_phase(Phase::Completed);
            tracing::info!("the data have ended; orders, halts and configuration go on");
            live.trade(driver, around).await?;
        }
    }
    driver.observer.set_phase(Phase::Draining);
    live.drain(driver).await
}

/// A new ledger has nothing to exit from: it takes its first row when the Lease knows of it, or of another. False when
/// somebody asks to stop first.
async fn first_rows(driver: &mut Running, around: &mut Surroundings) -> Result<bool, CommandError> {
    tracing::info!("new ledger; waiting for the account's Lease");
    loop {
        around.judge(driver).await?;
        around.pass_facts(driver).await?;
        if around.knows_ledger(driver) {
            return Ok(true);
        }
        tokio::select! {
            biased;
            _ = around.shutdown.wait_for(|stop| *stop) => return Ok(false),
            _ = around.trust.claim.changed() => {}
            () = tokio::time::sleep(IDLE) => {}
        }
    }
}

/// Waits for entries to be possible, for a while. False when somebody asks to stop.
async fn sight(driver: &mut Running, around: &mut Surroundings) -> Result<bool, CommandError> {
    let began = Instant::now();
    while began.elapsed() < REPLAY_WAITS {
        if around.wait(driver, IDLE).await? == Waited::Stop {
            return Ok(false);
        }
        around.show(driver)?;
        if driver.state.entry_block().is_none() {
            return Ok(true);
        }
    }
    let reason = driver.state.entry_block().map(|block| block.to_string()).unwrap_or_default();
    tracing::warn!(reason, "going on without entries; exits work");
    Ok(true)
}

/// What is known before anything is seen, and what it runs on.
fn desk(options: &Options, given: start::Given, offered: start::Offered) -> (Desk, Assembly) {
    let start::Offered { data, instruments, catalog } = offered;
    let scope = Scope {
        account: Key::new(&options.namespace, &options.account),
        operator_namespace: given.published.account.operator_namespace.clone(),
    };
    let quarantine = Quarantine::read(&options.data_dir);
    let mut desk = Desk::new(scope, given.published, given.broken, catalog, quarantine);
    if let Some(unknown) = given.unknown {
        desk.mount(unknown);
    }
    let composed = desk.compose();
    desk.tell(composed.clone());
    (desk, start::assembly(composed.config, data, instruments))
}

fn ledger_options(options: &Options, account: &ResolvedAccount) -> SqliteOptions {
    SqliteOptions {
        account: account.uid,
        account_name: account.name.clone(),
        owner: format!("tradewind-worker in pod {} ({})", options.pod_name, options.pod_uid),
        now: Timestamp(jiff::Timestamp::now().as_millisecond()),
        incarnation: session::random_incarnation(),
        max_bytes: None,
    }
}

/// Starts to keep the Lease, with what the ledger was when it was opened.
async fn trust(
    options: &Options,
    store: ApiStore,
    account: &ResolvedAccount,
    driver: &mut Running,
) -> Result<(Trust, lease::Handle), CommandError> {
    let Some(ledger) = driver.ledger_mut() else { return Err(CommandError::Superseded) };
    let at_start = LedgerAtStart {
        made_for: ledger.account().await?.0,
        identity: ledger.identity(),
        head: ledger.head().await?,
    };
    let known = LedgerFacts { identity: at_start.identity, head: at_start.head, trusted: false };
    let (facts, known) = watch::channel(known);
    let identity = lease::Identity {
        namespace: options.namespace.clone(),
        account: options.account.clone(),
        account_uid: account.uid,
        holder: format!("{}_{}", options.pod_name, options.pod_uid),
    };
    let (claim, keeper) = lease::start(store, identity, known);
    Ok((Trust { at_start, account: account.uid, facts, claim }, keeper))
}

/// Starts the watches; they end when the set is dropped.
fn inbox(desk: Desk, client: &Client, scope: &Scope, trust: &Trust) -> (Shared, JoinSet<()>) {
    let (inputs, incoming) = mpsc::channel(QUEUE);
    let watching = watches::start(client, scope, &inputs);
    let (answers, answered) = mpsc::channel(QUEUE);
    let caller = Caller::new(client, &scope.account, answers);
    let make = Box::new(move |call| caller.make(call));
    let inbox = Inbox::new(desk, incoming, answered, make, trust.claim.clone());
    (Shared(Rc::new(RefCell::new(inbox))), watching)
}

async fn doors(options: &Options, shown: watch::Receiver<Arc<Snapshot>>) -> Result<Doors, CommandError> {
    let addresses = http::Addresses {
        portfolio: options.portfolio_address,
        signals: options.signals_address,
        risk: options.risk_address,
    };
    let doors = Doors::open(&addresses, Some(options.probes_address), &options.data_dir, shown).await?;
    doors.log();
    Ok(doors)
}

/// Who writes events of what happens from now on.
fn sink(options: &Options, client: &Client, account: &ResolvedAccount, driver: &Running) -> Sink {
    // It ends by itself when nobody sends any more.
    let (events, _) = Events::start(client.clone(), &options.pod_name);
    let about = About {
        namespace: options.namespace.clone(),
        account: options.account.clone(),
        account_uid: account.uid,
        pod: (options.pod_name.clone(), options.pod_uid.clone()),
    };
    Sink::new(events, about, &driver.state)
}

async fn cluster_config() -> Result<Config, CommandError> {
    Config::infer().await.map_err(|error| CommandError::NoCluster(Box::new(error)))
}

/// A client that repeats nothing by itself: who asks decides anew.
fn watching_client(mut config: Config) -> Result<Client, CommandError> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(CONNECT);
    Client::try_from(config).map_err(|error| CommandError::Client(Box::new(error)))
}
