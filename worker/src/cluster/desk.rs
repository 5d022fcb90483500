//! All the worker knows of the cluster, and what the engine must hear of it.
//!
//! Pure: inputs, answers and instants go in; news for the engine and requests for the API server come out, one step at a
//! time, each made against the engine as it then is. Nothing here waits, and nothing here depends on the API server for
//! an exit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use smol_str::SmolStr;
use tokio::time::Instant;
use tradewind_core::config::{DesiredState, ResolvedAccount, ResolvedStrategy};
use tradewind_core::event::EventKind;
use tradewind_core::halt::{EntryBlock, Halt};
use tradewind_core::name::Uid;
use tradewind_core::time::Timestamp;
use tradewind_crds::objects::Key;
use tradewind_crds::published::{Published, PublishedAccount};
use tradewind_crds::resolve::Catalog;
use tradewind_crds::trading_halt::TradingHalt;

use super::calls::{Answer, Calls};
use super::config::{Circumstances, Composed, Reading, Standing, compose, read};
use super::crash::Quarantine;
use super::facts::{HaltObject, StrategyFacts};
use super::halts::{Call, Plan, Synced, View, plan};
use super::sight::{Sight, Which, gate};
use super::watch::{Change, Input, Scope, Seen};
use crate::driver::News;

/// Uids of deleted halts that are remembered, so that a late word of one does not bring it back.
const DEPARTED: usize = 256;

/// The engine as it is at this step.
#[derive(Debug, Clone, Copy)]
pub struct Engine<'a> {
    /// Its halts.
    pub halts: &'a [Halt],
    /// Which have which object.
    pub published: &'a BTreeMap<SmolStr, Uid>,
    /// Why it lets no entry through.
    pub block: Option<EntryBlock>,
    /// Its time.
    pub now: Timestamp,
}

/// What the worker knows.
#[derive(Debug)]
pub struct Desk {
    scope: Scope,
    running: ResolvedAccount,
    catalog: Catalog,
    quarantine: Quarantine,
    published: Published,
    broken: BTreeMap<SmolStr, String>,
    /// Why the newest configuration is not in force, if it is of a format nobody here knows.
    unknown_format: Option<String>,
    strategies: BTreeMap<String, StrategyFacts>,
    halts: BTreeMap<Key, HaltObject>,
    synced: Synced,
    sight: Sight,
    /// Halts known by an answer that no watch has told of yet.
    unconfirmed: BTreeSet<Uid>,
    /// Of these, those a later list does not have.
    doubted: BTreeSet<Uid>,
    departed: VecDeque<Uid>,
    calls: Calls,
    /// Requests to be made.
    outgoing: Vec<Call>,
    /// Halts whose object changed by our own doing.
    settled: Vec<(SmolStr, Option<Uid>)>,
    told: Option<Composed>,
    /// Whether the plan must be made anew, and whether the configuration must.
    dirty: (bool, bool),
    /// The engine's halts and their objects when the last plan was made.
    planned_for: (Vec<Halt>, BTreeMap<SmolStr, Uid>),
}

impl Desk {
    /// Nothing is seen yet; the configuration is the one this process started with.
    pub fn new(
        scope: Scope,
        published: Published,
        broken: BTreeMap<SmolStr, String>,
        catalog: Catalog,
        quarantine: Quarantine,
    ) -> Self {
        Self {
            sight: Sight::new(&scope.needed()),
            running: published.account.account.clone(),
            scope,
            catalog,
            quarantine,
            published,
            broken,
            unknown_format: None,
            strategies: BTreeMap::new(),
            halts: BTreeMap::new(),
            synced: Synced::default(),
            unconfirmed: BTreeSet::new(),
            doubted: BTreeSet::new(),
            departed: VecDeque::new(),
            calls: Calls::default(),
            outgoing: Vec::new(),
            settled: Vec::new(),
            told: None,
            dirty: (true, true),
            planned_for: (Vec::new(), BTreeMap::new()),
        }
    }

    /// Takes in what a watch delivered.
    pub fn take(&mut self, input: Input) {
        let (which, at) = (input.which, input.at);
        let listed = matches!(
            &input.seen,
            Seen::Configuration(Change::Listed(_))
                | Seen::Strategies(Change::Listed(_))
                | Seen::Halts(_, Change::Listed(_))
        );
        if listed {
            self.sight.listed(which, at);
        } else {
            self.sight.saw(which, at);
        }
        match input.seen {
            Seen::Alive => {}
            Seen::Configuration(change) => self.take_configuration(change),
            Seen::Strategies(change) => self.take_strategies(change),
            Seen::Halts(namespace, change) => self.take_halts(&namespace, change),
        }
    }

    fn take_configuration(&mut self, change: Change<BTreeMap<String, String>>) {
        let data = match change {
            Change::Applied(data) => data,
            Change::Listed(mut all) if !all.is_empty() => all.swap_remove(0),
            Change::Listed(_) | Change::Deleted(_) => {
                tracing::warn!("the account's ConfigMap is gone; what was in force stays in force");
                return;
            }
        };
        match read(&data) {
            Reading::Known(published, broken) => {
                for (strategy, error) in &broken {
                    tracing::error!(%strategy, error, "entry of the configuration not taken over: no entries");
                }
                if self.published != *published || self.broken != broken || self.unknown_format.is_some() {
                    (self.published, self.broken, self.unknown_format) = (*published, broken, None);
                    self.dirty.1 = true;
                    if self.is_elsewhere() {
                        let operator = &self.published.account.operator_namespace;
                        tracing::error!(
                            operator,
                            "the account was made anew or the operator has moved: no entries until the worker is \
                             started again"
                        );
                    }
                }
            }
            Reading::UnknownFormat(error) => {
                if self.unknown_format.is_none() {
                    tracing::error!(error, "configuration not taken over: no entries; what ran goes on");
                }
                self.unknown_format = Some(error);
            }
            Reading::Unusable(error) => {
                tracing::error!(error, "configuration not taken over; what ran goes on");
            }
        }
    }

    fn take_strategies(&mut self, change: Change<StrategyFacts>) {
        let before = self.strategies.clone();
        match change {
            Change::Listed(all) => {
                self.strategies = all.into_iter().map(|facts| (facts.member.name.clone(), facts)).collect();
                self.synced.strategies = true;
                self.dirty.0 = true;
            }
            Change::Applied(facts) => drop(self.strategies.insert(facts.member.name.clone(), facts)),
            Change::Deleted(facts) => {
                let name = &facts.member.name;
                if self.strategies.get(name).is_some_and(|known| known.member.uid == facts.member.uid) {
                    self.strategies.remove(name);
                }
            }
        }
        if self.strategies != before {
            self.dirty = (true, true);
        }
    }

    fn take_halts(&mut self, namespace: &str, change: Change<HaltObject>) {
        self.dirty.0 = true;
        match change {
            Change::Listed(all) => self.take_list(namespace, all),
            Change::Applied(object) => {
                let (key, uid) = (object.key(), object.uid());
                let gone = uid.is_some_and(|uid| self.departed.contains(&uid));
                let older = self
                    .halts
                    .get(&key)
                    .and_then(HaltObject::uid)
                    .is_some_and(|known| Some(known) != uid && self.unconfirmed.contains(&known));
                if !gone && !older {
                    self.confirm(uid);
                    self.halts.insert(key, object);
                }
            }
            Change::Deleted(object) => {
                if let Some(uid) = object.uid() {
                    self.depart(&object.key(), uid);
                }
            }
        }
    }

    fn take_list(&mut self, namespace: &str, all: Vec<HaltObject>) {
        let listed: BTreeSet<Uid> = all.iter().filter_map(HaltObject::uid).collect();
        let unconfirmed = std::mem::take(&mut self.unconfirmed);
        self.halts.retain(|key, object| {
            let doubted = object.uid().filter(|uid| unconfirmed.contains(uid) && !listed.contains(uid));
            self.doubted.extend(doubted);
            key.namespace != namespace || doubted.is_some()
        });
        self.unconfirmed = unconfirmed.into_iter().filter(|uid| !listed.contains(uid)).collect();
        for object in all {
            if object.uid().is_none_or(|uid| !self.departed.contains(&uid)) {
                self.confirm(object.uid());
                self.halts.insert(object.key(), object);
            }
        }
        self.synced.own |= namespace == self.scope.account.namespace;
        self.synced.operator |= namespace == self.scope.operator_namespace;
    }

    fn confirm(&mut self, uid: Option<Uid>) {
        if let Some(uid) = uid {
            self.unconfirmed.remove(&uid);
            self.doubted.remove(&uid);
        }
    }

    /// The object of that uid is gone for good.
    fn depart(&mut self, key: &Key, uid: Uid) {
        self.confirm(Some(uid));
        if self.halts.get(key).and_then(HaltObject::uid) == Some(uid) {
            self.halts.remove(key);
        }
        if self.departed.len() >= DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back(uid);
        self.dirty.0 = true;
        let ours = Call::Delete { name: key.name.clone(), uid };
        if self.calls.is_under_way(&ours) {
            // By our own request: whatever holds under that name now was made later.
            self.settled.push((key.name.as_str().into(), None));
        }
    }

    /// Takes in what came of a request.
    pub fn answer(&mut self, call: &Call, answer: Answer, engine: &Engine<'_>, now: Instant) {
        if let Answer::Failed(error) = &answer {
            let failures = self.calls.failures(call);
            self.calls.end(call, true, now);
            if failures == 0 {
                tracing::warn!(about = call.subject().1, error, "request about a halt failed; trying again");
            }
            return;
        }
        self.dirty.0 = true;
        match answer {
            Answer::Halt(_, Some(object)) => self.learn(call, *object, engine),
            Answer::Halt(name, None) => {
                let key = Key::new(&self.scope.account.namespace, &name);
                if let Some(uid) = self.halts.get(&key).and_then(HaltObject::uid) {
                    self.depart(&key, uid);
                }
            }
            Answer::Deleted(name, uid) => {
                let key = Key::new(&self.scope.account.namespace, name);
                if !self.departed.contains(&uid) {
                    self.depart(&key, uid);
                }
            }
            Answer::Strategy(name, facts) => self.reconsider(&name, facts.map(|facts| *facts)),
            Answer::Failed(_) => {}
        }
        self.calls.end(call, false, now);
    }

    /// A halt that an answer tells of; the watch will tell of it too.
    fn learn(&mut self, call: &Call, object: TradingHalt, engine: &Engine<'_>) {
        let object = HaltObject::of(object);
        let (key, Some(uid)) = (object.key(), object.uid()) else { return };
        let name = SmolStr::from(key.name.as_str());
        // What was resumed while it was made must not come back as news.
        let obsolete = engine.halts.iter().all(|halt| halt.name != name);
        if matches!(call, Call::Create(_)) && (obsolete || self.departed.contains(&uid)) {
            self.settled.push((name, Some(uid)));
        }
        if self.departed.contains(&uid) {
            return;
        }
        self.doubted.remove(&uid);
        if self.halts.get(&key).and_then(HaltObject::uid) != Some(uid) {
            if matches!(call, Call::Create(_)) {
                self.unconfirmed.insert(uid);
            }
            self.halts.insert(key, object);
        }
    }

    /// A latch without its object: whether the strategy says `halted` now decides.
    fn reconsider(&mut self, name: &str, facts: Option<StrategyFacts>) {
        match facts {
            Some(facts) if facts.member.halted => {
                self.settled.push((tradewind_crds::names::latch(name).into(), None));
                drop(self.strategies.insert(name.to_owned(), facts));
            }
            Some(facts) => drop(self.strategies.insert(name.to_owned(), facts)),
            None => drop(self.strategies.remove(name)),
        }
        self.dirty = (true, true);
    }

    /// The next piece of news for the engine; none when it knows all. Requests that follow wait in [`Self::outgoing`].
    pub fn next(&mut self, engine: &Engine<'_>, lease_held: bool, now: Instant) -> Option<News> {
        if !self.settled.is_empty() {
            self.dirty.0 = true;
            return Some(News { events: Vec::new(), published: std::mem::take(&mut self.settled) });
        }
        let retry = self.calls.next_attempt().is_some_and(|at| at <= now);
        let same = self.planned_for.0 == engine.halts && self.planned_for.1 == *engine.published;
        if self.dirty.0 || retry || !same {
            self.planned_for = (engine.halts.to_vec(), engine.published.clone());
            self.dirty.0 = false;
            if let Some(news) = self.plan(engine, now) {
                return Some(news);
            }
        }
        if std::mem::take(&mut self.dirty.1) {
            let composed = self.compose();
            if self.told.as_ref() != Some(&composed) {
                let config = composed.config.clone();
                let changed = self.told.as_ref().is_none_or(|told| told.config != config);
                self.told = Some(composed);
                if changed {
                    let events = vec![EventKind::ConfigChange(Box::new(config))];
                    return Some(News { events, published: Vec::new() });
                }
            }
        }
        let block = self.block(lease_held, now);
        (block != engine.block)
            .then(|| News { events: vec![EventKind::EntryGate(block)], published: Vec::new() })
    }

    fn plan(&mut self, engine: &Engine<'_>, now: Instant) -> Option<News> {
        let Plan { changes, published, calls } = plan(&View {
            account: &self.scope.account,
            operator_namespace: &self.scope.operator_namespace,
            strategies: &self.strategies,
            halts: &self.halts,
            synced: self.synced,
            doubted: &self.doubted,
            in_force: engine.halts,
            published: engine.published,
            now: engine.now.max(Timestamp(0)),
        });
        self.calls.keep(&calls);
        for call in calls {
            if self.calls.begin(&call, now) {
                self.outgoing.push(call);
            }
        }
        if changes.is_empty() && published.is_empty() {
            return None;
        }
        self.dirty.0 = true;
        Some(News { events: changes.into_iter().map(EventKind::HaltChange).collect(), published })
    }

    /// Why no entry may leave at that instant.
    pub fn block(&self, lease_held: bool, now: Instant) -> Option<EntryBlock> {
        gate(
            self.sight.blind(now).is_some() || self.is_elsewhere(),
            lease_held,
            self.unknown_format.is_none(),
        )
    }

    /// Whether the configuration is that of another account of the name, or of an operator in another namespace: halts of
    /// everything are then made where nobody here looks, until a new process does.
    fn is_elsewhere(&self) -> bool {
        let PublishedAccount { operator_namespace, account, .. } = &self.published.account;
        *operator_namespace != self.scope.operator_namespace || account.uid != self.running.uid
    }

    /// The watch that is not alive at that instant, if there is one.
    pub fn blind(&self, now: Instant) -> Option<Which> {
        self.sight.blind(now)
    }

    /// Requests to be made, each once.
    pub fn outgoing(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.outgoing)
    }

    /// When a request that failed may be made again, if one waits.
    pub fn next_attempt(&self) -> Option<Instant> {
        self.calls.next_attempt()
    }

    /// The configuration as it is to run, from what is known now.
    pub fn compose(&self) -> Composed {
        compose(
            &self.published,
            &Circumstances {
                running: &self.running,
                catalog: &self.catalog,
                standing: &|name, uid| self.standing(name, uid),
                quarantined: &|uid, hash| self.quarantine.holds(uid, hash),
                broken: &self.broken,
                before: self.told.as_ref(),
            },
        )
    }

    fn standing(&self, name: &str, uid: Uid) -> Standing {
        if !self.synced.strategies {
            // Nothing enters while nothing is seen: the gate is closed, and says why.
            return Standing::Live;
        }
        match self.strategies.get(name).filter(|facts| facts.member.uid == uid) {
            None => Standing::Unseen,
            Some(facts) if facts.deleting => Standing::Deleting,
            Some(_) => Standing::Live,
        }
    }

    /// What the engine was last told to run.
    pub fn told(&self) -> Option<&Composed> {
        self.told.as_ref()
    }

    /// The configuration that is mounted, when it could not be started from.
    pub fn mount(&mut self, data: BTreeMap<String, String>) {
        self.take_configuration(Change::Applied(data));
    }

    /// The engine was told this at its start.
    pub fn tell(&mut self, composed: Composed) {
        self.told = Some(composed);
    }

    /// What the ledger knows beside what was published: strategies that hold something, and no entry says more of them.
    /// They stand still until their objects were listed: the configuration at hand may be an old copy, and an entry that
    /// is missing in it is no deletion.
    pub fn remember(&mut self, held: impl IntoIterator<Item = ResolvedStrategy>) {
        let Some(told) = &mut self.told else { return };
        for strategy in held {
            let known = |other: &ResolvedStrategy| other.name == strategy.name || other.uid == strategy.uid;
            if !told.config.strategies.iter().any(known) {
                let strategy = ResolvedStrategy { desired_state: DesiredState::Stopped, ..strategy };
                told.config.strategies.push(strategy);
            }
        }
    }

    /// The strategies as their objects are.
    pub fn strategies(&self) -> &BTreeMap<String, StrategyFacts> {
        &self.strategies
    }

    /// What is watched.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The configuration as it was last published and could be read.
    pub fn published(&self) -> &Published {
        &self.published
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
