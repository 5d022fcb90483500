//! Where the ledger is kept: on one node, or on two that have parted. What was ever durable is remembered here.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use smol_str::SmolStr;
use tradewind_core::event::{HaltChange, Record};
use tradewind_core::external::External;
use tradewind_core::halt::Halt;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{ClientOrderId, Epoch, IntentId, OrderState, TradeId};
use tradewind_core::protocol::is_writer;
use tradewind_core::recovery::{Checkpoint, History, LedgerIdentity};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::outbox::{Backlog, Limits};
use tradewind_ledger::{
    BalanceRow, Batch, ChainHead, Committed, DecisionFilter, DecisionRow, EquityRow, Ledger, LedgerError,
    LedgerReader, MemoryLedger, Outbox, OutboxOptions, OutboxReader, OutboxRow, OutcomeCount, Place, Pruned,
    Tap, TradeRow,
};

use crate::broken::Broken;
use crate::coverage::Fault;
use crate::plan::{LEASE, OURS};
use crate::sim::{Process, Sim};

/// What one node has.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) ledger: MemoryLedger,
    /// Every order by its number.
    pub(crate) orders: BTreeMap<IntentId, (ClientOrderId, OrderState)>,
    /// Ends of the chain, one for each commit, as the ledger told them.
    pub(crate) heads: Vec<ChainHead>,
    /// What the chain ends with by the rows that were handed over, and the trades among them.
    audit: Audit,
    /// Halts in force, with when they became durable.
    pub(crate) halts: BTreeMap<SmolStr, (Halt, Timestamp)>,
}

/// The chain as it must be: each row's hash is of the hash before it and the row.
#[derive(Debug, Clone)]
struct Audit {
    hash: blake3::Hash,
    rows: u64,
    trades: BTreeSet<(Symbol, TradeId)>,
    externals: BTreeSet<(Symbol, SmolStr)>,
}

impl Audit {
    fn take(&mut self, record: &Record) {
        if let Record::Fill { fill, .. } = record
            && !self.trades.insert((fill.symbol.clone(), fill.trade_id.clone()))
        {
            return;
        }
        // What is seen again is no new row.
        let seen = match record {
            Record::External(External::Order { order, .. }) => Some((&order.symbol, &order.venue_order_id)),
            Record::External(External::Trade(trade)) => Some((&trade.symbol, &trade.trade_id.0)),
            _ => None,
        };
        if seen.is_some_and(|(symbol, id)| !self.externals.insert((symbol.clone(), id.clone()))) {
            return;
        }
        let row = serde_json::to_vec(record).unwrap_or_default();
        self.hash = blake3::Hasher::new().update(self.hash.as_bytes()).update(&row).finalize();
        self.rows += 1;
    }
}

impl Kept {
    /// Takes a commit in.
    fn take(&mut self, batch: &Batch<'_>, at: Timestamp) -> Result<Committed, LedgerError> {
        let committed = now(self.ledger.commit(batch))?;
        self.heads.push(now(self.ledger.head())?);
        for record in batch.records {
            self.audit.take(record);
            match record {
                Record::Intent(intent) => {
                    self.orders.insert(intent.id, (intent.client_order_id, OrderState::Intended));
                }
                Record::Transition(step) => {
                    if let Some((_, state)) = self.orders.get_mut(&step.intent) {
                        *state = step.to;
                    }
                }
                Record::Halt(HaltChange::Set(halt)) => {
                    self.halts.insert(halt.name.clone(), (halt.clone(), at));
                }
                Record::Halt(HaltChange::Cleared { name, .. }) => drop(self.halts.remove(name)),
                _ => {}
            }
        }
        Ok(committed)
    }
}

/// A commit, to be made again.
#[derive(Debug)]
struct Owned {
    records: Vec<Record>,
    decisions: Vec<DecisionRow>,
    equity: Vec<EquityRow>,
    checkpoint: Option<Checkpoint>,
    rules: Vec<InstrumentRules>,
    names: Vec<(Uid, SmolStr)>,
    at: Timestamp,
}

impl Owned {
    fn of(batch: &Batch<'_>, at: Timestamp) -> Self {
        Self {
            records: batch.records.to_vec(),
            decisions: batch.decisions.to_vec(),
            equity: batch.equity.to_vec(),
            checkpoint: batch.checkpoint.cloned(),
            rules: batch.rules.to_vec(),
            names: batch.names.to_vec(),
            at,
        }
    }

    fn batch(&self) -> Batch<'_> {
        Batch {
            records: &self.records,
            decisions: &self.decisions,
            equity: &self.equity,
            checkpoint: self.checkpoint.as_ref(),
            rules: &self.rules,
            names: &self.names,
        }
    }
}

/// A ledger that is one commit behind.
#[derive(Debug)]
struct Behind {
    kept: Kept,
    last: Option<Owned>,
}

impl Behind {
    /// The ledger has taken a commit in: makes the one before it here too.
    fn follow(&mut self, commit: Owned, ledger: &MemoryLedger) -> Result<(), LedgerError> {
        if let Some(last) = self.last.replace(commit) {
            self.kept.take(&last.batch(), last.at)?;
        }
        self.kept.ledger.keep_epoch_of(ledger);
        Ok(())
    }
}

#[derive(Debug)]
struct Store {
    kept: Kept,
    /// As before the last commit, where commits may be lost.
    before: Option<Box<Behind>>,
    /// From when on nothing is taken any more: the node is cut off, and the Lease of who writes to it has run out.
    closes_at: Option<Timestamp>,
}

/// All nodes. The last one is where the next worker opens the ledger.
#[derive(Debug)]
pub(crate) struct Stores {
    all: Vec<Store>,
    /// Every sending that was ever durable anywhere: intent and hash of the request.
    signed: BTreeSet<(IntentId, [u8; 32])>,
    /// Whether any commit was ever lost.
    pub(crate) lossy: bool,
}

impl Stores {
    pub(crate) fn new() -> Self {
        let identity = LedgerIdentity { incarnation: OURS, epoch: Epoch(0) };
        let kept = Kept {
            ledger: MemoryLedger::new(identity),
            orders: BTreeMap::new(),
            heads: Vec::new(),
            audit: Audit {
                hash: blake3::hash(&OURS.0.to_be_bytes()),
                rows: 0,
                trades: BTreeSet::new(),
                externals: BTreeSet::new(),
            },
            halts: BTreeMap::new(),
        };
        Self {
            all: vec![Store { kept, before: None, closes_at: None }],
            signed: BTreeSet::new(),
            lossy: false,
        }
    }

    /// Whether that sending was ever durable.
    pub(crate) fn was_signed(&self, intent: IntentId, request: [u8; 32]) -> bool {
        self.signed.contains(&(intent, request))
    }

    /// What the node has on which the ledger would be opened now.
    pub(crate) fn active(&mut self) -> Option<&mut Kept> {
        self.all.last_mut().map(|store| &mut store.kept)
    }
}

/// Opens the ledger for a process: its epoch is one more than any before. `beside` says that another may still write.
pub(crate) fn open(sim: &Rc<Sim>, process: Process, beside: bool) -> SimLedger {
    let loses = sim.strikes(sim.plan.odds.lost_commit);
    let splits = beside && sim.plan.odds.lost_commit > 0 && sim.strikes(500);
    let mut stores = sim.stores.borrow_mut();
    let mut lost = false;
    if let Some(store) = stores.all.last_mut() {
        let before = store.before.take().filter(|_| loses);
        lost = before.is_some();
        if splits {
            let mut kept = before.map_or_else(|| store.kept.clone(), |before| before.kept);
            kept.ledger.keep_epoch_of(&store.kept.ledger);
            store.closes_at = Some(sim.now().plus(LEASE));
            stores.all.push(Store { kept, before: None, closes_at: None });
        } else if let Some(before) = before {
            let mut kept = before.kept;
            kept.ledger.keep_epoch_of(&store.kept.ledger);
            store.kept = kept;
        }
    }
    stores.lossy |= lost || splits;
    let store = stores.all.len().saturating_sub(1);
    let options = OutboxOptions { account: "desk/main".into(), now: sim.now(), limits: ALL };
    let opened = stores.active().and_then(|kept| {
        let identity = kept.ledger.raise_epoch();
        now(kept.ledger.publish(Some(&options))).is_ok().then_some(identity)
    });
    drop(stores);
    if lost {
        sim.count(Fault::LostCommit);
    }
    if splits {
        sim.count(Fault::Split);
    }
    let identity = opened.unwrap_or(LedgerIdentity { incarnation: OURS, epoch: Epoch(0) });
    SimLedger { sim: Rc::clone(sim), process, store, identity }
}

/// The ledger as one process has it.
pub(crate) struct SimLedger {
    sim: Rc<Sim>,
    process: Process,
    store: usize,
    identity: LedgerIdentity,
}

/// Nothing that was told is deleted, so that a bus that was emptied gets all of it again.
const ALL: Limits = Limits { droppable: u64::MAX, tail: u64::MAX };

/// The outbox of a ledger, as whoever relays reads it.
#[derive(Clone)]
pub(crate) struct SimOutbox {
    sim: Rc<Sim>,
    store: usize,
}

impl SimOutbox {
    fn with<T>(
        &self,
        of: impl FnOnce(&mut MemoryLedger) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut stores = self.sim.stores.borrow_mut();
        of(&mut stores.all.get_mut(self.store).ok_or_else(away)?.kept.ledger)
    }
}

impl OutboxReader for SimOutbox {
    async fn events_after(&mut self, sequence: u64, limit: u32) -> Result<Vec<OutboxRow>, LedgerError> {
        self.with(|ledger| now(ledger.events_after(sequence, limit)))
    }

    async fn backlog(&mut self, known: u64) -> Result<Backlog, LedgerError> {
        self.with(|ledger| now(ledger.backlog(known)))
    }
}

impl SimLedger {
    /// Its outbox, to read.
    pub(crate) fn outbox(&self) -> SimOutbox {
        SimOutbox { sim: Rc::clone(&self.sim), store: self.store }
    }

    /// What it and whoever relays tell each other.
    pub(crate) fn tap(&self) -> Arc<Tap> {
        self.with(|ledger| Ok(ledger.tap())).unwrap_or_default()
    }

    fn with<T>(
        &self,
        of: impl FnOnce(&mut MemoryLedger) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut stores = self.sim.stores.borrow_mut();
        let store = stores.all.get_mut(self.store).ok_or_else(away)?;
        of(&mut store.kept.ledger)
    }

    fn write(&self, batch: &Batch<'_>) -> Result<Committed, LedgerError> {
        let sim = &self.sim;
        let keeps = sim.plan.odds.lost_commit > 0;
        let mut stores = sim.stores.borrow_mut();
        let Stores { all, signed, .. } = &mut *stores;
        let store = all.get_mut(self.store).ok_or_else(away)?;
        let theirs = store.kept.ledger.identity().epoch;
        let closed = store.closes_at.is_some_and(|at| sim.now() >= at);
        if !is_writer(self.identity.epoch, theirs) || closed {
            return Err(LedgerError::Fenced {
                ours: self.identity.epoch,
                theirs: Epoch(theirs.0 + u64::from(closed)),
            });
        }
        if keeps && store.before.is_none() {
            store.before = Some(Box::new(Behind { kept: store.kept.clone(), last: None }));
        }
        let committed = store.kept.take(batch, sim.now())?;
        if let Some(before) = &mut store.before {
            before.follow(Owned::of(batch, sim.now()), &store.kept.ledger)?;
        }
        for record in batch.records {
            tell(sim, record);
            if let Record::Signing(signing) = record {
                signed.insert((signing.intent, signing.request.hash().0));
            }
        }
        let head = now(store.kept.ledger.head())?;
        let Audit { hash, rows, .. } = &store.kept.audit;
        if (head.seq, head.hash) != (*rows, *hash) {
            sim.break_with(Broken::Chain(format!(
                "row {} does not follow from the rows before it",
                head.seq
            )));
        }
        Ok(committed)
    }
}

fn tell(sim: &Sim, record: &Record) {
    match record {
        Record::Intent(intent) => {
            sim.coverage.borrow_mut().intents += 1;
            sim.say(|| {
                format!(
                    "ledger: intent {}: {} {} ({})",
                    intent.id.0, intent.side, intent.symbol, intent.purpose
                )
            });
        }
        Record::Transition(step) => {
            if step.from != step.to {
                sim.coverage.borrow_mut().step(step.from, step.to);
            }
            sim.say(|| {
                let detail = step.detail.as_deref().unwrap_or_default();
                format!("ledger: intent {} {} -> {} {detail}", step.intent.0, step.from, step.to)
            });
        }
        Record::Halt(HaltChange::Set(halt)) => {
            sim.say(|| format!("ledger: halt {}: {}", halt.name, halt.reason));
        }
        Record::Halt(HaltChange::Cleared { name, .. }) => sim.say(|| format!("ledger: halt {name} resumed")),
        Record::Fill { intent, fill } => {
            sim.say(|| format!("ledger: fill {} of intent {}", fill.trade_id.0, intent.0));
        }
        _ => {}
    }
}

/// What a ledger in memory answers is there at once.
fn now<T>(future: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
    future.now_or_never().unwrap_or_else(|| Err(away()))
}

fn away() -> LedgerError {
    let place = Place::Database { server: "node".into(), database: "ledger".into(), name: "main".into() };
    LedgerError::Slow { place, within: Duration::from_secs(10) }
}

impl LedgerReader for SimLedger {
    async fn history(&mut self) -> Result<History, LedgerError> {
        self.sim.stumble(self.process).await;
        self.with(|ledger| now(ledger.history()))
    }

    async fn decisions(&mut self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, LedgerError> {
        self.with(|ledger| now(ledger.decisions(filter)))
    }

    async fn outcomes(&mut self) -> Result<Vec<OutcomeCount>, LedgerError> {
        self.with(|ledger| now(ledger.outcomes()))
    }

    async fn fill_counts(&mut self) -> Result<Vec<(SmolStr, u64)>, LedgerError> {
        self.with(|ledger| now(ledger.fill_counts()))
    }

    async fn symbols(&mut self) -> Result<Vec<Symbol>, LedgerError> {
        self.with(|ledger| now(ledger.symbols()))
    }

    async fn trades(&mut self, limit: u32) -> Result<Vec<TradeRow>, LedgerError> {
        self.with(|ledger| now(ledger.trades(limit)))
    }

    async fn equity(
        &mut self,
        strategy: Option<Uid>,
        since: Timestamp,
    ) -> Result<Vec<EquityRow>, LedgerError> {
        self.with(|ledger| now(ledger.equity(strategy, since)))
    }

    async fn halts(&mut self) -> Result<Vec<Halt>, LedgerError> {
        self.with(|ledger| now(ledger.halts()))
    }

    async fn balances(&mut self) -> Result<Vec<BalanceRow>, LedgerError> {
        self.with(|ledger| now(ledger.balances()))
    }

    async fn head(&mut self) -> Result<ChainHead, LedgerError> {
        self.with(|ledger| now(ledger.head()))
    }

    async fn contains(&mut self, head: &ChainHead) -> Result<bool, LedgerError> {
        self.with(|ledger| now(ledger.contains(head)))
    }
}

impl Ledger for SimLedger {
    fn identity(&self) -> LedgerIdentity {
        self.identity
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, LedgerError> {
        let (sim, process) = (Rc::clone(&self.sim), self.process);
        let odds = sim.plan.odds.commit;
        sim.stumble(process).await;
        let mut takes = sim.between(1, 20);
        if sim.strikes(odds) {
            sim.count(Fault::SlowCommit);
            takes = sim.between(500, 9_000);
        }
        sim.sleep(process, Millis(takes)).await;
        if sim.strikes(odds) {
            sim.count(Fault::FailedCommit);
            return Err(away());
        }
        let committed = self.write(batch)?;
        if sim.strikes(odds) {
            sim.count(Fault::UnansweredCommit);
            return Err(away());
        }
        sim.stumble(process).await;
        Ok(committed)
    }

    async fn prune(&mut self, before: Timestamp) -> Result<Pruned, LedgerError> {
        self.with(|ledger| now(ledger.prune(before)))
    }
}
