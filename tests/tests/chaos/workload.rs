//! What people do while things break.

use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{OPEN_POLICY, all, strategy_with};

/// One change of the wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Policy, account and two strategies appear.
    Create,
    /// A strategy gets another signal, the account another latency.
    Change,
    /// A strategy is halted, and the patch is taken back.
    Halt,
    /// A latched halt is resumed by its uid.
    Resume,
    /// The policy becomes stricter.
    Tighten,
    /// A strategy is deleted.
    Delete,
}

/// An account whose data goes at its own pace, so that nothing trades while two ends are compared.
fn account() -> String {
    tradewind_tests::rig::objects::account("paper", 1).replace("{times: {factor: 60}}", "{realTime: {}}")
}

fn everything() -> String {
    let one = strategy_with("trend", "paper", "AAA-USD", "");
    let two = strategy_with("other", "paper", "BBB-USD", "");
    all(&[OPEN_POLICY, &account(), &one, &two])
}

impl Workload {
    /// Brings about the state before it.
    pub(crate) async fn prepare(self, rig: &Rig) {
        if self == Self::Create {
            return;
        }
        rig.apply(&everything()).await;
        running(rig, "trend").await;
        running(rig, "other").await;
        if self == Self::Resume {
            Self::Halt.act(rig).await;
            Self::Halt.done(rig).await;
        }
    }

    /// Does it.
    pub(crate) async fn act(self, rig: &Rig) {
        match self {
            Self::Create => rig.apply(&everything()).await,
            Self::Change => {
                let signal = r#"{"signal":{"source":{"emaCross":{"fast":3,"slow":9}}}}"#;
                rig.patch("trend", signal).await.success();
                let latency = r#"{"spec":{"venue":{"paper":{"latency":"10ms"}}}}"#;
                rig.kubectl(&["patch", "exacct", "paper", "--type=merge", "-p", latency]).await.success();
            }
            Self::Halt => {
                rig.patch("trend", r#"{"halted":true}"#).await.success();
                rig.patch("trend", r#"{"halted":null}"#).await.success();
            }
            Self::Resume => {
                let uid = rig
                    .wait_json("thalt/strategy.trend.latched", ".metadata.uid", 20, |uid| !uid.is_empty())
                    .await;
                rig.patch("trend", &format!(r#"{{"resume":{{"haltID":"{uid}"}}}}"#)).await.success();
            }
            Self::Tighten => {
                let tight = r#"{"spec":{"strategy":{"maxPositionPercent":5}}}"#;
                rig.kubectl(&["patch", "riskpol", "open", "--type=merge", "-p", tight]).await.success();
            }
            Self::Delete => {
                rig.kubectl(&["delete", "strat", "trend", "--wait=false"]).await.success();
            }
        }
    }

    /// Waits until people would call it done.
    pub(crate) async fn done(self, rig: &Rig) {
        match self {
            Self::Create | Self::Tighten | Self::Resume => {
                running(rig, "trend").await;
                running(rig, "other").await;
            }
            Self::Change => {
                running(rig, "trend").await;
                let latency = ".status.applied.generation";
                rig.wait_json("exacct/paper", latency, 40, |generation| generation == "2").await;
            }
            Self::Halt => {
                rig.wait_json("strat/trend", ".status.phase", 40, |phase| phase == "Halted").await;
                rig.wait_json("strat/trend", ".status.applied.halts[0]", 40, |uid| !uid.is_empty()).await;
            }
            Self::Delete => {
                rig.kubectl(&["wait", "strat/trend", "--for=delete", "--timeout=120s"]).await.success();
            }
        }
    }
}

async fn running(rig: &Rig, strategy: &str) {
    let object = format!("strat/{strategy}");
    rig.wait_json(&object, ".status.phase", 40, |phase| phase == "Running").await;
    let generation = rig.wait_json(&object, ".metadata.generation", 40, |text| !text.is_empty()).await;
    rig.wait_json(&object, ".status.applied.generation", 40, |applied| applied == generation).await;
}
