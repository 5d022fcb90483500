//! What a candidate does with the Lease it read. Pure: the local clock comes in, the Lease's own times are not read.

use std::time::Duration;

/// What matters of a Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Who holds it; none when it was released.
    pub(super) holder: Option<String>,
    /// For how long after a renewal.
    pub(super) duration: Duration,
    /// What changes with each renewal.
    pub(super) version: String,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Make it, or take it: nobody holds it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// It is another's.
    Wait,
}

/// One who would lead.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: String,
    /// What another's Lease was when it last changed, and when that was seen.
    seen: Option<(String, Duration)>,
}

impl Candidate {
    pub(super) fn new(identity: &str) -> Self {
        Self { identity: identity.to_owned(), seen: None }
    }

    /// `now` is the local time since any fixed moment.
    pub(super) fn decide(&mut self, found: Option<&Record>, now: Duration) -> Step {
        let Some(record) = found else { return Step::Take };
        let Some(holder) = &record.holder else { return Step::Take };
        if *holder == self.identity {
            return Step::Renew;
        }
        match &self.seen {
            Some((version, since)) if *version == record.version => {
                if now.saturating_sub(*since) >= record.duration { Step::Take } else { Step::Wait }
            }
            _ => {
                self.seen = Some((record.version.clone(), now));
                Step::Wait
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(by: &str, version: u32) -> Record {
        let holder = Some(by.to_owned()).filter(|name| !name.is_empty());
        Record { holder, duration: Duration::from_secs(15), version: version.to_string() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_nobody_has_or_that_was_released_is_taken_at_once() {
        let mut candidate = Candidate::new("a");
        assert_eq!(candidate.decide(None, seconds(0)), Step::Take);
        assert_eq!(candidate.decide(Some(&held("", 7)), seconds(0)), Step::Take);
    }

    #[test]
    fn the_own_lease_is_renewed_also_after_a_restart() {
        assert_eq!(Candidate::new("a").decide(Some(&held("a", 7)), seconds(0)), Step::Renew);
    }

    #[test]
    fn anothers_lease_is_taken_only_after_it_was_seen_unchanged_for_its_duration() {
        let mut candidate = Candidate::new("a");
        assert_eq!(candidate.decide(Some(&held("b", 1)), seconds(100)), Step::Wait);
        assert_eq!(candidate.decide(Some(&held("b", 1)), seconds(114)), Step::Wait);
        assert_eq!(candidate.decide(Some(&held("b", 2)), seconds(115)), Step::Wait, "it was renewed");
        assert_eq!(candidate.decide(Some(&held("b", 2)), seconds(129)), Step::Wait);
        assert_eq!(candidate.decide(Some(&held("b", 2)), seconds(130)), Step::Take);
    }

    #[test]
    fn a_lease_that_passed_to_a_third_is_watched_anew() {
        let mut candidate = Candidate::new("a");
        assert_eq!(candidate.decide(Some(&held("b", 1)), seconds(0)), Step::Wait);
        assert_eq!(candidate.decide(Some(&held("c", 2)), seconds(16)), Step::Wait);
        assert_eq!(candidate.decide(Some(&held("c", 2)), seconds(30)), Step::Wait);
        assert_eq!(candidate.decide(Some(&held("c", 2)), seconds(31)), Step::Take);
    }
}
