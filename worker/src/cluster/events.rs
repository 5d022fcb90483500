//! Events for `kubectl describe`: orders sent, filled, rejected and denied, halts made and resumed.
//!
//! They are news, not records: what was traded and halted is in the ledger. Nothing waits for them; what is too much is
//! dropped, trades before halts, and the number is logged. Those that say the same of the same object within six minutes
//! become one with a count; another text is another event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use smol_str::SmolStr;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tradewind_core::decision::StrategyId;
use tradewind_core::engine::State;
use tradewind_core::event::{HaltChange, Record, Report, Succession};
use tradewind_core::halt::{Halt, HaltScope};
use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{Fill, Intent, IntentId, OrderKind, OrderState, Side, Transition};
use tradewind_crds::common::{GROUP, VERSION};
use tradewind_crds::names::WORKER_MANAGER;
use tradewind_crds::reasons::Reason;

use crate::driver::Observer;

mod account;
#[cfg(test)]
mod tests;

/// Notes that wait to be published at most.
const QUEUE: usize = 128;
/// Notes in a row at most.
const BURST: u32 = 60;
/// Of these, those kept for halts and refusals.
const RESERVE: u32 = 20;
/// A further note each so often.
const REFILL: Duration = Duration::from_secs(2);
/// How long publishing one may take.
const PUBLISH_WITHIN: Duration = Duration::from_secs(5);
/// How often it is logged that notes were dropped.
const TELL_EVERY: Duration = Duration::from_mins(1);
/// Longest text, in bytes, as in the API.
const MAX_NOTE: usize = 1_000;
/// Most texts whose events are counted together. When there are more, counting begins anew.
const MOST_TEXTS: usize = 256;
/// Orders remembered for their fills.
const MAX_INTENTS: usize = 1_000;

/// One event before it is published.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Normal, or something to look at.
    pub type_: EventType,
    /// Why it is told.
    pub reason: Reason,
    /// What was done, in one word.
    pub action: &'static str,
    /// In words.
    pub text: String,
    /// What it is about.
    pub regarding: ObjectReference,
    /// What else has to do with it.
    pub related: Option<ObjectReference>,
}

/// Takes notes; copies of it share one queue.
#[derive(Debug, Clone)]
pub struct Events {
    queue: mpsc::Sender<Note>,
    dropped: Arc<AtomicU64>,
}

impl Events {
    /// Publishes as the worker in that pod, in a task that ends when the last copy is dropped and the queue is empty.
    pub fn start(client: Client, pod: &str) -> (Self, JoinHandle<()>) {
        let reporter = Reporter { controller: WORKER_MANAGER.to_owned(), instance: Some(pod.to_owned()) };
        let recorders = Recorders { client, reporter, by_text: HashMap::new() };
        let (events, queue) = Self::queue();
        let dropped = Arc::clone(&events.dropped);
        (events, tokio::spawn(publish(recorders, queue, dropped)))
    }

    fn queue() -> (Self, mpsc::Receiver<Note>) {
        let (queue, taken) = mpsc::channel(QUEUE);
        (Self { queue, dropped: Arc::default() }, taken)
    }

    /// Publishes a note, or drops it when too many wait.
    pub fn send(&self, note: Note) {
        if self.queue.try_send(note).is_err() {
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// A recorder for each text: one counts what has the same reason, and would keep the first text for all of it.
struct Recorders {
    client: Client,
    reporter: Reporter,
    by_text: HashMap<String, Recorder>,
}

impl Recorders {
    fn of(&mut self, text: &str) -> &Recorder {
        if self.by_text.len() >= MOST_TEXTS && !self.by_text.contains_key(text) {
            self.by_text.clear();
        }
        let new = || Recorder::new(self.client.clone(), self.reporter.clone());
        self.by_text.entry(text.to_owned()).or_insert_with(new)
    }
}

async fn publish(mut recorders: Recorders, mut queue: mpsc::Receiver<Note>, dropped: Arc<AtomicU64>) {
    let mut failing = false;
    loop {
        let next = tokio::time::timeout(TELL_EVERY, queue.recv()).await;
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "events dropped, more than can be published");
        }
        let note = match next {
            Err(_) => continue,
            Ok(None) => return,
            Ok(Some(note)) => note,
        };
        let text = cut(note.text);
        let recorder = recorders.of(&text);
        let event = Event {
            type_: note.type_,
            reason: note.reason.as_str().to_owned(),
            note: Some(text.clone()),
            action: note.action.to_owned(),
            secondary: note.related,
        };
        let published = tokio::time::timeout(PUBLISH_WITHIN, recorder.publish(&event, &note.regarding)).await;
        let error = match published {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        match error {
            None => failing = false,
            Some(error) if !failing => {
                failing = true;
                tracing::warn!(error, "event not published");
            }
            Some(error) => tracing::debug!(error, "event not published"),
        }
    }
}

fn cut(mut text: String) -> String {
    while text.len() > MAX_NOTE {
        text.pop();
    }
    text
}

/// Who events are about.
#[derive(Debug, Clone)]
pub struct About {
    /// Namespace of the account and its strategies.
    pub namespace: String,
    /// Name of the account.
    pub account: String,
    /// Uid of the account.
    pub account_uid: Uid,
    /// The pod this worker runs in: name and uid.
    pub pod: (String, String),
}

impl About {
    /// The account, as events name it.
    pub fn account(&self) -> ObjectReference {
        self.ours("ExchangeAccount", &self.account, Some(self.account_uid))
    }

    /// A strategy, as events name it.
    pub fn strategy(&self, name: &str, uid: Uid) -> ObjectReference {
        self.ours("TradingStrategy", name, Some(uid))
    }

    /// The pod, as events name it.
    pub fn pod(&self) -> ObjectReference {
        let (name, uid) = &self.pod;
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid.clone()),
            ..ObjectReference::default()
        }
    }

    /// The object of a halt; one of another namespace carries it in its name.
    fn halt(&self, name: &str) -> ObjectReference {
        let (namespace, name) = name.split_once('/').unwrap_or((&self.namespace, name));
        ObjectReference { namespace: Some(namespace.to_owned()), ..self.ours("TradingHalt", name, None) }
    }

    fn ours(&self, kind: &str, name: &str, uid: Option<Uid>) -> ObjectReference {
        ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some(kind.to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(name.to_owned()),
            uid: uid.map(|uid| uid.to_string()),
            ..ObjectReference::default()
        }
    }
}

/// Watches the driver and notes what people want to hear of.
#[derive(Debug)]
pub struct Sink {
    events: Events,
    about: About,
    intents: BTreeMap<IntentId, Intent>,
    halts: BTreeMap<SmolStr, Halt>,
    allowance: Allowance,
}

impl Sink {
    /// Notes what happens from now on, given where the engine stands.
    pub fn new(events: Events, about: About, state: &State) -> Self {
        let orders = state.open_orders().into_iter().map(|order| (order.intent.id, order.intent));
        let halts = state.halts().iter().map(|halt| (halt.name.clone(), halt.clone()));
        let (intents, halts) = (orders.collect(), halts.collect());
        Self { events, about, intents, halts, allowance: Allowance::new(Instant::now()) }
    }

    fn note(&mut self, note: Note) {
        let important = note.type_ == EventType::Warning || note.reason == Reason::Resumed;
        if self.allowance.take(Instant::now(), important) {
            self.events.send(note);
        } else {
            self.events.drop_one();
        }
    }

    fn on_transition(&mut self, state: &State, transition: &Transition) {
        let Some(intent) = self.intents.get(&transition.intent) else { return };
        let (type_, reason, action) = match transition.to {
            OrderState::Sent => (EventType::Normal, Reason::OrderSent, action(intent)),
            OrderState::Rejected => (EventType::Warning, Reason::OrderRejected, action(intent)),
            OrderState::Denied => (EventType::Warning, Reason::OrderDenied, action(intent)),
            _ => return,
        };
        let Some(regarding) = self.strategy(state, intent.strategy) else { return };
        let mut text = order_text(state, intent);
        match (transition.to, &transition.detail) {
            (OrderState::Rejected, Some(detail)) => text = format!("{text} rejected by the venue: {detail}"),
            (OrderState::Denied, Some(detail)) => text = format!("{text} {detail}"),
            _ => {}
        }
        let related = Some(self.about.pod());
        self.note(Note { type_, reason, action, text, regarding, related });
    }

    fn on_fill(&mut self, state: &State, intent: IntentId, fill: &Fill) {
        let Some(intent) = self.intents.get(&intent) else { return };
        let Some(regarding) = self.strategy(state, intent.strategy) else { return };
        let Some(rules) = rules(state, &fill.symbol) else { return };
        let text = format!(
            "{} {} {} at {}, fee {} {} ({})",
            side(fill.side),
            rules.quantity_text(fill.quantity),
            fill.symbol,
            rules.price_text(fill.price),
            fill.fee.amount,
            fill.fee.asset,
            intent.purpose,
        );
        let (type_, reason, action) = (EventType::Normal, Reason::OrderFilled, action(intent));
        let related = Some(self.about.pod());
        self.note(Note { type_, reason, action, text, regarding, related });
    }

    fn on_halt(&mut self, state: &State, change: &HaltChange) {
        let (halt, note) = match change {
            HaltChange::Set(halt) => {
                let known = self.halts.insert(halt.name.clone(), halt.clone());
                if known.is_some_and(|known| known.scope == halt.scope && known.action == halt.action) {
                    return;
                }
                let by = if halt.requested_by.is_empty() { "unknown" } else { &halt.requested_by };
                let text = format!("{} by {}: {} (requested by {by})", halt.action, halt.name, halt.reason);
                (halt.clone(), (EventType::Warning, Reason::Halted, "Halt", text))
            }
            HaltChange::Cleared { name, by, .. } => {
                let Some(halt) = self.halts.remove(name) else { return };
                (halt, (EventType::Normal, Reason::Resumed, "Resume", format!("{name} resumed by {by}")))
            }
        };
        let strategies = match &halt.scope {
            HaltScope::Account => Vec::new(),
            HaltScope::Strategies(uids) => uids.iter().filter_map(|uid| self.strategy(state, *uid)).collect(),
        };
        let about = if strategies.is_empty() { vec![self.about.account()] } else { strategies };
        let (type_, reason, action, text) = note;
        for regarding in about {
            let (text, related) = (text.clone(), Some(self.about.halt(&halt.name)));
            self.note(Note { type_, reason, action, text, regarding, related });
        }
    }

    fn on_succession(&mut self, state: &State, done: &Succession) {
        let Some(regarding) = self.strategy(state, done.to) else { return };
        let text = format!(
            "took over positions, stops and money of the strategy of its name that was deleted (uid {})",
            done.from
        );
        let (type_, reason, action) = (EventType::Normal, Reason::TookOver, "TakeOver");
        let related = Some(self.about.pod());
        self.note(Note { type_, reason, action, text, regarding, related });
    }

    /// The strategy of that uid, or who took over from it.
    fn strategy(&self, state: &State, uid: Uid) -> Option<ObjectReference> {
        let uid = state.heir_of(uid);
        let mut strategies = (0..u16::MAX).map_while(|index| state.strategy_name(StrategyId(index)));
        let (uid, name) = strategies.find(|(known, _)| *known == uid)?;
        Some(self.about.strategy(name, uid))
    }
}

impl Observer for Sink {
    fn on_report(&mut self, state: &State, report: &Report) {
        match report {
            Report::Protection { strategy, instrument, change } => {
                self.on_protection(state, *strategy, *instrument, *change);
            }
            Report::Balances(differences) => self.on_balances(differences),
            Report::Unsold { strategy, instrument, left } => {
                self.on_unsold(state, *strategy, *instrument, *left);
            }
            Report::Dust { strategy, instrument } => self.on_dust(state, *strategy, *instrument),
            _ => {}
        }
    }

    fn on_record(&mut self, state: &State, record: &Record) {
        match record {
            Record::Intent(intent) => {
                self.intents.insert(intent.id, intent.clone());
                if self.intents.len() > MAX_INTENTS {
                    self.intents.pop_first();
                }
            }
            Record::Transition(transition) => self.on_transition(state, transition),
            Record::Fill { intent, fill } => self.on_fill(state, *intent, fill),
            Record::Halt(change) => self.on_halt(state, change),
            Record::Succession(done) => self.on_succession(state, done),
            Record::External(external) => self.on_external(state, external),
            Record::Signing(_) | Record::Transfer(_) | Record::Rebase { .. } => {}
        }
    }
}

fn order_text(state: &State, intent: &Intent) -> String {
    let rules = rules(state, &intent.symbol);
    let quantity = rules.map(|rules| rules.quantity_text(intent.quantity)).unwrap_or_default();
    let price = |price| rules.map(|rules| rules.price_text(price)).unwrap_or_default();
    let kind = match intent.kind {
        OrderKind::Market => "market".to_owned(),
        OrderKind::Limit { price: limit } => format!("limit {}", price(limit)),
        OrderKind::ImmediateOrCancel { price: limit } => format!("limit {} or nothing", price(limit)),
        OrderKind::Stop { trigger } => format!("stop {}", price(trigger)),
    };
    let (side, symbol, purpose) = (side(intent.side), &intent.symbol, intent.purpose);
    format!("{side} {quantity} {symbol} {kind} ({purpose}), order {}", intent.client_order_id)
}

fn action(intent: &Intent) -> &'static str {
    if intent.purpose.is_entry() { "Enter" } else { "Exit" }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

fn rules<'s>(state: &'s State, symbol: &Symbol) -> Option<&'s InstrumentRules> {
    let mut all = (0..u16::MAX).map_while(|index| state.rules(InstrumentId(index)));
    all.find(|rules| rules.symbol == *symbol)
}

/// How many notes may still be taken: a burst, then one each so often; a part is kept for what matters most.
#[derive(Debug)]
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { left: BURST, since: now }
    }

    fn take(&mut self, now: Instant, important: bool) -> bool {
        let refills = now.saturating_duration_since(self.since).as_millis() / REFILL.as_millis();
        let refills = u32::try_from(refills).unwrap_or(u32::MAX);
        self.since += REFILL.saturating_mul(refills);
        self.left = self.left.saturating_add(refills).min(BURST);
        let free = if important { self.left } else { self.left.saturating_sub(RESERVE) };
        if free > 0 {
            self.left -= 1;
        }
        free > 0
    }
}
