use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::json;
use tradewind_crds::reasons::condition::{HALTED, READY, RECONCILING, STALLED};
use tradewind_crds::trading_strategy::TradingStrategy;

use super::fixture::*;
use super::*;
use crate::plan::conditions::{because, get, is};

fn one() -> Objects {
    objects(&[strategy("alpha", 1, "BTC-USD")])
}

fn planned(observed: &Observed) -> Plan {
    plan(observed, &settings(&[]), NOW)
}

fn condition<'a>(plan: &'a Plan, type_: &str) -> &'a Condition {
    get(&plan.status.conditions, type_).unwrap()
}

fn deleting(mut observed: Observed) -> Observed {
    observed.account.metadata.deletion_timestamp = Some(Time(NOW));
    observed.objects.accounts = vec![observed.account.clone()];
    observed
}

fn alone(mut observed: Observed) -> Observed {
    observed.objects.strategies.clear();
    observed
}

fn annotate(observed: &mut Observed, name: &str, value: &str) {
    let annotations = observed.account.metadata.annotations.get_or_insert_default();
    annotations.insert(name.to_owned(), value.to_owned());
}

fn doomed(plan: &Plan) -> Vec<String> {
    plan.deletes.iter().map(|doomed| doomed.id.to_string()).collect()
}

#[test]
fn a_new_account_gets_its_finalizer_its_grants_recorded_and_all_children() {
    let plan = planned(&observed(one()));
    assert_eq!(plan.finalizer, Finalizer::Add);
    assert!(plan.record_grants);
    assert!(plan.children.is_some());
    assert_eq!((plan.withheld.len(), plan.deletes.len(), plan.replace_pod.as_ref()), (0, 0, None));
    assert_eq!((plan.verdict.reason, plan.status.phase), (Reason::WorkerStarting, Some(Phase::Starting)));
    assert_eq!(plan.status.grants.len(), 1, "the status written before the children has the grants");
    assert_eq!(plan.status.strategies.as_deref(), Some("0/1"));
    assert_eq!(plan.notices.len(), 1);
}

#[test]
fn a_running_account_says_so_and_where() {
    let seen = running(one());
    let plan = planned(&seen);
    assert_eq!((plan.verdict.reason, plan.status.phase), (Reason::Running, Some(Phase::Running)));
    assert_eq!(plan.status.strategies.as_deref(), Some("1/1"));
    assert_eq!(plan.status.venue.as_deref(), Some("Paper"));
    let worker = plan.status.worker.unwrap();
    assert_eq!(
        (worker.pod.as_str(), worker.node.as_deref(), worker.ready),
        ("paper-0", Some("node-1"), true)
    );
    assert_eq!(plan.status.observed_generation, Some(1));
}

/// What people may have done to one of the strategies, and to the rest.
fn situations() -> Vec<Objects> {
    let edits: [fn(&mut TradingStrategy); 5] = [
        |_| {},
        spoil,
        |strategy| strategy.spec.capital.amount = "9900".into(),
        |strategy| strategy.metadata.deletion_timestamp = Some(Time(NOW)),
        |strategy| strategy.spec.risk_policy_ref = Some("careful".into()),
    ];
    let all =
        [strategy("alpha", 1, "BTC-USD"), strategy("beta", 2, "ETH-USD"), strategy("gamma", 3, "BTC-USD")];
    let mut situations = Vec::new();
    for first in edits {
        for second in edits {
            for without_policy in [false, true] {
                let mut next = edited(&edited(&objects(&all), "alpha", first), "beta", second);
                if without_policy {
                    next.policies.clear();
                }
                next.halts = vec![halt("drill", &json!({"account": {"name": "paper"}}))];
                situations.push(next);
            }
        }
    }
    situations
}

#[test]
fn the_plan_of_a_plan_that_was_carried_out_changes_nothing() {
    let later = Timestamp::from_second(NOW.as_second() + 3_600).unwrap();
    let all =
        [strategy("alpha", 1, "BTC-USD"), strategy("beta", 2, "ETH-USD"), strategy("gamma", 3, "BTC-USD")];
    for objects in situations() {
        // From nothing, and from a running account that people then edited.
        for begin in [observed(objects.clone()), running(fixture::objects(&all))] {
            let mut seen = Observed { objects: objects.clone(), ..begin };
            for _ in 0..3 {
                seen.objects.accounts = vec![seen.account.clone()];
                seen = carried_out(&seen, &planned(&seen), &settings(&[]));
            }
            let rest = plan(&seen, &settings(&[]), later);
            let mut said = seen.account.status.clone().unwrap();
            said.applied = None;
            assert_eq!(rest.status, said, "nothing to report");
            assert!(!rest.record_grants && rest.finalizer == Finalizer::Leave, "{rest:?}");
            assert_eq!((rest.replace_pod, rest.deletes, rest.notices), (None, vec![], vec![]));
            let data = rest.children.and_then(|children| children.config_map.data);
            assert_eq!(data, seen.data, "nothing to publish");
        }
    }
}

#[test]
fn a_missing_policy_is_waited_for_and_an_invalid_spec_needs_a_person() {
    let mut objects = one();
    objects.policies.clear();
    let plan = planned(&observed(objects));
    assert_eq!((plan.verdict.reason, plan.status.phase), (Reason::PolicyNotFound, Some(Phase::Pending)));
    assert!(is(&plan.status.conditions, RECONCILING, Status::True));
    assert!(is(&plan.status.conditions, STALLED, Status::False));
    assert!(condition(&plan, READY).message.contains("house"), "{}", condition(&plan, READY).message);
    assert!(plan.children.is_none(), "an account that was never valid has no worker");

    let mut objects = one();
    objects.accounts[0].spec.allow_live = true;
    let plan = planned(&observed(objects));
    assert_eq!((plan.verdict.reason, plan.verdict.stalled), (Reason::InvalidSpec, true));
    assert!(is(&plan.status.conditions, RECONCILING, Status::False));
}

#[test]
fn an_invalid_edit_of_a_running_account_keeps_its_worker_as_it_is() {
    let mut seen = running(one());
    let before = planned(&seen).children;
    seen.account.spec.allow_live = true;
    seen.account.metadata.generation = Some(2);
    seen.objects.accounts = vec![seen.account.clone()];
    let plan = planned(&seen);
    assert_eq!((plan.verdict.reason, plan.status.phase), (Reason::InvalidSpec, Some(Phase::Degraded)));
    assert_eq!(plan.children, before);
    assert_eq!(plan.replace_pod, None);
    assert_eq!(condition(&plan, READY).observed_generation, Some(2));
}

#[test]
fn what_needs_a_new_process_replaces_the_pod_by_its_uid() {
    let uid = Some("uid of the pod".to_owned());
    let mut restarted = running(one());
    annotate(&mut restarted, names::RESTARTED_AT, "2026-01-01T00:00:00Z");
    let plan = planned(&restarted);
    assert_eq!(plan.replace_pod, uid);
    let told: Vec<_> =
        plan.notices.iter().filter(|notice| notice.reason == Reason::WorkerReplacing).collect();
    assert!(!told.is_empty(), "{:?}", plan.notices);
    for notice in told {
        let pod = notice.related.clone().unwrap();
        assert_eq!((pod.kind.as_deref(), pod.uid), (Some("Pod"), uid.clone()), "the event names it");
    }

    let mut faster = running(one());
    let tradewind_crds::exchange_account::Venue::Paper(venue) = &mut faster.account.spec.venue else {
        panic!("a desk on paper")
    };
    venue.latency = "10ms".into();
    faster.objects.accounts = vec![faster.account.clone()];
    assert_eq!(planned(&faster).replace_pod, uid);

    faster.pod.as_mut().unwrap().deleting = true;
    assert_eq!(planned(&faster).replace_pod, None, "one that ends is not deleted again");
}

#[test]
fn an_operators_upgrade_strategies_and_limits_restart_nobody() {
    let seen = running(one());
    let upgraded = plan(
        &seen,
        &settings(&["--worker-image", "worker:2", "--worker-cpu-request", "70m", "--worker-log", "debug"]),
        NOW,
    );
    assert_eq!(upgraded.replace_pod, None);
    let container =
        &upgraded.children.unwrap().stateful_set.spec.unwrap().template.spec.unwrap().containers[0];
    assert_eq!(container.image.as_deref(), Some("worker:2"), "the next pod has it");

    let mut more = seen.clone();
    more.objects.strategies.push(strategy("beta", 2, "ETH-USD"));
    more.objects.policies[0].spec.account =
        Some(serde_json::from_value(json!({"maxExposurePercent": 40})).unwrap());
    let plan = planned(&more);
    assert_eq!(plan.replace_pod, None);
    assert_ne!(plan.children.unwrap().config_map.data, seen.data, "yet both are published");
}

#[test]
fn a_pod_that_cannot_run_is_replaced_for_another_image_and_one_that_runs_is_not() {
    let mut seen = running(one());
    let upgraded = |seen: &Observed| plan(seen, &settings(&["--worker-image", "worker:2"]), NOW).replace_pod;
    assert_eq!(upgraded(&seen), None);
    let words = crate::stores::pod::Words { reason: "ImagePullBackOff".to_owned(), message: "no".to_owned() };
    let pod = seen.pod.as_mut().unwrap();
    (pod.ready, pod.waiting) = (false, Some(words));
    assert_eq!(upgraded(&seen).as_deref(), Some("uid of the pod"));
    assert_eq!(planned(&seen).replace_pod, None, "the same image again would not help");
    seen.pod.as_mut().unwrap().image = Some("mirror.example/worker:1".to_owned());
    assert_eq!(planned(&seen).replace_pod, None, "nor what a webhook makes of it, pass after pass");
    assert_eq!(upgraded(&seen).as_deref(), Some("uid of the pod"));
}

#[test]
fn a_foreign_object_is_named_left_alone_and_keeps_a_worker_from_being_made() {
    for kind in [ChildKind::ConfigMap, ChildKind::PersistentVolumeClaim, ChildKind::Service] {
        let mut seen = observed(one());
        let id = child_ids(&Key::new("desk", "paper"), &settings(&[])).into_iter().find(|id| id.kind == kind);
        let id = id.unwrap();
        seen.children.insert(id.clone(), child(&id, false));
        let plan = planned(&seen);
        assert_eq!((plan.verdict.reason, plan.verdict.stalled), (Reason::ForeignObject, true));
        assert!(plan.verdict.message.contains(&id.to_string()), "{}", plan.verdict.message);
        assert!(plan.withheld.contains(&id));
        assert!(plan.withheld.contains(&fixture::id(ChildKind::StatefulSet, "paper")));
        assert_eq!(plan.deletes, []);
    }
}

#[test]
fn a_foreign_object_beside_a_running_worker_lets_it_go_on() {
    let mut seen = running(one());
    let service = id(ChildKind::Service, "paper-worker");
    seen.children.insert(service.clone(), child(&service, false));
    let plan = planned(&seen);
    assert_eq!(plan.verdict.reason, Reason::ForeignObject);
    assert_eq!(plan.withheld, BTreeSet::from([service]));
    assert!(plan.children.is_some(), "its configuration is still published");
}

#[test]
fn what_is_ours_is_known_by_label_or_by_who_applied_it() {
    let account = Key::new("desk", "paper");
    let id = id(ChildKind::ConfigMap, "paper-config");
    let labelled = Child { applied_by_us: false, ..child(&id, true) };
    let stripped = Child { applied_by_us: true, ..child(&id, false) };
    assert!(is_ours(&labelled, &account) && is_ours(&stripped, &account));
    assert!(!is_ours(&child(&id, false), &account));
    assert!(!is_ours(&labelled, &Key::new("desk", "other")), "a child of another account");
    let shared = ChildId::new(ChildKind::Role, "tradewind-system", "tradewind-halts-desk".to_owned());
    let mut role = Child { applied_by_us: false, ..child(&shared, true) };
    role.labels.remove(names::ACCOUNT_LABEL);
    assert!(is_ours(&role, &account));
    assert!(!is_ours(&role, &Key::new("elsewhere", "paper")));
}

#[test]
fn a_refusal_of_the_api_server_is_told_in_its_words() {
    let seen = observed(one());
    let plan = planned(&seen);
    let words = "persistentvolumeclaims \"paper-ledger\" is forbidden: exceeded quota: small".to_owned();
    let refusal = Refusal { id: id(ChildKind::PersistentVolumeClaim, "paper-ledger"), words };
    let (status, notices) = refused(&seen, &plan, std::slice::from_ref(&refusal), NOW);
    let ready = get(&status.conditions, READY).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "ChildRefused"));
    assert!(ready.message.contains("exceeded quota: small"), "{}", ready.message);
    assert_eq!((status.phase, &status.grants), (Some(Phase::Degraded), &plan.status.grants));
    assert!(notices.iter().any(|notice| notice.warning && notice.reason == Reason::ChildRefused));
    assert_eq!(refused(&seen, &plan, &[], NOW), (plan.status.clone(), plan.notices.clone()));
    let leaving = deleting(seen);
    let (status, _) = refused(&leaving, &planned(&leaving), &[refusal], NOW);
    assert!(
        !because(&status.conditions, READY, Reason::ChildRefused),
        "a namespace that goes takes nothing new"
    );
}

#[test]
fn a_halt_of_the_account_is_listed_with_the_command_that_resumes_it() {
    let mut seen = running(one());
    seen.objects.halts = vec![halt("drill", &json!({"account": {"name": "paper"}}))];
    let plan = planned(&seen);
    let halted = condition(&plan, HALTED);
    assert_eq!((halted.status.as_str(), halted.reason.as_str()), ("True", "Halted"));
    assert!(halted.message.contains("kubectl delete thalt drill -n desk"), "{}", halted.message);
    assert_eq!((plan.verdict.ready, plan.status.phase), (Status::True, Some(Phase::Halted)));
    let halt_status = plan.status.halt.unwrap();
    assert_eq!(halt_status.sources[0].requested_by, "ann");
    let partly = halt("part", &json!({"account": {"name": "paper"}}));
    seen.objects.halts = vec![partly];
    seen.objects.halts[0].spec.instruments = vec!["BTC-USD".into()];
    assert_eq!(planned(&seen).status.phase, Some(Phase::Running), "others are still entered");
}

#[test]
fn a_network_policy_that_is_switched_off_goes_away() {
    let seen = running(one());
    let plan = plan(&seen, &settings(&["--network-policies", "false"]), NOW);
    assert_eq!(doomed(&plan), ["NetworkPolicy desk/paper-worker"]);
    assert_eq!(plan.children.unwrap().network_policy, None);
}

#[test]
fn an_account_that_is_named_stays_and_says_by_whom() {
    let plan = planned(&deleting(running(one())));
    assert_eq!((plan.verdict.reason, plan.status.phase), (Reason::InUse, Some(Phase::Stopping)));
    assert!(plan.verdict.message.contains("alpha"), "{}", plan.verdict.message);
    assert!(plan.children.is_some(), "its worker still has to settle the strategies");
    assert_eq!((plan.deletes, plan.finalizer), (vec![], Finalizer::Leave));
}

#[test]
fn a_deleted_account_ends_its_worker_first_and_removes_the_rest_when_that_is_gone() {
    let seen = deleting(alone(running(one())));
    let first = planned(&seen);
    assert_eq!(doomed(&first), ["StatefulSet desk/paper"]);
    assert_eq!(first.replace_pod.as_deref(), Some("uid of the pod"));
    assert_eq!((first.finalizer, first.children.is_none()), (Finalizer::Leave, true));
    assert_eq!(first.delete_lease, None);

    let mut ending = seen.clone();
    ending.children.remove(&id(ChildKind::StatefulSet, "paper"));
    ending.pod.as_mut().unwrap().deleting = true;
    ending.pod_ends = Some(NOW);
    let second = planned(&ending);
    assert_eq!((doomed(&second), second.replace_pod, second.finalizer), (vec![], None, Finalizer::Leave));

    let gone = Observed { pod: None, pod_ends: None, lease: Some("lease".to_owned()), ..ending };
    let last = planned(&gone);
    assert_eq!(last.finalizer, Finalizer::Remove);
    assert_eq!(last.delete_lease.as_deref(), Some("lease"));
    assert_eq!(
        doomed(&last),
        [
            "Service desk/paper-worker",
            "NetworkPolicy desk/paper-worker",
            "ConfigMap desk/paper-config",
            "RoleBinding desk/paper-worker",
            "Role desk/paper-worker",
            "ServiceAccount desk/paper-worker",
            "RoleBinding tradewind-system/tradewind-halts-desk",
            "Role tradewind-system/tradewind-halts-desk",
        ],
        "the claim of the ledger stays"
    );
    let kept = last.notices.iter().find(|notice| notice.reason == Reason::LedgerKept).unwrap();
    assert!(kept.note.ends_with("kubectl delete pvc paper-ledger -n desk"), "{}", kept.note);
}

#[test]
fn what_a_namespace_shares_stays_while_another_account_is_there() {
    let mut seen = deleting(alone(running(one())));
    seen.pod = None;
    seen.children.remove(&id(ChildKind::StatefulSet, "paper"));
    seen.accounts = vec!["other".to_owned(), "paper".to_owned()];
    let plan = planned(&seen);
    assert!(doomed(&plan).iter().all(|id| !id.contains("tradewind-system")), "{:?}", plan.deletes);
}

#[test]
fn a_worker_of_an_account_that_is_being_deleted_may_still_see_halts() {
    let plan = planned(&deleting(running(one())));
    let binding = plan.children.unwrap().halt_reader.unwrap().binding;
    let subjects: Vec<String> = binding.subjects.into_iter().flatten().map(|subject| subject.name).collect();
    assert_eq!(subjects, ["paper-worker"]);
    let ending = planned(&deleting(alone(running(one()))));
    assert_eq!(doomed(&ending), ["StatefulSet desk/paper"], "what it may do outlives its pod");
}

#[test]
fn a_foreign_object_outlives_the_account() {
    let mut seen = deleting(alone(running(one())));
    seen.pod = None;
    seen.children.remove(&id(ChildKind::StatefulSet, "paper"));
    let service = id(ChildKind::Service, "paper-worker");
    seen.children.insert(service.clone(), child(&service, false));
    assert!(planned(&seen).deletes.iter().all(|doomed| doomed.id != service));
}

#[test]
fn a_pod_that_is_not_seen_to_end_is_given_up_after_the_time_box_and_the_account_says_so() {
    let mut seen = deleting(alone(running(one())));
    seen.pod.as_mut().unwrap().deleting = true;
    seen.pod_ends = Some(NOW);
    let at = |seconds: i64| {
        let now = Timestamp::from_second(NOW.as_second() + seconds).unwrap();
        plan(&seen, &settings(&[]), now)
    };
    assert_eq!(at(299).finalizer, Finalizer::Leave);
    let late = at(300);
    assert_eq!(late.finalizer, Finalizer::Remove);
    assert!(late.notices.iter().any(|notice| notice.warning && notice.reason == Reason::ReleasedUnsettled));
    assert!(doomed(&late).contains(&"StatefulSet desk/paper".to_owned()));
    assert!(!doomed(&late).iter().any(|id| id.starts_with("PersistentVolumeClaim")));
}

#[test]
fn a_stateful_set_that_a_finalizer_keeps_is_given_up_after_the_time_box_and_named() {
    let mut seen = deleting(alone(running(one())));
    seen.pod = None;
    let set = seen.children.get_mut(&id(ChildKind::StatefulSet, "paper")).unwrap();
    (set.deleted, set.finalizers) = (Some(NOW), vec!["backup.example/hold".to_owned()]);
    let at = |seconds: i64| {
        let now = Timestamp::from_second(NOW.as_second() + seconds).unwrap();
        plan(&seen, &settings(&[]), now)
    };
    assert_eq!(at(299).finalizer, Finalizer::Leave);
    let late = at(300);
    assert_eq!(late.finalizer, Finalizer::Remove);
    let warned = |text: &str| {
        let warning = |notice: &&Notice| notice.warning && notice.reason == Reason::ReleasedUnsettled;
        late.notices.iter().filter(warning).any(|notice| notice.note.contains(text))
    };
    assert!(warned("its StatefulSet desk/paper was not seen to go away in time; it is released"), "{late:?}");
    assert!(warned("StatefulSet desk/paper by backup.example/hold"), "{late:?}");
}

#[test]
fn an_account_whose_stateful_set_will_not_go_says_what_keeps_it() {
    let mut seen = running(one());
    let set = seen.children.get_mut(&id(ChildKind::StatefulSet, "paper")).unwrap();
    (set.deleted, set.finalizers) = (Some(NOW), vec!["backup.example/hold".to_owned()]);
    assert_eq!(planned(&seen).verdict.reason, Reason::Running, "a worker that is there goes on");
    seen.pod = None;
    let plan = planned(&seen);
    assert_eq!((plan.verdict.reason, plan.verdict.ready), (Reason::WorkerPending, Status::False));
    let kept = "StatefulSet desk/paper by backup.example/hold";
    assert!(plan.verdict.message.contains(kept), "{}", plan.verdict.message);
}

#[test]
fn whatever_a_finalizer_keeps_is_named_when_the_account_goes() {
    let mut seen = deleting(alone(running(one())));
    seen.pod = None;
    seen.children.remove(&id(ChildKind::StatefulSet, "paper"));
    let service = seen.children.get_mut(&id(ChildKind::Service, "paper-worker")).unwrap();
    service.finalizers = vec!["mesh.example/hold".to_owned()];
    let last = planned(&seen);
    assert_eq!(last.finalizer, Finalizer::Remove);
    let told = |notice: &Notice| {
        notice.warning && notice.note.contains("Service desk/paper-worker by mesh.example/hold")
    };
    assert!(last.notices.iter().any(told), "{:?}", last.notices);
}

#[test]
fn an_account_that_is_let_go_goes_at_once_although_it_is_named() {
    let mut seen = deleting(running(one()));
    annotate(&mut seen, names::LET_GO, "false");
    assert_eq!(planned(&seen).verdict.reason, Reason::InUse, "only the value true lets go");
    annotate(&mut seen, names::LET_GO, "true");
    let plan = planned(&seen);
    assert_eq!(plan.finalizer, Finalizer::Remove);
    assert!(plan.notices.iter().any(|notice| notice.reason == Reason::ReleasedUnsettled));
}

#[test]
fn a_claim_that_outlived_an_earlier_account_keeps_its_size() {
    let mut seen = observed(one());
    seen.claim = Some(Claim { phase: "Bound".to_owned(), size: Some("5Gi".to_owned()), storage_class: None });
    let claim = planned(&seen).children.unwrap().ledger_claim.unwrap().spec.unwrap();
    assert_eq!(claim.resources.unwrap().requests.unwrap()["storage"].0, "5Gi");
}

#[test]
fn an_event_is_written_when_the_reason_changes_and_not_again() {
    let mut seen = running(one());
    assert_eq!(planned(&seen).notices, []);
    let pod = seen.pod.as_mut().unwrap();
    pod.ready = false;
    pod.waiting = Some(crate::stores::pod::Words {
        reason: "ErrImagePull".to_owned(),
        message: "manifest unknown".to_owned(),
    });
    let first = planned(&seen);
    assert_eq!(first.notices.len(), 1);
    assert!(first.notices[0].warning && first.notices[0].note.contains("manifest unknown"));
    seen.account.status = Some(first.status);
    assert_eq!(planned(&seen).notices, []);
}
