//! The loop at an exchange: its market and its fills are asked for, second by second, and between the questions comes
//! whatever comes in from around.
//!
//! It promises the order in which a start becomes ready: what the predecessor signed is over, fills are read, every order
//! whose story has not ended is settled, indicators are filled, prices are those of now; only then is a bar decided on.
//! What the venue does not answer is asked again and stops nothing else. It decides nothing.

mod market;
mod orders;
mod recording;

use std::time::{Duration, Instant};

use tradewind_core::config::{Config, MarketDataConfig, Speed};
use tradewind_core::engine::OrderView;
use tradewind_core::order::{OrderState, Purpose};

use market::Market;
use orders::Orders;
use recording::Recording;

use super::connect::check_clock;
use super::{Around, Ended, Running, Waited, prune};
use crate::assembly::Assembly;
use crate::commands::CommandError;
use crate::driver::DriverError;

/// Time is told so often.
const TURN: Duration = Duration::from_secs(1);
/// Between two tries to settle what a predecessor left.
const RETRY: Duration = Duration::from_secs(3);
/// The longest.
const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// What is in flight at the end is waited for at most this long.
const DRAIN: Duration = Duration::from_secs(5);

/// An account at an exchange while it is traded.
pub(crate) struct Live {
    market: Market,
    orders: Orders,
    keep_days: u32,
    next_turn: Instant,
}

impl Live {
    /// One on the bars of the assembly; `speed` is that of recorded ones, if it is another than the account says.
    pub(crate) fn begin(
        driver: &mut Running,
        assembly: &Assembly,
        speed: Option<Speed>,
        keep_days: u32,
    ) -> Result<Self, CommandError> {
        let recording = match assembly.config.account.market_data {
            MarketDataConfig::Replay { speed: said, .. } => {
                Some(Recording::open(driver, assembly, speed.unwrap_or(said))?)
            }
            MarketDataConfig::Venue { .. } => None,
        };
        let market = Market::new(assembly.data.bar(), recording);
        Ok(Self { market, orders: Orders::new(), keep_days, next_turn: Instant::now() })
    }

    /// Takes up what was left. False when somebody asks to stop first.
    pub(crate) async fn recover(
        &mut self,
        driver: &mut Running,
        config: &impl Fn() -> Config,
        around: &mut impl Around,
    ) -> Result<bool, CommandError> {
        driver.observer.set_cycle(TURN.into());
        self.market.follow_known(driver, &config());
        let from = loop {
            self.market.refresh(driver).await;
            if let Some(from) = survived(driver.look_at_open().await)? {
                break from;
            }
            if !pause(driver, around, RETRY).await? {
                return Ok(false);
            }
        };
        tracing::info!(
            milliseconds = from.since(driver.now()).0.max(0),
            orders = driver.state.open_orders().len(),
            "waiting until nothing that was signed before can arrive any more"
        );
        while driver.now() < from {
            let left = Duration::from_millis(u64::try_from(from.since(driver.now()).0).unwrap_or(0));
            if !pause(driver, around, left).await? {
                return Ok(false);
            }
        }
        loop {
            self.market.refresh(driver).await;
            let now = driver.now();
            if Market::knows_all(driver) && survived(driver.settle_orders(now).await)?.is_some() {
                break;
            }
            if !pause(driver, around, RETRY).await? {
                return Ok(false);
            }
        }
        super::recall(driver).await?;
        while !self.market.begin(driver, &config(), around).await? {
            if !pause(driver, around, RETRY).await? {
                return Ok(false);
            }
        }
        // Until balances are compared it is not known whether something is amiss. Each try asks for all that was traded, so
        // that they must not follow each other for long.
        let mut wait = RETRY;
        while survived(driver.take_over(config(), driver.now()).await)?.is_none() {
            if !pause(driver, around, wait).await? {
                return Ok(false);
            }
            wait = (wait * 2).min(LONGEST_RETRY);
        }
        tracing::info!(orders = driver.state.open_orders().len(), "recovered: every order is settled");
        Ok(true)
    }

    /// Trades until somebody asks to stop, or recorded bars have ended; after that it may be called again, for what is held.
    pub(crate) async fn trade(
        &mut self,
        driver: &mut Running,
        around: &mut impl Around,
    ) -> Result<Ended, CommandError> {
        let mut day = driver.now().day();
        loop {
            let left = self.next_turn.saturating_duration_since(Instant::now());
            if !pause(driver, around, left).await? {
                return Ok(Ended::Drained);
            }
            if Instant::now() < self.next_turn {
                continue;
            }
            let began = Instant::now();
            self.next_turn = began + TURN;
            if !self.turn(driver, around).await? {
                return Ok(Ended::Drained);
            }
            driver.observer.totals_mut().measures.cycles.observe_time(began.elapsed());
            if self.market.has_just_ended(driver) {
                return Ok(Ended::Completed);
            }
            if driver.now().day() > day {
                day = driver.now().day();
                prune(driver, self.keep_days).await?;
            }
        }
    }

    /// What one second asks for. False when somebody asks to stop.
    async fn turn(&mut self, driver: &mut Running, around: &mut impl Around) -> Result<bool, CommandError> {
        check_clock(driver.now())?;
        self.market.refresh(driver).await;
        if !self.market.take_in(driver, around).await? {
            return Ok(false);
        }
        if !self.orders.take_in(driver, around).await? {
            return Ok(false);
        }
        survived(driver.tick().await)?;
        Ok(true)
    }

    /// The end: no entry stays open, and what came of them is known, guarded and durable. What is not answered in time is
    /// settled by the next start.
    pub(crate) async fn drain(&mut self, driver: &mut Running) -> Result<(), CommandError> {
        let ended = tokio::time::timeout(DRAIN, end_entries(driver)).await;
        for unprotected in unprotected(driver) {
            tracing::warn!(position = unprotected, "nothing at the venue protects it while no worker runs");
        }
        if let Ok(result) = ended {
            return Ok(result?);
        }
        tracing::warn!("the venue did not answer in time; the next start settles what is open");
        Ok(())
    }
}

/// Cancels entries, and looks for those of which nobody knows what became, until there are none.
async fn end_entries(driver: &mut Running) -> Result<(), DriverError> {
    loop {
        survived(driver.cancel_entries().await)?;
        survived(driver.settle_unknown().await)?;
        survived(driver.take_in_fills().await)?;
        let at_stake = |order: &OrderView| {
            let sent = matches!(order.state, OrderState::Sent | OrderState::Unknown);
            order.intent.purpose.is_entry() && (sent || order.state.is_at_the_venue())
        };
        if !driver.state.open_orders().iter().any(at_stake) {
            return driver.flush().await;
        }
        tokio::time::sleep(TURN).await;
    }
}

/// What is held and is not all guarded by stops that rest at the venue.
fn unprotected(driver: &Running) -> Vec<String> {
    let orders = driver.state.open_orders();
    let views = driver.state.strategy_views();
    let held = views.iter().flat_map(|view| view.positions.iter().map(move |position| (view, position)));
    let bare = held.filter(|(view, position)| {
        let stops = orders.iter().filter(|order| {
            order.intent.strategy == view.config.uid
                && order.intent.symbol == position.rules.symbol
                && order.intent.purpose == Purpose::StopLoss
                && order.state.is_at_the_venue()
        });
        let guarded: i64 = stops.map(|stop| stop.intent.quantity.0.saturating_sub(stop.filled.0)).sum();
        guarded < position.quantity.0
    });
    bare.map(|(view, position)| format!("{} of {}", position.rules.symbol, view.config.name)).collect()
}

/// Waits, for at most that long, while what comes in is taken in. False when somebody asks to stop.
async fn pause(
    driver: &mut Running,
    around: &mut impl Around,
    pause: Duration,
) -> Result<bool, CommandError> {
    let stop = match survived_all(around.wait(driver, pause).await)? {
        Some(waited) => waited == Waited::Stop,
        None => false,
    };
    Ok(!stop && !around.show(driver)?)
}

/// None: the venue did not answer. It is asked again by whoever comes next; all else ends the worker.
fn survived<T>(result: Result<T, DriverError>) -> Result<Option<T>, DriverError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ (DriverError::Venue(_) | DriverError::Unsettled { .. })) => {
            tracing::warn!(%error, "the venue did not answer; it is asked again");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn survived_all<T>(result: Result<T, CommandError>) -> Result<Option<T>, CommandError> {
    match result {
        Err(CommandError::Driver(error)) => Ok(survived(Err(error))?),
        Err(error) => Err(error),
        Ok(value) => Ok(Some(value)),
    }
}
