//! Named points at which a test may end or stop the process; without the feature `crash-points` there is nothing of them.
//!
//! A point is a call of the ledger or the venue by what it carries. Each has three places: before anything of it, when
//! its effect is there and the answer not yet known, and after the answer was taken in. Which is meant is in the variable
//! [`VARIABLE`], as `place:unanswered:1:kill`: the point, the place, the how manieth time, and `kill` or `stop`.
//!
//! It promises that nothing of it is in a program that is shipped: it is compiled for tests only. Must not change what a
//! call does or answers.

use tradewind_core::event::Record;
use tradewind_core::order::{OrderKind, OrderRequest};
use tradewind_ledger::Batch;

#[cfg(feature = "crash-points")]
pub(crate) use armed::through;

/// Where a process may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Point {
    /// The ledger is read at a start.
    History,
    /// A commit with a new intent in it.
    CommitIntent,
    /// A commit with fills in it.
    CommitFill,
    /// A commit with where an order stands now in it, and nothing of the above.
    CommitTransition,
    /// Any other commit.
    CommitRest,
    /// An order that is not a stop is sent.
    Place,
    /// A stop is sent.
    Protect,
    /// An order is cancelled.
    Cancel,
    /// The venue is asked for an order.
    Lookup,
    /// The venue is asked for open orders.
    OpenOrders,
    /// The venue is asked for trades.
    Fills,
    /// The venue is asked for balances.
    Balances,
    /// The simulated venue writes what a bar did to its book.
    Book,
    /// The process tells Redis of an event.
    Publish,
}

impl Point {
    /// The commit that carries that.
    pub(crate) fn commit(batch: &Batch<'_>) -> Self {
        let has = |of: fn(&Record) -> bool| batch.records.iter().any(of);
        if has(|record| matches!(record, Record::Intent(_))) {
            Self::CommitIntent
        } else if has(|record| matches!(record, Record::Fill { .. })) {
            Self::CommitFill
        } else if has(|record| matches!(record, Record::Transition(_))) {
            Self::CommitTransition
        } else {
            Self::CommitRest
        }
    }

    /// The sending of that order.
    pub(crate) fn place(request: &OrderRequest) -> Self {
        if matches!(request.kind, OrderKind::Stop { .. }) { Self::Protect } else { Self::Place }
    }
}

/// The call, and nothing else.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub(crate) fn through<F: Future>(_: Point, call: F) -> F {
    call
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::str::FromStr;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use nix::sys::signal::{Signal, raise};

    use super::Point;

    /// Which point is meant.
    const VARIABLE: &str = "TRADEWIND_CRASH_POINT";

    #[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
    #[strum(serialize_all = "kebab-case")]
    enum Place {
        Before,
        Unanswered,
        After,
    }

    #[derive(Debug, Clone, Copy)]
    struct Wanted {
        point: Point,
        place: Place,
        signal: Signal,
        left: u32,
        /// The answer is there and is being taken in.
        answered: bool,
    }

    impl FromStr for Wanted {
        type Err = ();

        fn from_str(text: &str) -> Result<Self, ()> {
            let parts: Vec<&str> = text.split(':').collect();
            let [point, place, left, by] = parts.as_slice() else { return Err(()) };
            let signal = match *by {
                "kill" => Signal::SIGKILL,
                "stop" => Signal::SIGSTOP,
                _ => return Err(()),
            };
            Ok(Self {
                point: point.parse().map_err(|_| ())?,
                place: place.parse().map_err(|_| ())?,
                left: left.parse().map_err(|_| ())?,
                signal,
                answered: false,
            })
        }
    }

    fn wanted() -> &'static Mutex<Option<Wanted>> {
        static WANTED: OnceLock<Mutex<Option<Wanted>>> = OnceLock::new();
        WANTED.get_or_init(|| {
            let text = std::env::var(VARIABLE).ok();
            let wanted = text.as_deref().map(|text| {
                text.parse().unwrap_or_else(|()| {
                    tracing::error!(text, "{VARIABLE} is not `point:place:number:kill or stop`");
                    std::process::exit(2)
                })
            });
            Mutex::new(wanted)
        })
    }

    /// The call, through its three places.
    pub(crate) async fn through<T>(point: Point, call: impl Future<Output = T>) -> T {
        reach(point, Place::Before);
        let answer = call.await;
        reach(point, Place::Unanswered);
        answer
    }

    fn reach(point: Point, place: Place) {
        let mut guard = wanted().lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wanted) = guard.as_mut() else { return };
        // Whatever comes next, the answer to what came before was taken in.
        let strikes = match wanted.place {
            Place::After if wanted.answered => place == Place::Before,
            Place::After => {
                let there = (point, place) == (wanted.point, Place::Unanswered);
                if there {
                    wanted.left = wanted.left.saturating_sub(1);
                    wanted.answered = wanted.left == 0;
                }
                false
            }
            meant => {
                let there = (point, place) == (wanted.point, meant);
                if there {
                    wanted.left = wanted.left.saturating_sub(1);
                }
                there && wanted.left == 0
            }
        };
        if strikes {
            let signal = wanted.signal;
            *guard = None;
            drop(guard);
            // It does not fail for these two.
            raise(signal).ok();
        }
    }
}
