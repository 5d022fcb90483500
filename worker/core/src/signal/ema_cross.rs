//! `emaCross`: buys when the fast exponential average crosses above the slow one, sells when it crosses below.
//!
//! Alpha is 2/(n+1); both averages start from the first close (TA-Lib's own start is a simple average, so its stream is
//! opened on that close repeated). Bars are counted from 0: there is no signal before bar index `slow`, and a cross is
//! acted on at its own bar or never.
//!
//! Confidence: let `z` be how many mean one-bar moves (an exponential average of |close - previous close| over `slow`
//! bars) the close lies beyond the slow average; confidence is z/(1+z). A close two mean moves beyond has 66.7 %.

use ta_lib::{Core, EmaStream};

use super::{Evaluation, confidence};
use crate::decision::{Readings, Signal};
use crate::denial::Denial;
use crate::order::Side;

#[derive(Debug, Clone)]
pub(super) struct EmaCross {
    fast_period: u32,
    slow_period: u32,
    streams: Option<Streams>,
    bars: u32,
}

#[derive(Debug, Clone)]
struct Streams {
    fast: EmaStream,
    slow: EmaStream,
    mean_move: Option<EmaStream>,
    close: f64,
    lead: f64,
}

impl EmaCross {
    pub(super) fn new(fast_period: u32, slow_period: u32) -> Self {
        Self { fast_period, slow_period, streams: None, bars: 0 }
    }

    #[inline]
    pub(super) fn update(&mut self, close: f64) -> Evaluation {
        let seen = self.bars;
        self.bars = self.bars.saturating_add(1);
        let Some(streams) = &mut self.streams else {
            self.streams = Streams::open(self.fast_period, self.slow_period, close);
            return self.warming_up(Readings::default());
        };
        let before = streams.lead;
        let Some((fast, slow, mean_move)) = streams.advance(close, self.slow_period) else {
            return self.warming_up(Readings::default());
        };
        if seen < self.slow_period {
            return self.warming_up(Readings([fast, slow, mean_move]));
        }
        let side = if before <= 0.0 && streams.lead > 0.0 {
            Side::Buy
        } else if before >= 0.0 && streams.lead < 0.0 {
            Side::Sell
        } else {
            return Evaluation { signal: Ok(None), readings: Readings([fast, slow, mean_move]) };
        };
        let beyond = if side == Side::Buy { close - slow } else { slow - close }.max(0.0);
        let signal = Signal { side, confidence: confidence(beyond / (beyond + mean_move)) };
        Evaluation { signal: Ok(Some(signal)), readings: Readings([fast, slow, mean_move]) }
    }

    #[cold]
    fn warming_up(&self, readings: Readings) -> Evaluation {
        let (bars, needed) = (self.bars, self.slow_period.saturating_add(1));
        Evaluation { signal: Err(Denial::WarmingUp { bars, needed }), readings }
    }
}

impl Streams {
    #[cold]
    fn open(fast_period: u32, slow_period: u32, close: f64) -> Option<Self> {
        Some(Self {
            fast: seeded(fast_period, close)?,
            slow: seeded(slow_period, close)?,
            mean_move: None,
            close,
            lead: 0.0,
        })
    }

    /// The fast average, the slow one and the mean move. None when the close is no finite number: the average keeps its
    /// state and the bar has no signal.
    #[inline]
    fn advance(&mut self, close: f64, slow_period: u32) -> Option<(f64, f64, f64)> {
        let fast = self.fast.update(close).ok()?;
        let slow = self.slow.update(close).ok()?;
        let moved = (close - self.close).abs();
        let mean_move = if let Some(stream) = &mut self.mean_move {
            stream.update(moved).ok()?
        } else {
            self.mean_move = seeded(slow_period, moved);
            moved
        };
        self.close = close;
        self.lead = fast - slow;
        Some((fast, slow, mean_move))
    }
}

/// An average whose past is that value and nothing else.
#[cold]
fn seeded(period: u32, value: f64) -> Option<EmaStream> {
    let length = i32::try_from(period).ok()?;
    let history = vec![value; usize::try_from(period).ok()?];
    Core::new().ema_open(&history, length).ok().map(|(stream, _)| stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Percent;

    /// Plain recursion of the definition: e += 2/(n+1) * (close - e), from the first close.
    fn plain(period: f64, closes: &[f64]) -> f64 {
        closes.iter().skip(1).fold(closes[0], |e, close| e + 2.0 / (period + 1.0) * (close - e))
    }

    #[test]
    fn averages_follow_their_definition_from_the_first_close() {
        // By hand for n = 3 (alpha 1/2): 10, 11, 13 -> 10, 10.5, 11.75. For n = 7 (alpha 1/4): 10, 10.25, 10.9375.
        let mut cross = EmaCross::new(3, 7);
        for close in [10.0, 11.0] {
            cross.update(close);
        }
        let readings = cross.update(13.0).readings.0;
        assert_eq!((readings[0], readings[1]), (11.75, 10.9375));

        let closes: Vec<f64> =
            (0..500).map(|i| 100.0 + f64::from((i * 37) % 23) - f64::from(i % 7)).collect();
        let mut cross = EmaCross::new(10, 30);
        let mut last = Readings::default();
        for close in &closes {
            last = cross.update(*close).readings;
        }
        for (value, expected) in [(last.0[0], plain(10.0, &closes)), (last.0[1], plain(30.0, &closes))] {
            assert!((value / expected - 1.0).abs() < 1e-13, "{value} {expected}");
        }
    }

    #[test]
    fn there_is_no_signal_before_bar_index_slow_and_an_earlier_cross_is_not_acted_on_later() {
        // Rises from the start, so the fast average leads from bar 1 on: the cross happened while warming up.
        let mut cross = EmaCross::new(2, 5);
        for index in 0..20_u32 {
            let evaluation = cross.update(100.0 + f64::from(index));
            if index < 5 {
                assert_eq!(
                    evaluation.signal,
                    Err(Denial::WarmingUp { bars: index + 1, needed: 6 }),
                    "{index}"
                );
            } else {
                assert_eq!(evaluation.signal, Ok(None), "{index}");
            }
        }
        // Turns at once: fast falls below slow within a few bars, exactly once.
        let sides: Vec<_> =
            (0..10).filter_map(|i| cross.update(119.0 - 5.0 * f64::from(i)).signal.unwrap()).collect();
        assert_eq!(sides.iter().map(|s| s.side).collect::<Vec<_>>(), [Side::Sell]);
    }

    #[test]
    fn a_cross_at_bar_index_slow_itself_counts() {
        let mut cross = EmaCross::new(2, 5);
        for close in [100.0, 99.0, 98.0, 97.0, 96.0] {
            cross.update(close);
        }
        let evaluation = cross.update(120.0);
        assert_eq!(evaluation.signal.unwrap().unwrap().side, Side::Buy);
    }

    #[test]
    fn confidence_is_how_far_the_close_lies_beyond_in_mean_moves() {
        let mut cross = EmaCross::new(2, 5);
        for close in [100.0, 99.0, 98.0, 97.0, 96.0] {
            cross.update(close);
        }
        let evaluation = cross.update(120.0);
        let [_, slow, mean_move] = evaluation.readings.0;
        // Moves 1,1,1,1,24 with alpha 1/3: 1 + 23/3.
        assert!((mean_move - (1.0 + 23.0 / 3.0)).abs() < 1e-12);
        let z = (120.0 - slow) / mean_move;
        let expected = 100.0 * z / (1.0 + z);
        let Percent(units) = evaluation.signal.unwrap().unwrap().confidence;
        #[expect(clippy::cast_precision_loss, reason = "small number in a test")]
        let found = units as f64 / 1e4;
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }

    #[test]
    fn a_flat_market_gives_no_signal() {
        let mut cross = EmaCross::new(10, 30);
        assert!((0..200).all(|_| !matches!(cross.update(50_000.01).signal, Ok(Some(_)))));
    }
}
