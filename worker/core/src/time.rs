//! Time as data: a point in time and a span, both whole milliseconds, UTC. Nothing here reads a clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds in a UTC day (leap seconds do not exist in Unix time).
pub const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970-01-01T00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl From<Duration> for Millis {
    /// Whole milliseconds; a span beyond all time is the longest there is.
    fn from(span: Duration) -> Self {
        Self(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Timestamp {
    /// That much later; saturates at the end of time.
    #[must_use]
    #[inline]
    pub fn plus(self, span: Millis) -> Self {
        match self.0.checked_add(span.0) {
            Some(sum) => Self(sum),
            None => Self(if span.0 > 0 { i64::MAX } else { i64::MIN }),
        }
    }

    /// Time passed since `earlier`; negative when it lies ahead.
    #[inline]
    pub fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// The number of the UTC day since 1970.
    #[inline]
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }
}
