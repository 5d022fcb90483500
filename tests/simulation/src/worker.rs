//! The life of one process: the start of production, then its loop, until it is killed or cannot go on.

use std::rc::Rc;

use tradewind_core::engine::{InstrumentSpec, State};
use tradewind_core::event::{Record, Report};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::Ledger;
use tradewind_venues::binance_us::MAX_OFFSET;
use tradewind_worker::driver::{Driver, DriverError, Journal, Observer, Start};

use crate::broken::Broken;
use crate::bus;
use crate::coverage::Fault;
use crate::market::Market;
use crate::news::Watch;
use crate::plan::{BAR, LEASE, TERMS};
use crate::port::SimVenue;
use crate::sim::{Process, Sim};
use crate::store::{self, SimLedger};

/// A turn of the loop, the pauses between two questions for orders of unknown outcome, for fills, and for everything.
const TURN: (i64, i64) = (900, 2_000);
const UNKNOWN: i64 = 3_000;
const FILLS: i64 = 4_000;
const SWEEP: i64 = 30_000;

type Running = Driver<SimLedger, SimVenue, Listener>;

/// Who listens to the engine.
pub(crate) struct Listener(Rc<Sim>);

impl Observer for Listener {
    fn on_report(&mut self, _: &State, report: &Report) {
        match report {
            Report::MoneyFault { message } => self.0.break_with(Broken::Reported(message.clone())),
            Report::Illegal { intent, transition } => {
                self.0.say(|| format!("engine: intent {}: {transition}", intent.0));
            }
            Report::Foreign { client_order_id, origin } => {
                self.0.say(|| format!("engine: order {client_order_id} is {origin}"));
            }
            _ => {}
        }
    }

    fn on_record(&mut self, _: &State, _: &Record) {}
}

/// Trades until it cannot go on. `beside` says that another process may still be at work.
pub(crate) async fn live(
    sim: Rc<Sim>,
    process: Process,
    market: Rc<Market>,
    beside: bool,
) -> Result<(), DriverError> {
    let clock = sim.clock_was_set();
    let ledger = store::open(&sim, process, beside);
    let mut teller = bus::teller(&sim, &ledger);
    let mut driver = recover(&sim, process, ledger, beside).await?;
    driver.look_at(Box::new(Watch(Rc::clone(&sim))));
    let mut told = warm_up(&sim, &market, &mut driver);
    let from = loop {
        if let Some(from) = survived(driver.look_at_open().await)? {
            break from;
        }
        sim.sleep(process, Millis(1_000)).await;
    };
    let wait = from.since(driver.now());
    sim.sleep(process, Millis(wait.0.max(0))).await;
    settle(&sim, process, &mut driver).await?;
    sim.say(|| format!("p{}: has settled", process.0));
    sim.settle(process);
    let mut due = Due { unknown: sim.now(), fills: sim.now(), sweep: sim.now().plus(Millis(SWEEP)) };
    loop {
        // As production: its own time goes on as it was; when the wall's is too far from it, it ends.
        if (sim.clock_was_set().0 - clock.0).abs() > MAX_OFFSET.0 {
            sim.say(|| format!("p{}: the clock was set", process.0));
            return Ok(());
        }
        survived(driver.take_news().await)?;
        for (_, bars) in market.closed(sim.now(), told) {
            told += 1;
            survived(driver.on_bars(bars, BAR).await)?;
            driver.flush().await?;
        }
        due.ask(&sim, &mut driver).await?;
        survived(driver.tick().await)?;
        if let Some(teller) = &mut teller {
            teller.tell().await;
        }
        sim.sleep(process, Millis(sim.between(TURN.0, TURN.1))).await;
    }
}

/// When what is asked next, as the worker's own loop does.
struct Due {
    unknown: Timestamp,
    fills: Timestamp,
    sweep: Timestamp,
}

impl Due {
    async fn ask(&mut self, sim: &Sim, driver: &mut Running) -> Result<(), DriverError> {
        if driver.is_unsure() && sim.now() >= self.unknown {
            survived(driver.settle_unknown().await)?;
            self.unknown = sim.now().plus(Millis(UNKNOWN));
        }
        survived(driver.look_again().await)?;
        if sim.now() >= self.fills {
            survived(driver.take_in_fills().await)?;
            self.fills = sim.now().plus(Millis(FILLS));
        }
        if sim.now() >= self.sweep {
            survived(driver.take_stock().await)?;
            self.sweep = sim.now().plus(Millis(SWEEP));
        }
        Ok(())
    }
}

async fn recover(
    sim: &Rc<Sim>,
    process: Process,
    ledger: SimLedger,
    beside: bool,
) -> Result<Running, DriverError> {
    let (identity, plan) = (ledger.identity(), &sim.plan);
    sim.say(|| format!("p{}: starts as epoch {} (beside another: {beside})", process.0, identity.epoch.0));
    let offset = if sim.strikes(plan.odds.clock_step) {
        sim.count(Fault::ClockStep);
        Millis(sim.between(-4_500, 4_500))
    } else {
        Millis(0)
    };
    let error = Millis(sim.between(-TERMS.clock_skew.0, TERMS.clock_skew.0));
    let venue = SimVenue { sim: Rc::clone(sim), process, epoch: identity.epoch, offset, error };
    let instruments =
        plan.rules.iter().map(|rules| InstrumentSpec { rules: rules.clone(), interval: BAR }).collect();
    Driver::recover(Start {
        config: plan.config.clone(),
        instruments,
        ledger: Some(ledger),
        identity,
        venue,
        lease: if beside { LEASE } else { Millis(0) },
        journal: Journal::keeping(plan.rules.clone()),
        observer: Listener(Rc::clone(sim)),
    })
    .await
}

/// Feeds the bars that the ledger knows of; returns how many groups those were.
fn warm_up(sim: &Sim, market: &Market, driver: &mut Running) -> usize {
    let known: Vec<Option<Timestamp>> = driver.positions().to_vec();
    let mut told = 0;
    for (_, bars) in market.closed(sim.now(), 0) {
        let before = |open: Timestamp, index: usize| known.get(index).copied().flatten() >= Some(open);
        let mut all = true;
        for (id, bar) in bars {
            if before(bar.open_time, id.index()) {
                driver.warm_up(*id, bar);
            } else {
                all = false;
            }
        }
        if !all {
            break;
        }
        told += 1;
    }
    told
}

/// Settles what its predecessor left. A venue that does not answer is asked again.
async fn settle(sim: &Rc<Sim>, process: Process, driver: &mut Running) -> Result<(), DriverError> {
    while survived(driver.settle_orders(driver.now()).await)?.is_none() {
        sim.sleep(process, Millis(1_000)).await;
    }
    while survived(driver.take_over(sim.plan.config.clone(), driver.now()).await)?.is_none() {
        sim.sleep(process, Millis(1_000)).await;
    }
    Ok(())
}

/// None: the venue did not answer. It is asked again by whoever comes next; all else ends the worker.
fn survived<T>(result: Result<T, DriverError>) -> Result<Option<T>, DriverError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(DriverError::Venue(_) | DriverError::Unsettled { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
