//! What is to be looked at: each object at most once in the queue and at most once at work.
//!
//! `kube`'s own `Controller` is not used: it keeps a second store of its root objects and hides their deletion, its
//! shared streams drop deletions, it does not count failures per object, and it cannot wait for leadership. What it
//! does beside that is this file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tradewind_crds::objects::{Key, Kind};

/// The queues of the four kinds.
#[derive(Debug, Default)]
pub struct Queues {
    accounts: Queue,
    strategies: Queue,
    policies: Queue,
    halts: Queue,
}

impl Queues {
    /// The queue of a kind.
    pub fn of(&self, kind: Kind) -> &Queue {
        match kind {
            Kind::ExchangeAccount => &self.accounts,
            Kind::TradingStrategy => &self.strategies,
            Kind::RiskPolicy => &self.policies,
            Kind::TradingHalt => &self.halts,
        }
    }
}

/// One kind's queue.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

impl Queue {
    /// Has the object looked at now.
    pub fn push(&self, key: Key) {
        self.push_at(key, Instant::now());
    }

    /// Has the object looked at then, or earlier when that was asked for.
    pub fn push_at(&self, key: Key, due: Instant) {
        self.lock().push(key, due);
        self.changed.notify_one();
    }

    /// Waits for an object that is due, and takes it out. It is at work until [`Queue::done`].
    pub async fn next(&self) -> Key {
        loop {
            let next = self.lock().pop(Instant::now());
            match next {
                Ok(key) => return key,
                Err(Some(due)) => tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = self.changed.notified() => {}
                },
                Err(None) => self.changed.notified().await,
            }
        }
    }

    /// The object is not at work any more; looked at again then, when a time is given.
    pub fn done(&self, key: &Key, again: Option<Instant>) {
        self.lock().done(key, again);
        self.changed.notify_one();
    }

    /// What is at work is given up where it stands, and due again.
    pub fn abandon(&self) {
        self.lock().abandon(Instant::now());
        self.changed.notify_one();
    }

    /// How many wait or are at work.
    pub fn depth(&self) -> usize {
        let state = self.lock();
        state.due.len() + state.at_work.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue without its clock.
#[derive(Debug, Default)]
struct State {
    due: BTreeMap<Key, Instant>,
    order: BTreeSet<(Instant, Key)>,
    /// At work, and when it was asked for again meanwhile.
    at_work: BTreeMap<Key, Option<Instant>>,
}

impl State {
    fn push(&mut self, key: Key, due: Instant) {
        if let Some(again) = self.at_work.get_mut(&key) {
            *again = Some(again.map_or(due, |earlier| earlier.min(due)));
            return;
        }
        if let Some(earlier) = self.due.get(&key).copied() {
            if earlier <= due {
                return;
            }
            self.order.remove(&(earlier, key.clone()));
        }
        self.due.insert(key.clone(), due);
        self.order.insert((due, key));
    }

    /// The object that is due the longest; else when the next is.
    fn pop(&mut self, now: Instant) -> Result<Key, Option<Instant>> {
        match self.order.first() {
            None => Err(None),
            Some((due, _)) if *due > now => Err(Some(*due)),
            Some(_) => {
                let Some((_, key)) = self.order.pop_first() else { return Err(None) };
                self.due.remove(&key);
                self.at_work.insert(key.clone(), None);
                Ok(key)
            }
        }
    }

    fn abandon(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.at_work).into_keys() {
            self.push(key, now);
        }
    }

    fn done(&mut self, key: &Key, again: Option<Instant>) {
        let asked = self.at_work.remove(key).flatten();
        if let Some(due) = asked.into_iter().chain(again).min() {
            self.push(key.clone(), due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("default", name)
    }

    #[test]
    fn an_object_asked_for_twice_is_looked_at_once_at_the_earlier_time() {
        let (mut queue, now) = (State::default(), Instant::now());
        queue.push(key("a"), now + Duration::from_secs(9));
        queue.push(key("a"), now);
        queue.push(key("a"), now + Duration::from_secs(5));
        assert_eq!(queue.pop(now), Ok(key("a")));
        assert_eq!(queue.pop(now + Duration::from_mins(1)), Err(None));
    }

    #[test]
    fn an_object_at_work_is_not_handed_out_again_but_looked_at_afterwards() {
        let (mut queue, now) = (State::default(), Instant::now());
        queue.push(key("a"), now);
        assert_eq!(queue.pop(now), Ok(key("a")));
        queue.push(key("a"), now);
        assert_eq!(queue.pop(now), Err(None));
        queue.done(&key("a"), Some(now + Duration::from_mins(5)));
        assert_eq!(queue.pop(now), Ok(key("a")), "what was asked for meanwhile comes before the later time");
    }

    #[test]
    fn the_longest_due_comes_first_and_the_rest_say_when() {
        let (mut queue, now) = (State::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        queue.push(key("b"), later);
        queue.push(key("a"), later + Duration::from_secs(1));
        assert_eq!(queue.pop(now), Err(Some(later)));
        assert_eq!(queue.pop(later), Ok(key("b")));
        queue.done(&key("b"), None);
        assert_eq!(queue.pop(later), Err(Some(later + Duration::from_secs(1))));
    }

    #[test]
    fn what_was_given_up_is_due_again() {
        let (mut queue, now) = (State::default(), Instant::now());
        queue.push(key("a"), now);
        assert_eq!(queue.pop(now), Ok(key("a")));
        queue.abandon(now);
        assert_eq!(queue.pop(now), Ok(key("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken_by_an_object_that_comes_later() {
        let queue = Queue::default();
        let push = async {
            // paces: virtual time moves on, nobody waits.
            tokio::time::sleep(Duration::from_secs(3)).await;
            queue.push_at(key("a"), Instant::now() + Duration::from_secs(4));
            queue.push(key("b"));
        };
        let begun = Instant::now();
        let (first, ()) = tokio::join!(queue.next(), push);
        assert_eq!((first, begun.elapsed().as_secs()), (key("b"), 3));
        assert_eq!((queue.next().await, begun.elapsed().as_secs()), (key("a"), 7));
        assert_eq!(queue.depth(), 2, "both are still at work");
    }
}
