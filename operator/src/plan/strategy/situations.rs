//! Situations, and how phase and conditions tell them.

use serde_json::json;
use tradewind_crds::trading_strategy::{DesiredState, Phase};

use super::tests::World;
use super::*;
use crate::plan::fixtures::{self, halt, latch};

/// Nothing goes on, nothing stands in the way, all is granted, no halt holds.
const CALM: [&str; 4] = ["False/UpToDate", "False/NotStalled", "True/Granted", "False/NotHalted"];

/// Phase, Ready, Reconciling, Stalled, Granted and Halted; a dot where all is calm.
fn told(plan: &Plan) -> String {
    let found = |type_: &str| {
        let found = get(&plan.status.conditions, type_).unwrap();
        assert!(!found.message.is_empty() && found.observed_generation == plan.status.observed_generation);
        format!("{}/{}", found.status, found.reason)
    };
    let rest = [condition::RECONCILING, condition::STALLED, condition::GRANTED, condition::HALTED];
    let rest = rest.into_iter().zip(CALM).map(|(type_, calm)| {
        let found = found(type_);
        if found == calm { "·".to_owned() } else { found }
    });
    let phase = format!("{:?}", plan.status.phase.unwrap());
    [phase, found(condition::READY)].into_iter().chain(rest).collect::<Vec<_>>().join(" ")
}

/// A situation, what makes it of a strategy, and how it is told.
type Case = (&'static str, fn(&mut World), &'static str);

/// Of a strategy that its account has granted and its worker has not taken over yet.
fn of_new(cases: &[Case]) {
    for (case, make, expected) in cases {
        let mut world = World::new();
        make(&mut world);
        assert_eq!(told(&world.plan()), *expected, "{case}");
    }
}

/// Of a strategy that runs.
fn of_running(cases: &[Case]) {
    for (case, make, expected) in cases {
        let mut world = World::running();
        make(&mut world);
        assert_eq!(told(&world.plan()), *expected, "{case}");
    }
}

#[test]
fn as_the_spec_says() {
    of_running(&[
        ("all is well", |_| (), "Running True/Running · · · ·"),
        (
            "the replay has ended",
            |world| world.says(condition::DATA_FRESH, true, Reason::Completed, "all 5000 bars are read"),
            "Running True/Completed · · · ·",
        ),
    ]);
    of_new(&[
        (
            "exit only",
            |world| {
                world.btc().spec.desired_state = DesiredState::ExitOnly;
                world.take_over(&[]);
            },
            "ExitOnly True/ExitOnly · · · ·",
        ),
        (
            "stopped",
            |world| {
                world.btc().spec.desired_state = DesiredState::Stopped;
                world.take_over(&[]);
            },
            "Stopped True/Stopped · · · ·",
        ),
    ]);
}

#[test]
fn on_the_way() {
    of_new(&[
        ("published, not taken over", |_| (), "Starting False/WorkerStarting True/Progressing · · ·"),
        (
            "the account has just been made",
            |world| world.account().status = None,
            "Pending False/NotGranted True/Progressing · Unknown/Progressing ·",
        ),
        (
            "the worker starts",
            |world| fixtures::ready(world.account(), false, Reason::WorkerStarting, "pulls"),
            "Starting False/WorkerStarting True/Progressing · · ·",
        ),
    ]);
    of_running(&[
        (
            "an edit the worker has yet to take over",
            |world| {
                world.btc().spec.decision.bar = "2h".into();
                world.btc().metadata.generation = Some(2);
            },
            "Running False/WorkerStarting True/Progressing · · ·",
        ),
        (
            "the worker is replaced",
            |world| fixtures::ready(world.account(), false, Reason::WorkerReplacing, "ends"),
            "Starting False/WorkerReplacing True/Progressing · · ·",
        ),
        (
            "being deleted",
            |world| world.btc().metadata.deletion_timestamp = Some(fixtures::time(1_000)),
            "Stopping False/Deleting True/Deleting · · ·",
        ),
    ]);
}

#[test]
fn something_is_missing() {
    of_new(&[(
        "no such account",
        |world| world.account().metadata.name = Some("papers".to_owned()),
        "Pending False/AccountNotFound · · False/NotGranted ·",
    )]);
    of_running(&[
        (
            "the account was deleted under it",
            |world| world.objects.accounts.clear(),
            "Degraded False/AccountNotFound · · False/NotGranted ·",
        ),
        (
            "the account's policy is missing",
            |world| world.objects.policies.clear(),
            "Degraded False/PolicyNotFound · · · ·",
        ),
        (
            "its own policy is missing",
            |world| world.btc().spec.risk_policy_ref = Some("careful".into()),
            "Degraded False/PolicyNotFound · · · ·",
        ),
        (
            "the worker crashes again and again",
            |world| fixtures::ready(world.account(), false, Reason::WorkerFailing, "exit code 3"),
            "Degraded False/AccountNotReady · · · ·",
        ),
    ]);
}

#[test]
fn the_spec_cannot_run() {
    of_running(&[(
        "an invalid edit of what runs",
        |world| world.btc().spec.instruments[0].symbol = "BTC-EUR".into(),
        "Degraded False/InvalidSpec · True/InvalidSpec · ·",
    )]);
    of_new(&[
        (
            "never valid",
            |world| {
                world.btc().spec.instruments[0].symbol = "BTC-EUR".into();
                fixtures::grant(&mut world.objects);
            },
            "Pending False/InvalidSpec · True/InvalidSpec False/NotGranted ·",
        ),
        (
            "more than the account has",
            |world| {
                world.btc().spec.capital.amount = "12000".into();
                fixtures::grant(&mut world.objects);
            },
            "Pending False/NotGranted · True/NotGranted False/NotGranted ·",
        ),
    ]);
}

#[test]
fn the_worker_says_that_something_is_amiss() {
    of_running(&[
        (
            "no bars come",
            |world| world.says(condition::DATA_FRESH, false, Reason::DataUnavailable, "no bar since 10:00"),
            "Degraded False/DataUnavailable · · · ·",
        ),
        (
            "the data set lacks the symbol",
            |world| world.says(condition::DATA_FRESH, false, Reason::InstrumentUnavailable, "no BTC-USD"),
            "Degraded False/InstrumentUnavailable · True/InstrumentUnavailable · ·",
        ),
        (
            "its signal crashed the worker twice",
            |world| {
                world.says(condition::QUARANTINED, true, Reason::SignalCrashed, "twice");
                world.says(condition::DATA_FRESH, false, Reason::DataUnavailable, "none");
            },
            "Degraded False/SignalCrashed · True/SignalCrashed · ·",
        ),
        (
            "the worker does not see halts",
            |world| world.says(condition::SUPERVISED, false, Reason::Blind, "no watch"),
            "Degraded False/Blind · · · ·",
        ),
        (
            "a position has no stop",
            |world| world.says(condition::POSITIONS_PROTECTED, false, Reason::StopMissing, "BTC-USD"),
            "Degraded False/StopMissing · · · ·",
        ),
    ]);
}

#[test]
fn halts_hold() {
    of_running(&[
        (
            "on purpose",
            |world| world.objects.halts = vec![latch("btc")],
            "Halted True/Halted · · · True/Halted",
        ),
        (
            "a breaker tripped",
            |world| {
                world.objects.halts = vec![halt("strategy.btc.daily", &json!({"strategy": {"name": "btc"}}))];
            },
            "Halted True/Halted · · · True/BreakerTripped",
        ),
        (
            "the field alone",
            |world| world.btc().spec.halted = Some(true),
            // The generation is as it was, so that the worker's word still holds.
            "Halted True/Halted · · · True/Halted",
        ),
        (
            "the ledger is not known",
            |world| {
                let target = json!({"account": {"name": "paper"}});
                world.objects.halts = vec![halt("account.paper.ledger-unknown", &target)];
                world.says(condition::POSITIONS_RECONCILED, false, Reason::LedgerUnknown, "older");
            },
            "Halted False/LedgerUnknown · True/LedgerUnknown · True/LedgerUnknown",
        ),
        (
            "halted and without bars",
            |world| {
                world.objects.halts = vec![latch("btc")];
                world.says(condition::DATA_FRESH, false, Reason::DataUnavailable, "none");
            },
            "Halted False/DataUnavailable · · · True/Halted",
        ),
        (
            "being deleted",
            |world| {
                world.objects.halts = vec![latch("btc")];
                world.btc().metadata.deletion_timestamp = Some(fixtures::time(1_000));
            },
            "Stopping False/Deleting True/Deleting · · True/Halted",
        ),
    ]);
    of_new(&[(
        "born halted",
        |world| world.objects.halts = vec![latch("btc")],
        "Halted False/WorkerStarting True/Progressing · · True/Halted",
    )]);
}

#[test]
fn the_phase_is_total() {
    let standings = [
        Standing::Deleting,
        Standing::Invalid(String::new()),
        Standing::Waits(Reason::AccountNotFound, String::new()),
        Standing::Undecided(String::new()),
        Standing::Refused(String::new()),
        Standing::WorkerComing(Reason::WorkerStarting, String::new()),
        Standing::NotTakenOver(String::new()),
        Standing::Impaired(Reason::DataUnavailable, String::new()),
        Standing::Completed(String::new()),
        Standing::Runs,
    ];
    let desired = [DesiredState::Trading, DesiredState::ExitOnly, DesiredState::Stopped];
    for standing in &standings {
        for (ran, halted, desired) in [false, true]
            .into_iter()
            .flat_map(|ran| [(ran, false), (ran, true)])
            .flat_map(|(ran, halted)| desired.map(|desired| (ran, halted, desired)))
        {
            let found = phase(standing, ran, halted, desired);
            let case = format!("{standing:?} ran={ran} halted={halted} {desired:?}");
            assert_eq!(found == Phase::Stopping, *standing == Standing::Deleting, "{case}");
            if standing.runs() {
                assert!(!matches!(found, Phase::Pending | Phase::Starting | Phase::Degraded), "{case}");
            }
            assert!(found != Phase::Running || (!halted && desired == DesiredState::Trading), "{case}");
            assert!(found != Phase::Halted || halted, "{case}");
            assert!(found != Phase::Pending || !ran, "what once ran is never pending: {case}");
        }
    }
}
