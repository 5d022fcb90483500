//! What becomes of orders at the venue: asked for soon after they were sent, then ever more rarely, and all of it anew
//! each half minute.

use std::time::{Duration, Instant};

use tradewind_core::engine::OrderView;
use tradewind_core::order::{OrderKind, Purpose};

use super::{pause, survived};
use crate::commands::CommandError;
use crate::session::{Around, Running};

/// Everything is compared with the venue so often.
const SWEEP: Duration = Duration::from_secs(30);
/// An order of unknown outcome is asked for so often.
const UNKNOWN: Duration = Duration::from_secs(3);
/// The first pause between two questions for the fills of an order that trades at once; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(16);

/// When what is asked next.
pub(super) struct Orders {
    sweep: Instant,
    unknown: Instant,
    fills: Instant,
    pause: Duration,
    /// Orders that trade at once, as of the last turn.
    trading: usize,
}

impl Orders {
    /// The first sweep is a whole span away: the start has just taken stock.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { sweep: now + SWEEP, unknown: now, fills: now, pause: FIRST, trading: 0 }
    }

    /// Asks for what is due. False when somebody asks to stop.
    pub(super) async fn take_in(
        &mut self,
        driver: &mut Running,
        around: &mut impl Around,
    ) -> Result<bool, CommandError> {
        if driver.is_unsure() && Instant::now() >= self.unknown {
            self.unknown = Instant::now() + UNKNOWN;
            survived(driver.settle_unknown().await)?;
        }
        survived(driver.look_again().await)?;
        if !pause(driver, around, Duration::ZERO).await? {
            return Ok(false);
        }
        let trading = trading(driver);
        if trading > self.trading {
            // It has most likely filled already.
            (self.fills, self.pause) = (Instant::now(), FIRST);
        }
        if trading > 0 && Instant::now() >= self.fills {
            survived(driver.take_in_fills().await)?;
            self.fills = Instant::now() + self.pause;
            self.pause = (self.pause * 2).min(LONGEST);
        }
        self.trading = self::trading(driver);
        if Instant::now() < self.sweep {
            return Ok(true);
        }
        if !pause(driver, around, Duration::ZERO).await? {
            return Ok(false);
        }
        self.sweep = Instant::now() + SWEEP;
        survived(driver.take_stock().await)?;
        Ok(true)
    }
}

/// Orders that the venue has and that trade at once: all but those that rest.
fn trading(driver: &Running) -> usize {
    let open = driver.state.open_orders();
    let at_once = open.iter().filter(|order| !rests(order) && order.state.is_at_the_venue());
    at_once.count()
}

/// Whether an order waits in the book for its price.
pub(super) fn rests(order: &OrderView) -> bool {
    matches!(order.intent.kind, OrderKind::Stop { .. } | OrderKind::Limit { .. })
        || order.intent.purpose == Purpose::StopLoss
}
