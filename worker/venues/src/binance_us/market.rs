//! Candles and the best bid and ask, by REST.

use std::collections::BTreeMap;

use tradewind_core::instrument::Bar;
use tradewind_core::money::Price;
use tradewind_core::name::Symbol;
use tradewind_core::time::{Millis, Timestamp};

use super::reply::Quote;
use super::{BinanceError, BinanceUs, Need, reply, request};

impl BinanceUs {
    /// Complete candles that opened at that time or later, oldest first; at most [`request::CANDLES_PAGE`] of them.
    pub async fn bars(
        &mut self,
        symbol: &Symbol,
        interval: Millis,
        from: Timestamp,
    ) -> Result<Vec<Bar>, BinanceError> {
        const WHAT: &str = "the candles";
        let name = interval_name(interval)?;
        let rules = self.rules(symbol)?.clone();
        // A candle is complete by the venue's clock, as it was before the answer was made.
        let venue_time = self.signing_time().await?;
        let answer = self.read(WHAT, &request::klines(name, from, &rules), Need::Ordinary).await?;
        reply::bars(&answer.body, &rules, interval, venue_time)
            .map_err(|source| BinanceError::Reply { what: WHAT, source })
    }

    /// The best bid and ask of now.
    pub async fn quote(&mut self, symbol: &Symbol) -> Result<Quote, BinanceError> {
        const WHAT: &str = "the best bid and ask";
        let rules = self.rules(symbol)?.clone();
        let answer = self.read(WHAT, &request::book_ticker(&rules), Need::Ordinary).await?;
        reply::quote(&answer.body, &rules).map_err(|source| BinanceError::Reply { what: WHAT, source })
    }
}

/// What the venue calls candles of that length. Weeks and months begin at days of their own and are not offered.
fn interval_name(interval: Millis) -> Result<&'static str, BinanceError> {
    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    let names = [
        (MINUTE, "1m"),
        (3 * MINUTE, "3m"),
        (5 * MINUTE, "5m"),
        (15 * MINUTE, "15m"),
        (30 * MINUTE, "30m"),
        (HOUR, "1h"),
        (2 * HOUR, "2h"),
        (4 * HOUR, "4h"),
        (6 * HOUR, "6h"),
        (8 * HOUR, "8h"),
        (12 * HOUR, "12h"),
        (24 * HOUR, "1d"),
    ];
    let found = names.iter().find(|(length, _)| *length == interval.0).map(|(_, name)| *name);
    found.ok_or(BinanceError::Interval { milliseconds: interval.0 })
}

/// How long after its end a candle is asked for: it is made from the trades of its last moment.
const AFTER_THE_END: Millis = Millis(1_000);
/// Prices are asked for at least so often.
const AT_LEAST_EACH: Millis = Millis(60_000);

/// Something the market said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarketNews {
    /// A candle is complete.
    Bar {
        /// Of which instrument.
        symbol: Symbol,
        /// The candle.
        bar: Bar,
    },
    /// The fair price of now, half-way between bid and ask.
    Mark {
        /// Of which instrument.
        symbol: Symbol,
        /// The price.
        price: Price,
    },
}

/// What of the market was asked for, and what comes next. Every complete candle is told once, in order; it knows no
/// clock but the venue's.
#[derive(Debug, Clone)]
pub struct MarketPoll {
    interval: Millis,
    /// Open time of the next candle, by instrument.
    next: BTreeMap<Symbol, Timestamp>,
}

impl MarketPoll {
    /// From those candles on. Open times are multiples of the interval.
    pub fn new(interval: Millis, next: BTreeMap<Symbol, Timestamp>) -> Self {
        Self { interval, next }
    }

    /// When to ask next if it is `now` at the venue: when a candle is complete, and at least each minute.
    pub fn due(&self, now: Timestamp) -> Timestamp {
        let complete = self.next.values().map(|open| open.plus(self.interval).plus(AFTER_THE_END)).min();
        let latest = now.plus(AT_LEAST_EACH);
        complete.map_or(latest, |at| at.clamp(now, latest))
    }

    /// Also asks for those of that instrument, from that candle on.
    pub fn add(&mut self, symbol: Symbol, next: Timestamp) {
        self.next.insert(symbol, next);
    }

    /// The instruments that are asked for.
    pub fn symbols(&self) -> Vec<Symbol> {
        self.next.keys().cloned().collect()
    }

    /// Asks for what has come of one instrument since, and for its price of now; nothing of one that is not asked for.
    pub async fn ask_for(
        &mut self,
        symbol: &Symbol,
        venue: &mut BinanceUs,
    ) -> Result<Vec<MarketNews>, BinanceError> {
        let Some(next) = self.next.get_mut(symbol) else { return Ok(Vec::new()) };
        Self::ask_one(venue, symbol, self.interval, next).await
    }

    /// Asks for what has come since, and for the price of now, instrument by instrument. What one of them has no answer
    /// for is asked for again the next time and keeps none of the others waiting.
    pub async fn ask(
        &mut self,
        venue: &mut BinanceUs,
    ) -> Vec<(Symbol, Result<Vec<MarketNews>, BinanceError>)> {
        let mut all = Vec::with_capacity(self.next.len());
        for (symbol, next) in &mut self.next {
            let news = Self::ask_one(venue, symbol, self.interval, next).await;
            all.push((symbol.clone(), news));
        }
        all
    }

    async fn ask_one(
        venue: &mut BinanceUs,
        symbol: &Symbol,
        interval: Millis,
        next: &mut Timestamp,
    ) -> Result<Vec<MarketNews>, BinanceError> {
        let bars = venue.bars(symbol, interval, *next).await?;
        let price = venue.quote(symbol).await?.mark();
        let mut news = Vec::with_capacity(bars.len() + 1);
        for bar in bars.into_iter().filter(|bar| bar.open_time >= *next) {
            news.push(MarketNews::Bar { symbol: symbol.clone(), bar });
        }
        if let Some(MarketNews::Bar { bar, .. }) = news.last() {
            *next = bar.close_time(interval);
        }
        news.push(MarketNews::Mark { symbol: symbol.clone(), price });
        Ok(news)
    }
}
