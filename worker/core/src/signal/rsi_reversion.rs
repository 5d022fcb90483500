//! `rsiReversion`: buys while Wilder's relative strength index is at or below `oversold`, sells at or above
//! `overbought`.
//!
//! The index is TA-Lib's RSI: its first value needs `period` + 1 closes, gains and losses are smoothed by 1/period.
//!
//! Confidence: 50 % at the line, rising evenly to 100 % at 0 (buy) or 100 (sell).

use ta_lib::{Core, RsiStream};

use super::{Evaluation, confidence};
use crate::decision::{Readings, Signal};
use crate::denial::Denial;
use crate::money::Percent;
use crate::order::Side;

#[derive(Debug, Clone)]
pub(super) struct RsiReversion {
    period: u32,
    oversold: f64,
    overbought: f64,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Closes seen so far, at most `period` + 1.
    Filling(Vec<f64>),
    Running(RsiStream),
}

impl RsiReversion {
    pub(super) fn new(period: u32, oversold: Percent, overbought: Percent) -> Self {
        Self {
            period,
            oversold: points(oversold),
            overbought: points(overbought),
            state: State::Filling(Vec::new()),
        }
    }

    pub(super) fn update(&mut self, close: f64) -> Evaluation {
        let needed = self.period.saturating_add(1);
        let value = match &mut self.state {
            State::Running(stream) => stream.update(close).ok(),
            State::Filling(closes) => {
                if close.is_finite() {
                    closes.push(close);
                }
                let opened =
                    i32::try_from(self.period).ok().and_then(|p| Core::new().rsi_open(closes, p).ok());
                opened.map(|(stream, value)| {
                    self.state = State::Running(stream);
                    value
                })
            }
        };
        let Some(value) = value else {
            let bars = match &self.state {
                State::Filling(closes) => u32::try_from(closes.len()).unwrap_or(u32::MAX),
                State::Running(_) => needed,
            };
            return Evaluation {
                signal: Err(Denial::WarmingUp { bars, needed }),
                readings: Readings::default(),
            };
        };
        let signal = if value <= self.oversold {
            Some((Side::Buy, (self.oversold - value) / self.oversold))
        } else if value >= self.overbought {
            Some((Side::Sell, (value - self.overbought) / (100.0 - self.overbought)))
        } else {
            None
        };
        let signal =
            signal.map(|(side, depth)| Signal { side, confidence: confidence(0.5 + 0.5 * finite(depth)) });
        Evaluation { signal: Ok(signal), readings: Readings([value, 0.0, 0.0]) }
    }
}

/// At a line of 0 or 100 there is no depth beyond it.
fn finite(depth: f64) -> f64 {
    if depth.is_finite() { depth } else { 0.0 }
}

fn points(percent: Percent) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most a million")]
    let units = percent.0 as f64;
    units / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The closes and RSI(14) values of the worked example published with Wilder's method by `StockCharts` (cs-rsi).
    const CLOSES: [f64; 20] = [
        44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931,
        46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439,
    ];
    const PUBLISHED: [f64; 6] = [70.53, 66.32, 66.55, 69.41, 66.36, 57.97];

    #[test]
    fn values_match_the_published_example() {
        let mut rsi = RsiReversion::new(14, Percent(300_000), Percent(700_000));
        let evaluations: Vec<_> = CLOSES.iter().map(|c| rsi.update(*c)).collect();
        assert_eq!(evaluations[13].signal, Err(Denial::WarmingUp { bars: 14, needed: 15 }));
        for (evaluation, published) in evaluations[14..].iter().zip(PUBLISHED) {
            assert!(
                (evaluation.readings.0[0] - published).abs() < 0.01,
                "{:?} {published}",
                evaluation.readings
            );
        }
        let sell = evaluations[14].signal.unwrap().unwrap();
        assert_eq!(sell.side, Side::Sell);
        // 70.53 is 0.53 of 30 beyond the line: 50 + 50 * 0.53 / 30 = 50.9 %.
        assert!((508_000..510_000).contains(&sell.confidence.0), "{}", sell.confidence);
        assert_eq!(evaluations[15].signal, Ok(None));
    }

    #[test]
    fn a_fall_without_a_rise_is_oversold_with_full_confidence() {
        let mut rsi = RsiReversion::new(2, Percent(300_000), Percent(700_000));
        let last = [100.0, 99.0, 98.0, 97.0].map(|c| rsi.update(c))[3];
        assert_eq!(last.signal, Ok(Some(Signal { side: Side::Buy, confidence: Percent::ONE_HUNDRED })));
    }
}
