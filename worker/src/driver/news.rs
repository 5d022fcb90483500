//! What comes in beside bars, and the last look at it before an order leaves.
//!
//! A commit takes time in which a halt may arrive. What has arrived by the time an intent is durable is told to the
//! engine first, so that it decides with it whether the entry still leaves.

use std::collections::BTreeMap;

use smol_str::SmolStr;
use tradewind_core::engine::State;
use tradewind_core::event::{Event, EventKind};
use tradewind_core::name::Uid;
use tradewind_ledger::Ledger;
use tradewind_venues::driven::DrivenVenue;

use super::{Driver, DriverError, Observer};

/// What came in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct News {
    /// For the engine, in order.
    pub events: Vec<EventKind>,
    /// Which halts have which TradingHalt from now on; none has none any more.
    pub published: Vec<(SmolStr, Option<Uid>)>,
}

/// Who knows what came in.
pub trait LastLook {
    /// The next piece of news, against the engine as it is; none when there is no more. Must not wait.
    fn next(&mut self, state: &State, published: &BTreeMap<SmolStr, Uid>) -> Option<News>;
}

impl<L: Ledger, V: DrivenVenue, O: Observer> Driver<L, V, O> {
    /// Asks this one for news from now on, right before orders are sent and in [`Self::take_news`].
    pub fn look_at(&mut self, look: Box<dyn LastLook>) {
        self.last_look = Some(look);
    }

    /// Takes in what came, does all that follows and makes it durable. False when there was nothing.
    pub async fn take_news(&mut self) -> Result<bool, DriverError> {
        let heard = self.hear();
        if heard {
            self.act().await?;
            self.flush().await?;
        }
        Ok(heard)
    }

    /// Tells the engine what came; what follows waits.
    pub(super) fn hear(&mut self) -> bool {
        let Some(mut look) = self.last_look.take() else { return false };
        let mut heard = false;
        while let Some(news) = look.next(&self.state, &self.journal.published) {
            heard = true;
            let now = self.now();
            for kind in news.events {
                self.step(&Event { now, kind });
            }
            for (name, object) in news.published {
                self.set_published(&name, object);
            }
        }
        self.last_look = Some(look);
        heard
    }
}
