//! The venue's candles and prices: the past once, to fill the indicators, then whatever comes, instrument by instrument.
//!
//! An instrument is followed from when a strategy names it: its trades are read first, so that no fill of ours can be
//! taken for one of before; then its past; then what is new.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tradewind_core::config::{Config, SignalConfig};
use tradewind_core::event::EventKind;
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::name::Symbol;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::VenueError;
use tradewind_venues::binance_us::{BinanceError, MarketNews, MarketPoll};

use super::orders::rests;
use super::recording::Recording;
use super::{TURN, pause, survived, survived_all};
use crate::commands::CommandError;
use crate::driver::DriverError;
use crate::session::{Around, Running};

/// How many periods of a signal its past has: after three, what came before weighs a twentieth.
const PERIODS: i64 = 3;
/// The most candles of one instrument's past: twenty questions.
const MOST_PAST: i64 = 20_000;
/// A candle that is late is asked for again after this.
const AGAIN: Millis = Millis(5_000);
/// Anything is due.
const LONG_AGO: Timestamp = Timestamp(i64::MIN);
/// An instrument without news for this long has stale data.
const STALE: Duration = Duration::from_mins(3);

/// What is known of the market.
pub(super) struct Market {
    bar: Millis,
    /// Where bars come from instead of the venue.
    recording: Option<Recording>,
    /// What is followed, and what is asked for next.
    poll: MarketPoll,
    ids: BTreeMap<Symbol, InstrumentId>,
    /// Bars that came and are still to be told.
    untold: VecDeque<(InstrumentId, Bar)>,
    /// When each instrument was last heard of.
    heard: BTreeMap<Symbol, Instant>,
    /// When is asked next.
    due: Timestamp,
    /// The venue's words the last time it could not be asked for its time and rules.
    trouble: Option<String>,
}

impl Market {
    pub(super) fn new(bar: Millis, recording: Option<Recording>) -> Self {
        let poll = MarketPoll::new(bar, BTreeMap::new());
        Self {
            bar,
            recording,
            poll,
            ids: BTreeMap::new(),
            untold: VecDeque::new(),
            heard: BTreeMap::new(),
            due: LONG_AGO,
            trouble: None,
        }
    }

    /// Has the venue know what the ledger and the configuration name, before anything is asked.
    pub(super) fn follow_known(&mut self, driver: &mut Running, config: &Config) {
        self.ids = (0..u16::MAX)
            .map(InstrumentId)
            .map_while(|id| driver.state.rules(id).map(|rules| (rules.symbol.clone(), id)))
            .collect();
        let symbols = named_and_held(driver, config);
        self.follow(driver, &symbols);
    }

    fn follow(&self, driver: &mut Running, symbols: &[Symbol]) -> bool {
        let known: Vec<Symbol> =
            symbols.iter().filter(|symbol| self.ids.contains_key(*symbol)).cloned().collect();
        driver.venue_mut().exchange().is_some_and(|venue| venue.follow(&known))
    }

    /// The venue's time and rules, when they have grown old. What is wrong is logged when it changes.
    pub(super) async fn refresh(&mut self, driver: &mut Running) {
        let Some(venue) = driver.venue_mut().exchange() else { return };
        let trouble = match venue.refresh().await {
            Ok(()) => venue.key_problem().map(ToString::to_string),
            Err(error) => Some(error.to_string()),
        };
        if trouble != self.trouble {
            if let Some(words) = &trouble {
                tracing::warn!(words, "the venue cannot be asked as it should");
            } else {
                tracing::info!("the venue answers again");
            }
            self.trouble = trouble;
        }
    }

    /// Whether the rules of all that is open or held are known.
    pub(super) fn knows_all(driver: &mut Running) -> bool {
        let held = held(driver);
        driver
            .venue_mut()
            .exchange()
            .is_some_and(|venue| held.iter().all(|symbol| venue.rules(symbol).is_ok()))
    }

    /// The past and the price of all that is named. False when something is still missing.
    pub(super) async fn begin(
        &mut self,
        driver: &mut Running,
        config: &Config,
        around: &mut impl Around,
    ) -> Result<bool, CommandError> {
        let symbols = named_and_held(driver, config);
        self.take_up(driver, symbols, config, around).await
    }

    /// Follows what is new among the symbols. False when some of it must be asked for again.
    async fn take_up(
        &mut self,
        driver: &mut Running,
        symbols: Vec<Symbol>,
        config: &Config,
        around: &mut impl Around,
    ) -> Result<bool, CommandError> {
        let polled = self.poll.symbols();
        let mut new: Vec<Symbol> = symbols.into_iter().filter(|symbol| !polled.contains(symbol)).collect();
        new.retain(|symbol| self.ids.contains_key(symbol));
        new.sort();
        new.dedup();
        if new.is_empty() {
            return Ok(true);
        }
        self.follow(driver, &new);
        self.refresh(driver).await;
        // A trade before this is not ours; every one after it is told.
        if survived(driver.take_in_fills().await)?.is_none() {
            return Ok(false);
        }
        let mut all = true;
        for symbol in new {
            let past = past(config, &symbol, self.bar);
            match self.begin_one(driver, &symbol, past).await {
                Ok(()) => drop(self.heard.insert(symbol, Instant::now())),
                Err(DriverError::Venue(error)) => {
                    all = false;
                    self.note(driver, &symbol, &error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
            if !pause(driver, around, Duration::ZERO).await? {
                return Ok(false);
            }
        }
        Ok(all)
    }

    /// Fills the indicators of one instrument and tells its price. The candle that has just ended is left for
    /// [`Self::take_in`]: it may be decided on.
    async fn begin_one(
        &mut self,
        driver: &mut Running,
        symbol: &Symbol,
        past: i64,
    ) -> Result<(), DriverError> {
        let Some(id) = self.ids.get(symbol).copied() else { return Ok(()) };
        let now = driver.now();
        if self.recording.is_some() {
            self.poll.add(symbol.clone(), now);
            return Ok(());
        }
        let complete = Timestamp(now.0 - now.0.rem_euclid(self.bar.0.max(1)));
        let last = complete.plus(Millis(-self.bar.0));
        let mut from = complete.plus(Millis(self.bar.0.saturating_mul(-past)));
        let mut bars: Vec<Bar> = Vec::new();
        while from < last {
            let Some(venue) = driver.venue_mut().exchange() else { return Ok(()) };
            let page = venue.bars(symbol, self.bar, from).await.map_err(told)?;
            let Some(newest) = page.last() else { break };
            from = newest.close_time(self.bar);
            bars.extend(page.into_iter().filter(|bar| bar.open_time < last));
        }
        let Some(venue) = driver.venue_mut().exchange() else { return Ok(()) };
        let price = venue.quote(symbol).await.map_err(told)?.mark();
        for bar in &bars {
            driver.warm_up(id, bar);
        }
        tracing::info!(%symbol, bars = bars.len(), "followed: its past is read");
        self.poll.add(symbol.clone(), last);
        // Now, and not when those followed before it are due: that may be a minute away, and its newest candle is here.
        self.due = self.due.min(driver.now());
        driver.handle(driver.now(), EventKind::Mark { instrument: id, price }).await
    }

    /// What has come since the last turn. False when somebody asks to stop.
    pub(super) async fn take_in(
        &mut self,
        driver: &mut Running,
        around: &mut impl Around,
    ) -> Result<bool, CommandError> {
        let views = driver.state.strategy_views();
        let strategies = views.into_iter().filter(|view| view.present).map(|view| view.config).collect();
        let config = Config { account: driver.state.account().clone(), strategies };
        let symbols = named_and_held(driver, &config);
        self.take_up(driver, symbols, &config, around).await?;
        if self.recording.is_some() {
            return self.take_in_recorded(driver, around).await;
        }
        survived(self.tell_bars(driver).await)?;
        if driver.now() < self.due {
            return Ok(true);
        }
        for symbol in self.poll.symbols() {
            let Some(venue) = driver.venue_mut().exchange() else { return Ok(true) };
            match self.poll.ask_for(&symbol, venue).await {
                Ok(news) => self.tell(driver, &symbol, news).await?,
                Err(error) => self.note(driver, &symbol, &error.to_string()),
            }
            if !pause(driver, around, Duration::ZERO).await? {
                return Ok(false);
            }
        }
        let (now, due) = (driver.now(), self.poll.due(driver.now()));
        self.due = if due <= now { now.plus(AGAIN) } else { due };
        Ok(true)
    }

    /// Recorded bars that are due, for the length of a turn at most. False when somebody asks to stop.
    async fn take_in_recorded(
        &mut self,
        driver: &mut Running,
        around: &mut impl Around,
    ) -> Result<bool, CommandError> {
        let until = Instant::now() + TURN;
        while let Some(recording) = &mut self.recording
            && !is_under_way(driver)
            && recording.is_due()
            && Instant::now() < until
        {
            recording.tell(driver).await?;
            if !pause(driver, around, Duration::ZERO).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True once, when recorded bars have ended and nothing is under way.
    pub(super) fn has_just_ended(&mut self, driver: &Running) -> bool {
        !is_under_way(driver) && self.recording.as_mut().is_some_and(Recording::has_just_ended)
    }

    async fn tell(
        &mut self,
        driver: &mut Running,
        symbol: &Symbol,
        news: Vec<MarketNews>,
    ) -> Result<(), CommandError> {
        let Some(id) = self.ids.get(symbol).copied() else { return Ok(()) };
        self.heard.insert(symbol.clone(), Instant::now());
        driver.observer.totals_mut().broken_feeds.remove(symbol);
        for one in news {
            let done = match one {
                MarketNews::Bar { bar, .. } => {
                    self.count(driver, symbol, id, &bar);
                    self.untold.push_back((id, bar));
                    self.tell_bars(driver).await
                }
                MarketNews::Mark { price, .. } => {
                    driver.observer.totals_mut().marks += 1;
                    driver.handle(driver.now(), EventKind::Mark { instrument: id, price }).await
                }
            };
            survived(done)?;
        }
        survived_all(driver.flush().await.map_err(CommandError::from))?;
        Ok(())
    }

    /// Tells the bars that wait, oldest first. One that could not be told, since the venue did not answer before it, waits for
    /// the next turn, and those after it too.
    async fn tell_bars(&mut self, driver: &mut Running) -> Result<(), DriverError> {
        while let Some((id, bar)) = self.untold.front().copied() {
            let told = driver.on_bars(&[(id, bar)], self.bar).await;
            if driver.state.last_bar(id) < Some(bar.open_time) {
                return told;
            }
            self.untold.pop_front();
            told?;
        }
        Ok(())
    }

    fn count(&self, driver: &mut Running, symbol: &Symbol, id: InstrumentId, bar: &Bar) {
        let (before, now) = (driver.state.last_bar(id), driver.now());
        let totals = driver.observer.totals_mut();
        totals.bars += 1;
        totals.measures.on_bar(symbol, bar.close_time(self.bar), now);
        let gaps = totals.gaps.entry(smol_str::format_smolstr!("{symbol}")).or_default();
        *gaps += u64::from(before.is_some_and(|before| bar.open_time > before.plus(self.bar)));
    }

    /// What could not be asked for; after a while the instrument's data count as stale.
    fn note(&self, driver: &mut Running, symbol: &Symbol, words: &str) {
        tracing::warn!(%symbol, words, "no market data; asked again");
        if self.heard.get(symbol).is_none_or(|heard| heard.elapsed() >= STALE) {
            driver.observer.totals_mut().broken_feeds.insert(symbol.clone(), words.to_owned());
        }
    }
}

/// Whether an order is on its way that is to trade at once, sent or not, or nobody knows what became of one.
fn is_under_way(driver: &Running) -> bool {
    driver.is_unsure() || driver.state.open_orders().iter().any(|order| !rests(order))
}

fn told(error: BinanceError) -> DriverError {
    DriverError::Venue(VenueError::Binance(error))
}

/// What strategies name, and what is held beside.
fn named_and_held(driver: &Running, config: &Config) -> Vec<Symbol> {
    let named = config.strategies.iter().flat_map(|s| &s.instruments).map(|i| i.symbol.clone());
    named.chain(held(driver)).collect()
}

/// Instruments with an open order or a position, whoever's.
fn held(driver: &Running) -> Vec<Symbol> {
    let orders = driver.state.open_orders();
    let views = driver.state.strategy_views();
    let positions = views.iter().flat_map(|view| &view.positions).map(|held| held.rules.symbol.clone());
    orders.iter().map(|order| order.intent.symbol.clone()).chain(positions).collect()
}

/// How many candles of the past the signals in an instrument need.
fn past(config: &Config, symbol: &Symbol, bar: Millis) -> i64 {
    let trades = config.strategies.iter().filter(|s| s.instruments.iter().any(|i| i.symbol == *symbol));
    let needs = trades.map(|strategy| {
        let periods = match strategy.signal {
            SignalConfig::EmaCross { slow, .. } => slow,
            SignalConfig::RsiReversion { period, .. } => period,
        };
        let windows = i64::from(periods).saturating_mul(PERIODS).saturating_add(1);
        windows.saturating_mul(strategy.bar.0 / bar.0.max(1))
    });
    needs.max().unwrap_or(1).clamp(1, MOST_PAST)
}
