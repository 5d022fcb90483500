//! What people do while things break: a change of their wishes, and the change that takes it back.

use std::fmt;

use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{self, OPEN_POLICY, all};

use crate::state::State;

const TREND: &str = "TradingStrategy trend";
const OTHER: &str = "TradingStrategy other";

/// A workload and the one that undoes it, so that one rig runs both as often as there are faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journey {
    /// Policy, account and a strategy appear; all of it is deleted while the strategy trades, mostly with a position open.
    Life,
    /// A strategy gets another signal and the account another latency, which needs another pod; and back.
    Edit,
    /// A strategy is halted, and the patch is taken back at once; the latched halt is resumed by its uid.
    Halt,
    /// The policy becomes stricter; and back.
    Limits,
    /// A strategy is deleted, another stays; one of its name is made.
    Strategy,
}

/// There or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    There,
    Back,
}

/// One workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) journey: Journey,
    pub(crate) way: Way,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.journey, self.way)
    }
}

impl Journey {
    /// Its two workloads, in order.
    pub(crate) fn workloads(self) -> [Workload; 2] {
        [Way::There, Way::Back].map(|way| Workload { journey: self, way })
    }

    /// Brings about the state before it.
    pub(crate) async fn prepare(self, rig: &Rig) {
        if self != Self::Life {
            rig.apply(&self.wishes()).await;
            until(rig, "all to run", |state| self.runs(state)).await;
        }
    }

    fn wishes(self) -> String {
        if self == Self::Life {
            // Two that are made in one second would come in the order of their uids.
            let strategy = objects::strategy("trend", "paper", "AAA-USD");
            return all(&[OPEN_POLICY, &objects::account("paper", 5), &strategy]);
        }
        // A bar each hour, so that nothing trades while two ends are compared.
        let account = objects::account("paper", 1).replace("dataSet: zigzag", "dataSet: coinbase-1h");
        let account = account.replace("{times: {factor: 60}}", "{realTime: {}}");
        let strategy = |name, symbol| objects::strategy(name, "paper", symbol).replace("bar: 1m", "bar: 1h");
        all(&[OPEN_POLICY, &account, &strategy("trend", "BTC-USD"), &strategy("other", "ETH-USD")])
    }

    /// Whether all runs as it is wished now.
    fn runs(self, state: &State) -> bool {
        let account = *state.part("ExchangeAccount paper", "/status/applied/generation") == "now";
        account && running(state, TREND) && (self == Self::Life || running(state, OTHER))
    }
}

impl Workload {
    /// Does it.
    pub(crate) async fn act(self, rig: &Rig) {
        match (self.journey, self.way) {
            (Journey::Life | Journey::Strategy, way) if way == self.makes() => {
                rig.apply(&self.journey.wishes()).await;
            }
            (Journey::Life, _) => {
                let all = ["strat/trend", "exacct/paper", "riskpol/open"];
                rig.kubectl(&[&["delete", "--wait=false"], &all[..]].concat()).await.success();
            }
            (Journey::Strategy, _) => {
                rig.kubectl(&["delete", "strat", "trend", "--wait=false"]).await.success();
            }
            (Journey::Edit, way) => {
                let (slow, latency) = if way == Way::There { (9, "10ms") } else { (2, "150ms") };
                let signal = format!(r#"{{"signal":{{"source":{{"emaCross":{{"slow":{slow}}}}}}}}}"#);
                rig.patch("trend", &signal).await.success();
                let latency = format!(r#"{{"spec":{{"venue":{{"paper":{{"latency":"{latency}"}}}}}}}}"#);
                rig.kubectl(&["patch", "exacct", "paper", "--type=merge", "-p", &latency]).await.success();
            }
            (Journey::Halt, Way::There) => {
                rig.patch("trend", r#"{"halted":true}"#).await.success();
                rig.patch("trend", r#"{"halted":null}"#).await.success();
            }
            (Journey::Halt, Way::Back) => {
                let latch = "thalt/strategy.trend.latched";
                let uid = rig.wait_json(latch, ".metadata.uid", 20, |uid| !uid.is_empty()).await;
                rig.patch("trend", &format!(r#"{{"resume":{{"haltID":"{uid}"}}}}"#)).await.success();
            }
            (Journey::Limits, way) => {
                let most = if way == Way::There { 5 } else { 100 };
                let limit = format!(r#"{{"spec":{{"strategy":{{"maxPositionPercent":{most}}}}}}}"#);
                rig.kubectl(&["patch", "riskpol", "open", "--type=merge", "-p", &limit]).await.success();
            }
        }
    }

    /// The way on which objects are made, not deleted.
    fn makes(self) -> Way {
        if self.journey == Journey::Life { Way::There } else { Way::Back }
    }

    /// Whether there is nothing before it.
    pub(crate) fn begins_all(self) -> bool {
        (self.journey, self.way) == (Journey::Life, Way::There)
    }

    /// Whether nothing is left after it.
    pub(crate) fn ends_all(self) -> bool {
        (self.journey, self.way) == (Journey::Life, Way::Back)
    }

    /// Waits until people would call it done.
    pub(crate) async fn done(self, rig: &Rig) {
        match (self.journey, self.way) {
            (Journey::Life, Way::Back) => {
                until(rig, "all to be gone but the ledger", |state| {
                    let ours = ["TradingStrategy", "ExchangeAccount", "RiskPolicy", "Pod", "StatefulSet"];
                    ours.iter().all(|kind| state.count(kind) == 0)
                })
                .await;
            }
            (Journey::Halt, Way::There) => {
                until(rig, "the halt to be in force", |state| {
                    let halts = state.part(TREND, "/status/applied/halts/0");
                    *state.part(TREND, "/status/phase") == "Halted" && !halts.is_null()
                })
                .await;
            }
            (Journey::Strategy, Way::There) => {
                until(rig, "trend to be gone", |state| state.count("TradingStrategy") == 1).await;
            }
            _ => {
                until(rig, "all to run as it is now", |state| self.journey.runs(state)).await;
            }
        }
    }

    /// What is left to people then: the operator keeps ledgers, and a claim that is deleted takes its volume with it.
    pub(crate) async fn tidy(self, rig: &Rig) {
        if self.ends_all() {
            rig.kubectl(&["delete", "pvc", "paper-ledger", "--timeout=60s"]).await.success();
            std::fs::remove_dir_all(rig.data_dir("paper")).expect("the worker had its ledger there");
        }
    }
}

async fn until(rig: &Rig, what: &str, wanted: impl Fn(&State) -> bool) {
    wait_for(what, patience(60), async || {
        let state = State::of(rig).await;
        if wanted(&state) { Ok(()) } else { Err(state.told()) }
    })
    .await;
}

fn running(state: &State, strategy: &str) -> bool {
    let part = |pointer| state.part(strategy, pointer).as_str() == Some("now");
    *state.part(strategy, "/status/phase") == "Running" && part("/status/applied/generation")
}
