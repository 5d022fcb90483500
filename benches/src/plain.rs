//! The reference job as a plain loop, written from its words alone: no engine, no venue, no limits, no decisions.
//!
//! It says what must come out, and what a machine can do at best. It shares no code with what it checks, the reading of
//! rows included. Once with integers, once with a decimal type.
//!
//! The job: EMA 10 and 30 (alpha 2/(n+1), from the first close); nothing before bar index 30; bought when the fast average
//! crosses above the slow one, sold when it crosses below; decided at the close, filled at the next open; 0.1 coin a
//! trade, 0.1 % of the notional as fee on each side, 1 000 000 to start. Prices have two decimals.

use std::io::Read;
use std::path::Path;

use rust_decimal::Decimal;

use crate::BenchError;

const ROW: usize = 48;
const ROWS_AT_ONCE: usize = 2_048;
const FIRST_SIGNAL: u64 = 30;

/// What the job must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Bars read.
    pub bars: u64,
    /// Fills made.
    pub fills: u64,
    /// Cash and position at the last close, exact.
    pub equity: Decimal,
    /// The lowest equity at any close: that it is asked for keeps the loops from leaving equity out.
    pub lowest: Decimal,
}

/// How the loop does its sums. Prices come in cents.
trait Money: Default {
    fn trade(&mut self, cents: i64, buy: bool);
    fn mark(&mut self, cents: i64, long: bool);
    fn result(&self) -> (Decimal, Decimal);
}

/// With 64-bit integers of a millionth: 0.1 coin at one cent is 1000 of them, and its fee is one.
struct Integers {
    cash: i64,
    equity: i64,
    lowest: i64,
}

impl Default for Integers {
    fn default() -> Self {
        let start = 1_000_000_000_000;
        Self { cash: start, equity: start, lowest: start }
    }
}

impl Money for Integers {
    #[inline]
    fn trade(&mut self, cents: i64, buy: bool) {
        let notional = cents * 1_000;
        self.cash += if buy { -notional } else { notional } - cents;
    }

    #[inline]
    fn mark(&mut self, cents: i64, long: bool) {
        self.equity = self.cash + if long { cents * 1_000 } else { 0 };
        self.lowest = self.lowest.min(self.equity);
    }

    fn result(&self) -> (Decimal, Decimal) {
        (Decimal::new(self.equity, 6).normalize(), Decimal::new(self.lowest, 6).normalize())
    }
}

/// With decimals, as the words say it.
struct Decimals {
    quantity: Decimal,
    fee: Decimal,
    cash: Decimal,
    equity: Decimal,
    lowest: Decimal,
}

impl Default for Decimals {
    fn default() -> Self {
        let start = Decimal::new(1_000_000, 0);
        Self {
            quantity: Decimal::new(1, 1),
            fee: Decimal::new(1, 3),
            cash: start,
            equity: start,
            lowest: start,
        }
    }
}

impl Money for Decimals {
    #[inline]
    fn trade(&mut self, cents: i64, buy: bool) {
        let notional = Decimal::new(cents, 2) * self.quantity;
        self.cash += if buy { -notional } else { notional };
        self.cash -= notional * self.fee;
    }

    #[inline]
    fn mark(&mut self, cents: i64, long: bool) {
        let worth = if long { Decimal::new(cents, 2) * self.quantity } else { Decimal::ZERO };
        self.equity = self.cash + worth;
        self.lowest = self.lowest.min(self.equity);
    }

    fn result(&self) -> (Decimal, Decimal) {
        (self.equity.normalize(), self.lowest.normalize())
    }
}

/// The job over a file of rows, with integers.
pub fn integers(path: &Path) -> Result<Expected, BenchError> {
    job::<Integers>(path)
}

/// The job over a file of rows, with decimals.
pub fn decimals(path: &Path) -> Result<Expected, BenchError> {
    job::<Decimals>(path)
}

fn job<M: Money>(path: &Path) -> Result<Expected, BenchError> {
    let mut file = std::fs::File::open(path).map_err(BenchError::at(path))?;
    let mut buffer = vec![[0_u8; ROW]; ROWS_AT_ONCE];
    let mut walk = Walk::<M>::default();
    loop {
        let read = fill(&mut file, buffer.as_flattened_mut())?;
        if read % ROW != 0 {
            return Err(BenchError::Wrong(format!("{} ends within a row", path.display())));
        }
        for (open, close) in buffer.iter().take(read / ROW).filter_map(decode) {
            walk.bar(open, close);
        }
        if read < ROW * ROWS_AT_ONCE {
            let (equity, lowest) = walk.money.result();
            return Ok(Expected { bars: walk.bars, fills: walk.fills, equity, lowest });
        }
    }
}

fn fill(file: &mut impl Read, mut rest: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while !rest.is_empty() {
        let count = file.read(rest)?;
        if count == 0 {
            break;
        }
        filled += count;
        rest = rest.get_mut(count..).unwrap_or_default();
    }
    Ok(filled)
}

/// Open and close of a row.
#[inline]
fn decode(row: &[u8; ROW]) -> Option<(f64, f64)> {
    let (words, _) = row.as_chunks::<8>();
    let [_, open, _, _, close, _] = words else { return None };
    Some((f64::from_le_bytes(*open), f64::from_le_bytes(*close)))
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "prices of two decimals below 10^15")]
fn cents(price: f64) -> i64 {
    (price * 100.0 + 0.5) as i64
}

#[derive(Default)]
struct Walk<M> {
    money: M,
    bars: u64,
    fills: u64,
    fast: f64,
    slow: f64,
    lead: f64,
    long: bool,
    /// Decided at the last close: buy (true) or sell.
    decided: Option<bool>,
}

impl<M: Money> Walk<M> {
    #[inline]
    fn bar(&mut self, open: f64, close: f64) {
        if let Some(buy) = self.decided.take() {
            self.money.trade(cents(open), buy);
            self.long = buy;
            self.fills += 1;
        }
        if self.bars == 0 {
            (self.fast, self.slow) = (close, close);
        }
        self.fast += 2.0 / 11.0 * (close - self.fast);
        self.slow += 2.0 / 31.0 * (close - self.slow);
        let before = self.lead;
        self.lead = self.fast - self.slow;
        if self.bars >= FIRST_SIGNAL {
            if !self.long && before <= 0.0 && self.lead > 0.0 {
                self.decided = Some(true);
            } else if self.long && before >= 0.0 && self.lead < 0.0 {
                self.decided = Some(false);
            }
        }
        self.money.mark(cents(close), self.long);
        self.bars += 1;
    }
}
