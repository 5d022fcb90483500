//! How long an object that failed waits before it is tried again: each kind of trouble its own, never in step.
//!
//! Pure: no clock and no randomness. The jitter comes from the object's key, so that a thousand objects that failed
//! together do not come back together, and the same object always waits the same.

use std::collections::BTreeMap;
use std::time::Duration;

use tradewind_crds::objects::Key;

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause, before the jitter.
const LONGEST: Duration = Duration::from_mins(5);

/// How often each object failed in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: BTreeMap<Key, u32>,
}

impl Backoff {
    /// The object failed once more; returns how long it waits: 1 s, 2 s, 4 s … 5 min, and up to a tenth more.
    pub fn failed(&mut self, key: &Key) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        let pause = FIRST.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(LONGEST);
        *failures = failures.saturating_add(1).min(31);
        pause + pause.mul_f64(jitter(key)) / 10
    }

    /// The object is well; its next failure waits the first pause again.
    pub fn succeeded(&mut self, key: &Key) {
        self.failures.remove(key);
    }

    /// How often it failed in a row.
    pub fn failures(&self, key: &Key) -> u32 {
        self.failures.get(key).copied().unwrap_or_default()
    }
}

/// From 0 to 1, spread evenly over keys.
#[expect(clippy::float_arithmetic, reason = "a share of a pause, not money")]
fn jitter(key: &Key) -> f64 {
    let hash = blake3::hash(key.to_string().as_bytes());
    let first = hash.as_bytes().first().copied().unwrap_or_default();
    f64::from(first) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("default", name)
    }

    /// Without the jitter, which is at most a tenth.
    fn about(pause: Duration, seconds: u64) -> bool {
        let least = Duration::from_secs(seconds);
        pause >= least && pause <= least + least / 10
    }

    #[test]
    fn the_pause_doubles_from_a_second_to_five_minutes() {
        let mut backoff = Backoff::default();
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let pause = backoff.failed(&key("a"));
            assert!(about(pause, seconds), "{pause:?} is not about {seconds} s");
        }
        for _ in 0..100 {
            assert!(about(backoff.failed(&key("a")), 300));
        }
    }

    #[test]
    fn a_success_starts_over_and_objects_do_not_wait_for_each_other() {
        let mut backoff = Backoff::default();
        backoff.failed(&key("a"));
        backoff.failed(&key("a"));
        assert_eq!((backoff.failures(&key("a")), backoff.failures(&key("b"))), (2, 0));
        assert!(about(backoff.failed(&key("b")), 1));
        backoff.succeeded(&key("a"));
        assert!(about(backoff.failed(&key("a")), 1));
        assert!(about(backoff.failed(&key("b")), 2));
    }

    #[test]
    fn objects_that_failed_together_come_back_apart() {
        let mut backoff = Backoff::default();
        let pauses: std::collections::BTreeSet<Duration> =
            (0..100).map(|i| backoff.failed(&key(&format!("strategy-{i}")))).collect();
        assert!(pauses.len() > 50, "only {} different pauses", pauses.len());
    }
}
