//! The operator among faults: whatever befalls one of its writes or watches, the end is that of an undisturbed run.
//!
//! Workloads come in pairs that undo each other ([`Journey`]): one rig goes there and back again and again, each time
//! with another fault. An undisturbed journey tells both ends and how many writes lead to each. Every later end must be
//! the same but for what is masked; no object is made twice, nothing spins, and two workers never run at once.
//!
//! **Faults of a write**: the operator is killed right after it, its answer is lost, it is refused once with 409, 429 or
//! 500. **Faults of sight**, each of one group of watches: events come late and only the last of each object; events are
//! lost and all must be listed anew; an operator that starts is told the past.
//!
//! **What runs.** A write is known by its method and path, such as the status of one strategy. `TRADEWIND_CHAOS=all`
//! (`make chaos`): every fault at every write each time it is made, and every fault of sight in every group. Otherwise a
//! pairwise subset: of a workload with n different writes, run i of max(n, 5) strikes write i mod n, the first time it is
//! made, by fault i mod 5, counted from another fault in each workload. So every write of each workload is struck, and
//! every fault occurs in each workload; a fault of sight occurs once in each workload, in a group that is another each
//! time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod state;
mod workload;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use tradewind_tests::cluster::{Cluster, patience, wait_for};
use tradewind_tests::rig::{Doubles, Fault, Passed, Proxy, Rig, Thaw};

use state::State;
use workload::{Journey, Workload};

/// Requests of the operator a second that no fault may make it pass for long.
const HOT: u64 = 40;
/// How often a workload may go by without a write that it made twice undisturbed.
const MISSES: u32 = 4;
/// An annotation that means nothing and has an object looked at.
const NOISE: &str = "example.com/noise";

/// What is done to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Lose,
    Refuse(u16),
}

const BLOWS: [Blow; 5] = [Blow::Kill, Blow::Lose, Blow::Refuse(409), Blow::Refuse(429), Blow::Refuse(500)];

/// How a group of watches shows what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// Late, and of each object only the last.
    Late,
    /// Not at all: what happened must be listed.
    Lost,
    /// To an operator that starts: as it was before, and later as it is.
    Past,
}

const SIGHTS: [Sight; 3] = [Sight::Late, Sight::Lost, Sight::Past];

/// Watches that are struck together.
const GROUPS: [&[&str]; 4] = [
    &["tradingstrategies", "exchangeaccounts", "riskpolicies", "tradinghalts"],
    &[
        "serviceaccounts",
        "roles",
        "rolebindings",
        "configmaps",
        "persistentvolumeclaims",
        "services",
        "networkpolicies",
        "statefulsets",
        "pods",
    ],
    &["tradingstrategies", "tradinghalts"],
    &["exchangeaccounts", "riskpolicies"],
];

fn everything() -> bool {
    std::env::var("TRADEWIND_CHAOS").is_ok_and(|which| which == "all")
}

/// A write that is to be struck.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Strike {
    request: String,
    nth: usize,
    blow: Blow,
    /// How often the workload went by without that write.
    missed: u32,
}

/// Which writes are struck how; `offset` differs from workload to workload.
fn strikes(writes: &BTreeMap<String, usize>, offset: usize) -> VecDeque<Strike> {
    let strike = |request: &str, nth, blow| Strike { request: request.to_owned(), nth, blow, missed: 0 };
    if everything() {
        let each = writes.iter().flat_map(|(request, times)| (1..=*times).map(move |nth| (request, nth)));
        return each.flat_map(|(request, nth)| BLOWS.map(|blow| strike(request, nth, blow))).collect();
    }
    let runs = 0..writes.len().max(BLOWS.len());
    let requests = writes.keys().cycle();
    runs.zip(requests).map(|(run, one)| strike(one, 1, BLOWS[(run + offset) % BLOWS.len()])).collect()
}

/// Which groups are shown how.
fn sights(offset: usize) -> VecDeque<(Sight, &'static [&'static str])> {
    if everything() {
        return SIGHTS.into_iter().flat_map(|sight| GROUPS.map(|group| (sight, group))).collect();
    }
    let one = |(index, sight): (usize, &Sight)| (*sight, GROUPS[(index + offset) % GROUPS.len()]);
    SIGHTS.iter().enumerate().map(one).collect()
}

/// How an undisturbed workload ends.
struct End {
    state: State,
    /// The writes that lead to it, and how often each is made.
    writes: BTreeMap<String, usize>,
    made: BTreeMap<String, usize>,
}

/// How often each of these requests was made.
fn counted<'a>(passed: impl Iterator<Item = &'a Passed>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for one in passed {
        *counted.entry(one.request()).or_default() += 1;
    }
    counted
}

/// The requests that made an object.
fn made(passed: &[Passed]) -> BTreeMap<String, usize> {
    counted(passed.iter().filter(|one| one.write && one.status == 201))
}

/// A rig whose operator talks through a proxy.
struct Desk {
    rig: Rig,
    proxy: Proxy,
}

impl Desk {
    /// In the state before a journey, with both its ends.
    async fn before(journey: Journey) -> (Self, [End; 2]) {
        let mut rig = Rig::bare(Cluster::shared().await).await;
        let proxy = Proxy::start(rig.cluster()).await;
        rig.start_operator_behind(&proxy).await;
        rig.start_kubelet().await;
        journey.prepare(&rig).await;
        let desk = Self { rig, proxy };
        let [there, back] = journey.workloads();
        // Twice: something may be left of the first time, such as the name of the halt resumed last. What is not written
        // each time is not struck.
        let first = [desk.undisturbed(there).await, desk.undisturbed(back).await];
        let mut ends = [desk.undisturbed(there).await, desk.undisturbed(back).await];
        for (end, first) in ends.iter_mut().zip(first) {
            end.writes.retain(|request, _| first.writes.contains_key(request));
            assert!(!end.writes.is_empty(), "{journey:?} makes no write, so that nothing can be struck");
        }
        (desk, ends)
    }

    async fn undisturbed(&self, workload: Workload) -> End {
        self.begin();
        workload.act(&self.rig).await;
        workload.done(&self.rig).await;
        workload.tidy(&self.rig).await;
        let state = State::settled(&self.rig).await;
        let passed = self.proxy.take_passed();
        let writes = counted(passed.iter().filter(|one| one.write));
        End { state, writes, made: made(&passed) }
    }

    /// Goes the way again with no fault.
    async fn once_more(&self, workload: Workload, end: &End) {
        let started = self.begin();
        workload.act(&self.rig).await;
        self.ended(workload, &format!("{workload} without a fault: the undisturbed end"), end, started).await;
    }

    async fn restart_operator(&mut self) {
        self.rig.kill_operator();
        self.proxy.release();
        self.rig.start_operator_behind(&self.proxy).await;
    }

    /// Runs a workload in which a write is struck; returns whether there was such a write.
    async fn struck(&mut self, workload: Workload, strike: &Strike, end: &End) -> bool {
        let Strike { request, nth, blow, .. } = strike;
        let what = format!("{workload}, {blow:?} at {request}, time {nth}: the undisturbed end");
        let started = self.begin();
        let fault = match *blow {
            Blow::Kill => Fault::Hold,
            Blow::Lose => Fault::LoseAnswer,
            Blow::Refuse(status) => Fault::Refuse(status),
        };
        self.proxy.strike(request, *nth, fault);
        workload.act(&self.rig).await;
        if matches!(blow, Blow::Kill) {
            let over = async {
                workload.done(&self.rig).await;
                if !workload.ends_all() {
                    self.reached(&what, end).await;
                }
            };
            tokio::select! {
                () = self.proxy.held() => {}
                () = over => {}
            }
            if self.proxy.has_struck() {
                self.restart_operator().await;
            }
        }
        self.ended(workload, &what, end, started).await;
        self.proxy.has_struck()
    }

    /// Runs a workload while a group of watches shows something else.
    async fn blinded(&mut self, workload: Workload, sight: Sight, group: &[&str], end: &End) {
        let what = format!("{workload}, {sight:?} of {group:?}: the undisturbed end");
        let started = self.begin();
        let mut passes = self.passes();
        if sight == Sight::Past {
            self.proxy.freeze_as_of(group, &self.now().await);
        } else {
            self.proxy.freeze(group);
        }
        workload.act(&self.rig).await;
        if sight == Sight::Past {
            self.restart_operator().await;
            passes = 0;
        }
        self.rouse(&what, workload, group, passes).await;
        self.proxy.thaw(if sight == Sight::Lost { Thaw::TooOld } else { Thaw::LastOfEach });
        self.ended(workload, &what, end, started).await;
    }

    /// Has the operator act on what it sees, if it sees anything.
    async fn rouse(&self, what: &str, workload: Workload, group: &[&str], passes: u64) {
        for object in ["exacct/paper", "configmap/paper-config"] {
            let noise = format!("{NOISE}={}", self.passes());
            // One that is not there cannot be annotated.
            drop(self.rig.kubectl(&["annotate", object, &noise, "--overwrite"]).await);
        }
        if workload.begins_all() && group.contains(&"exchangeaccounts") {
            return;
        }
        wait_for(&format!("{what}: a pass meanwhile"), patience(20), async || {
            let now = self.passes();
            if now > passes { Ok(()) } else { Err(format!("{now} passes")) }
        })
        .await;
    }

    fn begin(&self) -> Instant {
        // A write of the last workload that came late may still be held.
        self.proxy.release();
        self.proxy.spare();
        drop(self.proxy.take_passed());
        Instant::now()
    }

    async fn reached(&self, what: &str, end: &End) {
        wait_for(what, patience(40), async || State::of(&self.rig).await.compare(&end.state)).await;
    }

    /// Waits for the end and looks at what led to it.
    async fn ended(&self, workload: Workload, what: &str, end: &End, started: Instant) {
        workload.done(&self.rig).await;
        workload.tidy(&self.rig).await;
        self.reached(what, end).await;
        let passed = self.proxy.take_passed();
        let (requests, allowed) = (passed.len() as u64, HOT * started.elapsed().as_secs() + 200);
        assert!(requests <= allowed, "{what}: {requests} requests, {allowed} allowed");
        for (path, times) in made(&passed) {
            let allowed = *end.made.get(&path).unwrap_or(&1);
            assert!(times <= allowed, "{what}: {path} was made {times} times");
        }
        let doubles = self.rig.kubelet().doubles();
        assert_eq!(doubles, Doubles { most: 1, orphans: 0 }, "{what}: two workers");
    }

    /// Passes of the operator over objects of all kinds since it was started.
    fn passes(&self) -> u64 {
        let metrics = self.rig.operator.as_ref().unwrap().metrics();
        let lines = metrics.lines().filter(|line| line.starts_with("tradewind_operator_reconciles_total"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// The resourceVersion of all that there is.
    async fn now(&self) -> String {
        let pods = self.rig.api::<Pod>().list(&ListParams::default()).await.unwrap();
        pods.metadata.resource_version.unwrap()
    }
}

/// Goes a journey until each of its workloads has met every fault meant for it.
async fn strike_writes(journey: Journey) {
    let (mut desk, ends) = Desk::before(journey).await;
    let workloads = journey.workloads();
    let mut plans = [0, 1].map(|way| strikes(&ends[way].writes, 2 * journey as usize + way));
    while plans.iter().any(|plan| !plan.is_empty()) {
        for way in [0, 1] {
            let Some(mut strike) = plans[way].pop_front() else {
                desk.once_more(workloads[way], &ends[way]).await;
                continue;
            };
            if !desk.struck(workloads[way], &strike, &ends[way]).await {
                // Passes that come together write once for both: then this write was not made.
                strike.missed += 1;
                assert!(strike.missed < MISSES || strike.nth > 1, "{}: no {strike:?}", workloads[way]);
                if strike.nth == 1 {
                    plans[way].push_back(strike);
                }
            }
        }
    }
}

async fn strike_watches(journey: Journey) {
    let (mut desk, ends) = Desk::before(journey).await;
    let workloads = journey.workloads();
    let mut plans = [0, 1].map(|way| sights(2 * journey as usize + way));
    while plans.iter().any(|plan| !plan.is_empty()) {
        for way in [0, 1] {
            if let Some((sight, group)) = plans[way].pop_front() {
                desk.blinded(workloads[way], sight, group, &ends[way]).await;
            }
        }
    }
}

macro_rules! journeys {
    ($($name:ident => $journey:expr),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn ends_the_same_whatever_befalls_a_write() {
                strike_writes($journey).await;
            }

            #[tokio::test]
            async fn ends_the_same_whatever_watches_show() {
                strike_watches($journey).await;
            }
        }
    )*};
}

journeys! {
    life => Journey::Life,
    edit => Journey::Edit,
    halt => Journey::Halt,
    limits => Journey::Limits,
    strategy => Journey::Strategy,
}

#[test]
fn the_subset_has_every_write_and_every_fault_of_a_workload() {
    for writes in 1..40 {
        let writes: BTreeMap<String, usize> =
            (0..writes).map(|n| (format!("PATCH /{n}"), 1 + n % 3)).collect();
        for offset in 0..10 {
            let plan = strikes(&writes, offset);
            let struck = writes.keys().all(|request| plan.iter().any(|strike| strike.request == *request));
            let met = BLOWS.iter().all(|blow| plan.iter().any(|strike| strike.blow == *blow));
            assert!(struck && met, "{writes:?} from fault {offset} on: {plan:?}");
        }
    }
    let offsets = 0..10;
    for sight in SIGHTS {
        for group in GROUPS {
            let met = offsets.clone().any(|offset| sights(offset).contains(&(sight, group)));
            assert!(met, "{sight:?} of {group:?}");
        }
    }
}
