//! Halts by the dozen: each time something reverts them and something crashes, and none is ever undone.

use nix::sys::signal::Signal;
use tradewind_tests::Dice;
use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{strategy, strategy_with};

use super::{HALT, trading, uid_of};

/// Denied entries after each halt.
const BARS: usize = 4;

/// Who takes `spec.halted` back.
#[derive(Debug, Clone, Copy)]
enum Revert {
    Patch,
    Apply,
    ServerSide,
    Replace,
    Recreate,
}

const REVERTS: [Revert; 5] =
    [Revert::Patch, Revert::Apply, Revert::ServerSide, Revert::Replace, Revert::Recreate];

/// What dies meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    Nothing,
    Operator,
    Worker,
}

const CRASHES: [Crash; 3] = [Crash::Nothing, Crash::Operator, Crash::Worker];

async fn revert(rig: &Rig, how: Revert) {
    let file = rig.dir().join("git.yaml");
    let text = match how {
        Revert::Apply | Revert::ServerSide => strategy_with("trend", "paper", "AAA-USD", "  halted: false"),
        _ => strategy("trend", "paper", "AAA-USD"),
    };
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let arguments: &[&str] = match how {
        Revert::Patch => {
            drop(rig.patch("trend", r#"{"halted":null}"#).await.success());
            return;
        }
        Revert::Apply => &["apply", "-f", file],
        Revert::ServerSide => {
            &["apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", file]
        }
        Revert::Replace => &["replace", "-f", file],
        Revert::Recreate => &["replace", "--force", "--timeout=150s", "-f", file],
    };
    rig.kubectl(arguments).await.success();
}

/// `HALT_RUNS` halts, five when it does not say; `make soak-halt` runs a thousand. The seed is printed, so that a run
/// that fails can be had again.
#[tokio::test]
async fn no_halt_is_ever_undone() {
    let number =
        |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (runs, seed) = (number("HALT_RUNS", 5), number("HALT_SEED", 1));
    let mut dice = Dice::new(seed);
    let mut rig = trading().await;
    for run in 0..runs {
        let pick = |dice: &mut Dice, among: usize| usize::try_from(dice.below(among as u64)).unwrap();
        let (how, crash) = (REVERTS[pick(&mut dice, REVERTS.len())], CRASHES[pick(&mut dice, CRASHES.len())]);
        let what = format!("run {run} of seed {seed}: {how:?} with {crash:?} crashing");
        let mark = rig.mark("paper", "trend").await;
        rig.patch("trend", HALT).await.success();
        match crash {
            Crash::Nothing => {}
            Crash::Operator => rig.kill_operator(),
            Crash::Worker => rig.kubelet().signal("paper-0", Signal::SIGKILL),
        }
        if crash == Crash::Operator && matches!(how, Revert::Recreate) {
            // Nobody else takes the finalizer off.
            rig.start_operator().await;
        }
        revert(&rig, how).await;
        let latched = uid_of(&rig, "strategy.trend.latched").await;
        rig.outcomes("paper", "trend", mark, "Halted", BARS).await;
        let rows = rig.decisions("paper", "trend").await;
        let rows = &rows[mark.decisions()..];
        let first = rows.iter().position(|row| row.outcome == "Halted").unwrap();
        assert!(rows[first..].iter().all(|row| row.outcome != "Enter"), "{what}: it entered under a halt");
        if rig.operator.is_none() {
            rig.start_operator().await;
        }
        let resume = format!(r#"{{"halted":null,"resume":{{"haltID":"{latched}"}}}}"#);
        rig.patch("trend", &resume).await.success();
        wait_for(&format!("{what}: the halt to be gone"), patience(30), async || {
            let left = rig.kubectl(&["get", "thalt", "-o", "name"]).await.out;
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
        rig.assert_trading("paper", "trend").await;
    }
}
