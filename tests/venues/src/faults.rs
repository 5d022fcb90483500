//! What goes wrong, and when: faults strike by the index of a request, before or after it has had its effect.

use serde::{Deserialize, Serialize};

/// What befalls a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// It arrives that many milliseconds late: its effect and its answer come then.
    DelayBefore(u64),
    /// It has its effect at once, and its answer comes that many milliseconds late.
    DelayAfter(u64),
    /// It never arrives; the connection closes without an answer.
    DropBefore,
    /// It has its effect; the connection closes without an answer.
    DropAfter,
    /// It never arrives; the connection is reset.
    ResetBefore,
    /// It has its effect; the connection is reset.
    ResetAfter,
    /// It has its effect; half of the answer's body arrives.
    HalfBody,
    /// It has its effect; the answer is JSON of another shape.
    WrongJson,
    /// It never arrives; a page for people is the answer, with status 200.
    Html,
    /// It never arrives, and that status is the answer.
    StatusBefore(u16),
    /// It has its effect, and that status is the answer.
    StatusAfter(u16),
}

impl Fault {
    /// Whether the exchange gets the request.
    pub fn has_effect(self) -> bool {
        !matches!(self, Self::DropBefore | Self::ResetBefore | Self::Html | Self::StatusBefore(_))
    }
}

/// A fault and the request it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Strike {
    /// Only requests of this method count; none counts all.
    pub method: Option<String>,
    /// Only requests of exactly this path count; none counts all.
    pub path: Option<String>,
    /// Which of them, counted from one since the strike was planned.
    pub nth: u64,
    /// What befalls it, and that many after it.
    pub fault: Fault,
    /// How many in a row; one when it does not say.
    #[serde(default = "once")]
    pub times: u64,
}

fn once() -> u64 {
    1
}

/// What is planned.
#[derive(Debug, Default)]
pub struct Plan {
    strikes: Vec<(Strike, u64)>,
    struck: u64,
}

impl Plan {
    /// Plans one more.
    pub fn add(&mut self, strike: Strike) {
        self.strikes.push((strike, 0));
    }

    /// Forgets all that is planned.
    pub fn clear(&mut self) {
        self.strikes.clear();
    }

    /// How many have struck.
    pub fn struck(&self) -> u64 {
        self.struck
    }

    /// What befalls this request: the first planned fault whose turn it is. All strikes count it.
    pub fn next(&mut self, method: &str, path: &str) -> Option<Fault> {
        let mut fault = None;
        for (strike, seen) in &mut self.strikes {
            let counts = strike.method.as_deref().is_none_or(|m| m == method)
                && strike.path.as_deref().is_none_or(|p| p == path);
            if counts {
                *seen += 1;
                if (strike.nth..strike.nth.saturating_add(strike.times)).contains(seen) && fault.is_none() {
                    fault = Some(strike.fault);
                }
            }
        }
        self.strikes
            .retain(|(strike, seen)| *seen < strike.nth.saturating_add(strike.times).saturating_sub(1));
        self.struck += u64::from(fault.is_some());
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_the_nth_request_of_its_kind_and_no_other() {
        let mut plan = Plan::default();
        let order = |nth, fault, times| Strike {
            method: Some("POST".into()),
            path: Some("/api/v3/order".into()),
            nth,
            fault,
            times,
        };
        plan.add(order(2, Fault::DropAfter, 2));
        let got: Vec<_> = (0..5).map(|_| plan.next("POST", "/api/v3/order")).collect();
        assert_eq!(got, [None, Some(Fault::DropAfter), Some(Fault::DropAfter), None, None]);
        plan.add(order(1, Fault::Html, 1));
        assert_eq!(plan.next("GET", "/api/v3/order"), None, "another method");
        assert_eq!(plan.next("POST", "/api/v3/time"), None, "another path");
        assert_eq!(plan.next("POST", "/api/v3/order"), Some(Fault::Html));
        assert_eq!(plan.struck(), 3);
    }
}
