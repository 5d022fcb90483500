//! Whether every watch has delivered its first complete list.

use tokio::sync::watch;

/// How many watches have not yet delivered their first complete list.
#[derive(Debug)]
pub struct Synced {
    /// None until the first watch is expected: nothing is synced before anything is watched.
    waiting: watch::Sender<Option<usize>>,
}

impl Default for Synced {
    fn default() -> Self {
        Self { waiting: watch::channel(None).0 }
    }
}

impl Synced {
    /// One more watch will deliver.
    pub fn expect_one(&self) {
        self.waiting.send_modify(|waiting| *waiting = Some(waiting.unwrap_or_default() + 1));
    }

    /// A watch has delivered its first complete list.
    pub fn one_done(&self) {
        self.waiting.send_modify(|waiting| *waiting = waiting.map(|count| count.saturating_sub(1)));
    }

    /// Whether all have.
    pub fn is_complete(&self) -> bool {
        *self.waiting.borrow() == Some(0)
    }

    /// Waits until all have.
    pub async fn complete(&self) {
        // An error means that the sender is gone, and `self` is the sender.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == Some(0)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_synced_before_all_that_is_watched_was_listed_once() {
        let synced = Synced::default();
        assert!(!synced.is_complete());
        synced.expect_one();
        synced.expect_one();
        synced.one_done();
        assert!(!synced.is_complete());
        synced.one_done();
        assert!(synced.is_complete());
    }
}
