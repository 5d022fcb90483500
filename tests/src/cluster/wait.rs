//! Waiting for what happens elsewhere: look again until it is there, and on failure say what was seen last.

use std::time::{Duration, Instant};

/// What one look gave: the thing waited for, or what was there instead, in words.
pub type Seen<T> = Result<T, String>;

/// Between two looks: short against what is waited for, long against what a look costs the API server.
const PAUSE: Duration = Duration::from_millis(50);

/// Deadlines are what a test allows on an idle machine times this: others build and test beside it.
const SLACK: u32 = 3;

/// A deadline for what takes up to `seconds` on an idle machine.
pub fn patience(seconds: u64) -> Duration {
    Duration::from_secs(seconds) * SLACK
}

/// Looks again and again until `look` gives `Ok`.
///
/// # Panics
/// When `deadline` passes: names `what` was waited for and the last thing seen.
pub async fn wait_for<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Seen<T>) -> T {
    let end = Instant::now() + deadline;
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = String::from("nothing: the first look did not return");
    loop {
        ticks.tick().await;
        let left = end.saturating_duration_since(Instant::now());
        // A look that never waits would outlast any time-out.
        let seen = if left.is_zero() { None } else { tokio::time::timeout(left, look()).await.ok() };
        let Some(seen) = seen else { panic!("waited {deadline:?} for {what}; last seen: {last}") };
        match seen {
            Ok(found) => return found,
            Err(seen) => last = seen,
        }
    }
}
