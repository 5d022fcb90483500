use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tradewind_crds::common::Applied;

use super::super::fixture::{NOW, account};
use super::*;
use crate::stores::pod::{Ended, Words};

fn ready() -> PodView {
    PodView {
        name: "paper-0".to_owned(),
        restart_hash: Some("hash".to_owned()),
        node: Some("node-1".to_owned()),
        phase: "Running".to_owned(),
        ready: true,
        image: Some("worker:1".to_owned()),
        ..PodView::default()
    }
}

fn starting() -> PodView {
    PodView { ready: false, ..ready() }
}

fn waiting(reason: &str, message: &str) -> PodView {
    PodView { waiting: Some(words(reason, message)), ..starting() }
}

fn words(reason: &str, message: &str) -> Words {
    Words { reason: reason.to_owned(), message: message.to_owned() }
}

fn crashed(exit_code: i32, message: &str) -> Ended {
    Ended { reason: "Error".to_owned(), exit_code, message: message.to_owned() }
}

/// An account whose worker has the configuration `config` in force and says this.
fn reporting(type_: &str, status: &str, reason: &str) -> ExchangeAccount {
    let mut account = account();
    let said = account.status.get_or_insert_default();
    said.applied = Some(Applied { generation: 1, hash: "config".to_owned(), halts: Vec::new() });
    said.conditions.push(Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: "as the worker says".to_owned(),
        observed_generation: Some(1),
        last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW),
    });
    account
}

fn fresh() -> ExchangeAccount {
    reporting(DATA_FRESH, "True", "Streaming")
}

fn signs<'a>(account: &'a ExchangeAccount, pod: Option<&'a PodView>) -> Signs<'a> {
    Signs { account, pod, claim: None, no_pod: None, restart_hash: "hash", hash: "config", halts: &[] }
}

fn of(pod: &PodView) -> (Status, Reason, Phase, String) {
    let Verdict { ready, reason, message, phase, .. } = verdict(&signs(&fresh(), Some(pod)));
    (ready, reason, phase, message)
}

#[test]
fn a_ready_pod_with_the_configuration_in_force_runs() {
    let (ready, reason, phase, message) = of(&ready());
    assert_eq!((ready, reason, phase), (Status::True, Reason::Running, Phase::Running));
    assert_eq!(message, "the worker runs on node-1");
}

#[test]
fn each_state_of_the_pod_has_its_reason_and_phase() {
    let twice = PodView { restarts: 2, ended: Some(crashed(1, "")), ..starting() };
    let often = PodView { restarts: 3, ..twice.clone() };
    let failed = PodView { phase: "Failed".to_owned(), reason: Some(words("Evicted", "disk")), ..starting() };
    let table: [(PodView, Reason, Phase); 14] = [
        (waiting("ErrImagePull", "x"), Reason::ImageUnavailable, Phase::Degraded),
        (waiting("ImagePullBackOff", "x"), Reason::ImageUnavailable, Phase::Degraded),
        (waiting("InvalidImageName", "x"), Reason::ImageUnavailable, Phase::Degraded),
        (waiting("CrashLoopBackOff", "x"), Reason::WorkerFailing, Phase::Degraded),
        (waiting("CreateContainerConfigError", "x"), Reason::WorkerFailing, Phase::Degraded),
        (waiting("ContainerCreating", ""), Reason::WorkerStarting, Phase::Starting),
        (starting(), Reason::WorkerStarting, Phase::Starting),
        (twice, Reason::WorkerStarting, Phase::Starting),
        (often, Reason::WorkerFailing, Phase::Degraded),
        (failed, Reason::WorkerFailing, Phase::Degraded),
        (PodView { deleting: true, ..ready() }, Reason::WorkerReplacing, Phase::Starting),
        (
            PodView { restart_hash: Some("old".to_owned()), ..ready() },
            Reason::WorkerReplacing,
            Phase::Starting,
        ),
        (
            PodView { unschedulable: Some("no nodes".to_owned()), node: None, ..starting() },
            Reason::WorkerPending,
            Phase::Degraded,
        ),
        (PodView { restarts: 9, ended: Some(crashed(137, "")), ..ready() }, Reason::Running, Phase::Running),
    ];
    for (pod, reason, phase) in table {
        let (_, seen_reason, seen_phase, message) = of(&pod);
        assert_eq!((seen_reason, seen_phase), (reason, phase), "{pod:?}: {message}");
    }
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_in_the_same_words_at_each_try() {
    let first = waiting("ErrImagePull", "failed to resolve worker:1: not found");
    let again = "Back-off pulling image \"worker:1\": ErrImagePull: failed to resolve worker:1: not found";
    let again = waiting("ImagePullBackOff", again);
    let words = "image worker:1 cannot be pulled: failed to resolve worker:1: not found";
    assert_eq!((of(&first).3.as_str(), of(&again).3.as_str()), (words, words));
}

#[test]
fn a_crash_is_told_by_its_last_words() {
    let mut pod = waiting("CrashLoopBackOff", "back-off 10s restarting failed container");
    pod.restarts = 4;
    pod.ended = Some(crashed(3, "first line\nthe ledger is locked by another process\n"));
    assert_eq!(
        of(&pod).3,
        "the worker of pod paper-0 was started anew 4 times; it ended with Error (exit code 3): the ledger is locked \
         by another process"
    );
}

#[test]
fn a_lost_node_waits_for_a_person_and_starts_no_second_worker() {
    // Silent for a while, and later evicted.
    for deleting in [false, true] {
        let pod = PodView { silent: true, ready: false, deleting, ..ready() };
        let account = fresh();
        let verdict = verdict(&signs(&account, Some(&pod)));
        assert_eq!(
            (verdict.reason, verdict.phase, verdict.stalled),
            (Reason::NodeLost, Phase::Degraded, true)
        );
        assert!(verdict.message.ends_with("kubectl delete node node-1"), "{}", verdict.message);
    }
}

#[test]
fn a_pod_without_a_volume_names_claim_and_storage_class() {
    let pod = PodView {
        node: None,
        unschedulable: Some(
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.".to_owned(),
        ),
        ..starting()
    };
    let account = fresh();
    let claim = Claim { phase: "Pending".to_owned(), storage_class: Some("fast".to_owned()), size: None };
    let verdict = verdict(&Signs { claim: Some(&claim), ..signs(&account, Some(&pod)) });
    assert_eq!(verdict.reason, Reason::WorkerPending);
    assert_eq!(
        verdict.message,
        "pod paper-0 waits: 0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims; claim \
         paper-ledger is Pending (storage class fast)"
    );
}

#[test]
fn a_pod_that_is_not_made_says_why() {
    let account = fresh();
    let none = verdict(&signs(&account, None));
    assert_eq!((none.reason, none.phase), (Reason::WorkerStarting, Phase::Starting));
    let refused = verdict(&Signs { no_pod: Some("exceeded quota: pods"), ..signs(&account, None) });
    assert_eq!((refused.reason, refused.phase), (Reason::ChildRefused, Phase::Degraded));
    assert!(refused.message.contains("exceeded quota: pods"), "{}", refused.message);
}

#[test]
fn a_worker_that_runs_another_configuration_is_not_ready_yet() {
    let (pod, account) = (ready(), fresh());
    let behind = verdict(&Signs { hash: "next", ..signs(&account, Some(&pod)) });
    assert_eq!((behind.ready, behind.reason), (Status::False, Reason::WorkerStarting));
    let silent = super::super::fixture::account();
    assert_eq!(verdict(&signs(&silent, Some(&pod))).reason, Reason::WorkerStarting);
}

#[test]
fn what_the_worker_says_of_itself_is_repeated() {
    let table = [
        (
            reporting(POSITIONS_RECONCILED, "False", "LedgerUnavailable"),
            Status::False,
            Reason::LedgerUnavailable,
            Phase::Degraded,
        ),
        (reporting(SUPERVISED, "False", "LeaseLost"), Status::False, Reason::LeaseLost, Phase::Degraded),
        (reporting(DATA_FRESH, "False", "Completed"), Status::True, Reason::Completed, Phase::Running),
        (reporting(DATA_FRESH, "True", "Completed"), Status::True, Reason::Completed, Phase::Running),
        (reporting(DATA_FRESH, "False", "NoSuchReason"), Status::True, Reason::Running, Phase::Running),
    ];
    for (account, ready_now, reason, phase) in table {
        let pod = ready();
        let verdict = verdict(&signs(&account, Some(&pod)));
        assert_eq!((verdict.ready, verdict.reason, verdict.phase), (ready_now, reason, phase), "{verdict:?}");
    }
}

#[test]
fn an_account_halted_on_purpose_is_ready() {
    let (pod, account) = (ready(), fresh());
    let halts = ["drill".to_owned()];
    let verdict = verdict(&Signs { halts: &halts, ..signs(&account, Some(&pod)) });
    assert_eq!((verdict.ready, verdict.reason, verdict.phase), (Status::True, Reason::Halted, Phase::Halted));
}

#[test]
fn words_of_the_cluster_become_part_of_a_sentence() {
    assert_eq!(sentence("a\nb.\n"), "b");
    assert_eq!(sentence(" \n"), "no more is said");
    assert_eq!(sentence(&"é".repeat(400)).len(), 512);
}
