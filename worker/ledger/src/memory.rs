//! A ledger in memory, for backtests and tests: the rules of the port without files or fsync. Its hash chain is its own.
//!
//! It forgets everything when dropped; what matters must go to a durable ledger.

mod outbox;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use smol_str::SmolStr;
use tradewind_core::event::{HaltChange, Record, Succession, Transfer};
use tradewind_core::external::External;
use tradewind_core::halt::Halt;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{
    Attempt, ClientOrderId, Epoch, Fill, Intent, IntentId, OrderState, Signing, TradeId, Transition,
};
use tradewind_core::protocol::{Signature, Stand};
use tradewind_core::recovery::{BookedFill, Checkpoint, History, LedgerIdentity, OpenOrder};
use tradewind_core::time::Timestamp;

use blake3::{Hash, Hasher};

use crate::balances::Balances;
use crate::chain::ChainHead;
use crate::conflict::{
    already_there, check_epoch, is_next_sending, not_there, not_to_be_sent, other_numbers, stands_elsewhere,
};
use crate::error::LedgerError;
use crate::port::{
    BalanceRow, Batch, Committed, DecisionFilter, DecisionRow, EquityRow, Ledger, LedgerReader, OutcomeCount,
    Pruned, TradeRow,
};
use crate::rows::{self, rules_of};
use outbox::MemoryOutbox;

/// How an order stands, projected from its transitions.
#[derive(Debug, Clone)]
struct Kept {
    intent: Intent,
    name: SmolStr,
    state: OrderState,
    attempt: Attempt,
    signature: Option<Signature>,
}

/// How to take one record back when a later one of its batch is refused.
#[derive(Debug, Clone)]
enum Undo {
    Intent(IntentId, ClientOrderId),
    Signing(IntentId, Option<Signature>),
    Transition(IntentId, OrderState, Attempt),
    Fill(Symbol, TradeId),
    Halts(Vec<Halt>),
    Transfer,
    Succession,
    External(ExternalKey),
}

/// What tells an external order or trade from all others.
type ExternalKey = (&'static str, Symbol, SmolStr);

/// The port in memory. A copy is what a backup, or another node, has of it.
#[derive(Debug, Clone)]
pub struct MemoryLedger {
    identity: LedgerIdentity,
    intents: BTreeMap<IntentId, Kept>,
    client_order_ids: HashSet<ClientOrderId>,
    fills: Vec<BookedFill>,
    trades: HashMap<(Symbol, TradeId), usize>,
    transfers: Vec<Transfer>,
    successions: Vec<Succession>,
    externals: HashSet<ExternalKey>,
    halts: Vec<Halt>,
    decisions: Vec<DecisionRow>,
    outcomes: BTreeMap<(SmolStr, SmolStr, SmolStr), u64>,
    equity: Vec<EquityRow>,
    checkpoint: Option<Checkpoint>,
    rules: Vec<InstrumentRules>,
    /// The hash after each record; the first is that of the empty ledger.
    chain: Vec<Hash>,
    undo: Vec<Undo>,
    outbox: MemoryOutbox,
}

impl MemoryLedger {
    /// Numbers up to the last intent that no intent has.
    fn left_out(&self) -> Vec<Range<u64>> {
        let numbers = std::iter::once(0).chain(self.intents.keys().map(|id| id.0));
        let pairs = numbers.clone().zip(numbers.skip(1));
        pairs.map(|(one, next)| one.saturating_add(1)..next).filter(|gap| !gap.is_empty()).collect()
    }

    /// An empty ledger of that identity.
    pub fn new(identity: LedgerIdentity) -> Self {
        Self {
            identity,
            intents: BTreeMap::new(),
            client_order_ids: HashSet::new(),
            fills: Vec::new(),
            trades: HashMap::new(),
            transfers: Vec::new(),
            successions: Vec::new(),
            externals: HashSet::new(),
            halts: Vec::new(),
            decisions: Vec::new(),
            outcomes: BTreeMap::new(),
            equity: Vec::new(),
            checkpoint: None,
            rules: Vec::new(),
            chain: vec![blake3::hash(&identity.incarnation.0.to_be_bytes())],
            undo: Vec::new(),
            outbox: MemoryOutbox::default(),
        }
    }

    /// Opens it anew: the next worker's epoch.
    pub fn raise_epoch(&mut self) -> LedgerIdentity {
        self.identity.epoch = Epoch(self.identity.epoch.0.saturating_add(1));
        self.outbox.reopen();
        self.identity
    }

    /// As a database keeps it that lost its last rows and not its epoch.
    pub fn keep_epoch_of(&mut self, later: &Self) {
        self.identity.epoch = self.identity.epoch.max(later.identity.epoch);
    }

    /// Takes a record in and links it to the chain; a fill that was there already is no new row.
    fn apply_and_link(&mut self, record: &Record, batch: &Batch<'_>) -> Result<bool, LedgerError> {
        let new = self.apply(record, batch)?;
        let may_repeat = matches!(record, Record::Fill { .. } | Record::External(_));
        if new || !may_repeat {
            let mut hasher = Hasher::new();
            hasher.update(self.end().as_bytes()).update(&serde_json::to_vec(record)?);
            self.chain.push(hasher.finalize());
        }
        Ok(new && matches!(record, Record::Fill { .. }))
    }

    fn end(&self) -> Hash {
        self.chain.last().copied().unwrap_or(Hash::from_bytes([0; 32]))
    }

    fn apply(&mut self, record: &Record, batch: &Batch<'_>) -> Result<bool, LedgerError> {
        match record {
            Record::Intent(intent) => self.add_intent(intent, batch)?,
            Record::Signing(signing) => self.sign(signing)?,
            Record::Transition(transition) => self.move_order(transition)?,
            Record::Fill { intent, fill } => return self.book(*intent, fill, batch),
            Record::Halt(change) => {
                self.undo.push(Undo::Halts(self.halts.clone()));
                fold_halt(&mut self.halts, change);
            }
            Record::Transfer(transfer) => {
                self.transfers.push(transfer.clone());
                self.undo.push(Undo::Transfer);
            }
            Record::Succession(done) => {
                self.successions.push(*done);
                self.undo.push(Undo::Succession);
            }
            Record::External(external) => return self.note_external(external, batch),
            // Nothing reads a rebase back: the reference is in the checkpoint.
            Record::Rebase { .. } => {}
        }
        Ok(false)
    }

    fn add_intent(&mut self, intent: &Intent, batch: &Batch<'_>) -> Result<(), LedgerError> {
        rules_of(batch, &intent.symbol)?;
        check_epoch(intent.id, intent.epoch, self.identity)?;
        let known =
            self.intents.contains_key(&intent.id) || self.client_order_ids.contains(&intent.client_order_id);
        if known {
            return Err(already_there(intent));
        }
        let name = batch.names.iter().find(|(uid, _)| *uid == intent.strategy).map(|(_, name)| name.clone());
        let name = name.unwrap_or_else(|| smol_str::format_smolstr!("{}", intent.strategy));
        self.client_order_ids.insert(intent.client_order_id);
        let (state, attempt) = (OrderState::Intended, Attempt(0));
        let kept = Kept { intent: intent.clone(), name, state, attempt, signature: None };
        self.intents.insert(intent.id, kept);
        self.undo.push(Undo::Intent(intent.id, intent.client_order_id));
        Ok(())
    }

    fn sign(&mut self, signing: &Signing) -> Result<(), LedgerError> {
        check_epoch(signing.intent, signing.epoch, self.identity)?;
        let kept = self.intents.get_mut(&signing.intent).ok_or_else(|| not_there(signing.intent))?;
        let attempt = i64::from(kept.attempt.0);
        if !is_next_sending(signing, kept.state, attempt) {
            return Err(not_to_be_sent(signing, kept.state, attempt));
        }
        self.undo.push(Undo::Signing(signing.intent, kept.signature));
        kept.signature = Some(signing.signature);
        Ok(())
    }

    fn move_order(&mut self, transition: &Transition) -> Result<(), LedgerError> {
        check_epoch(transition.intent, transition.epoch, self.identity)?;
        let kept = self.intents.get_mut(&transition.intent).ok_or_else(|| not_there(transition.intent))?;
        let stand = Stand { epoch: self.identity.epoch, state: kept.state, attempt: kept.attempt };
        if !stand.admits(transition) {
            return Err(stands_elsewhere(transition, kept.state.into(), i64::from(kept.attempt.0)));
        }
        self.undo.push(Undo::Transition(transition.intent, kept.state, kept.attempt));
        kept.state = transition.to;
        kept.attempt = transition.attempt;
        Ok(())
    }

    fn book(&mut self, id: IntentId, fill: &Fill, batch: &Batch<'_>) -> Result<bool, LedgerError> {
        rules_of(batch, &fill.symbol)?;
        let kept = self.intents.get(&id).ok_or_else(|| not_there(id))?;
        let key = (fill.symbol.clone(), fill.trade_id.clone());
        if let Some(booked) = self.trades.get(&key).and_then(|index| self.fills.get(*index)) {
            let same = booked.intent == id && booked.fill == *fill;
            return if same { Ok(false) } else { Err(other_numbers(id, fill)) };
        }
        self.trades.insert(key, self.fills.len());
        self.fills.push(BookedFill {
            intent: id,
            strategy: kept.intent.strategy,
            purpose: kept.intent.purpose,
            fill: fill.clone(),
        });
        self.undo.push(Undo::Fill(fill.symbol.clone(), fill.trade_id.clone()));
        Ok(true)
    }

    /// Whether it was not seen before.
    fn note_external(&mut self, external: &External, batch: &Batch<'_>) -> Result<bool, LedgerError> {
        rows::external(external, batch)?;
        let (what, id, symbol) = rows::external_key(external);
        let key = (what, symbol.clone(), SmolStr::new(id));
        let new = self.externals.insert(key.clone());
        if new {
            self.undo.push(Undo::External(key));
        }
        Ok(new)
    }

    fn roll_back(&mut self) {
        while let Some(step) = self.undo.pop() {
            match step {
                Undo::Intent(id, client_order_id) => {
                    self.intents.remove(&id);
                    self.client_order_ids.remove(&client_order_id);
                }
                Undo::Signing(id, signature) => {
                    if let Some(kept) = self.intents.get_mut(&id) {
                        kept.signature = signature;
                    }
                }
                Undo::Transition(id, state, attempt) => {
                    if let Some(kept) = self.intents.get_mut(&id) {
                        (kept.state, kept.attempt) = (state, attempt);
                    }
                }
                Undo::Fill(symbol, trade_id) => {
                    self.fills.pop();
                    self.trades.remove(&(symbol, trade_id));
                }
                Undo::Halts(halts) => self.halts = halts,
                Undo::Transfer => {
                    self.transfers.pop();
                }
                Undo::Succession => {
                    self.successions.pop();
                }
                Undo::External(key) => {
                    self.externals.remove(&key);
                }
            }
        }
    }

    fn remember_rules(&mut self, rules: &[InstrumentRules]) {
        for rule in rules {
            if !self.rules.iter().any(|known| known.symbol == rule.symbol) {
                self.rules.push(rule.clone());
            }
        }
    }

    fn rules(&self, symbol: &Symbol) -> Result<&InstrumentRules, LedgerError> {
        let found = self.rules.iter().find(|rules| rules.symbol == *symbol);
        found.ok_or_else(|| LedgerError::UnknownInstrument { symbol: symbol.clone() })
    }

    fn trade(&self, booked: &BookedFill) -> Result<TradeRow, LedgerError> {
        let kept = self.intents.get(&booked.intent).ok_or_else(|| not_there(booked.intent))?;
        let fill = &booked.fill;
        let rules = self.rules(&fill.symbol)?;
        Ok(TradeRow {
            intent: booked.intent,
            trade_id: fill.trade_id.0.clone(),
            strategy: booked.strategy,
            strategy_name: kept.name.clone(),
            symbol: fill.symbol.clone(),
            side: fill.side,
            purpose: booked.purpose,
            price: rules.price_text(fill.price).into(),
            quantity: rules.quantity_text(fill.quantity).into(),
            fee: fill.fee.amount,
            fee_asset: fill.fee.asset.clone(),
            liquidity: fill.liquidity,
            at: fill.at,
        })
    }
}

impl LedgerReader for MemoryLedger {
    async fn history(&mut self) -> Result<History, LedgerError> {
        let open = self.intents.values().filter(|kept| !kept.state.is_terminal());
        Ok(History {
            next_intent: self.intents.last_key_value().map_or(0, |(id, _)| id.0.saturating_add(1)),
            left_out: self.left_out(),
            open_orders: open
                .map(|kept| OpenOrder {
                    intent: kept.intent.clone(),
                    attempt: kept.attempt,
                    state: kept.state,
                    signature: kept.signature,
                })
                .collect(),
            fills: self.fills.clone(),
            transfers: self.transfers.clone(),
            successions: self.successions.clone(),
            halts: self.halts.clone(),
            checkpoint: self.checkpoint.clone(),
        })
    }

    async fn decisions(&mut self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, LedgerError> {
        let mut found: Vec<&DecisionRow> =
            self.decisions.iter().rev().filter(|row| matches(filter, row)).collect();
        found.sort_by_key(|row| std::cmp::Reverse(row.at));
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    async fn outcomes(&mut self) -> Result<Vec<OutcomeCount>, LedgerError> {
        let row = |((name, stage, outcome), count): (&(SmolStr, SmolStr, SmolStr), &u64)| OutcomeCount {
            strategy_name: name.clone(),
            stage: stage.clone(),
            outcome: outcome.clone(),
            count: *count,
        };
        Ok(self.outcomes.iter().map(row).collect())
    }

    async fn symbols(&mut self) -> Result<Vec<Symbol>, LedgerError> {
        let mut symbols: Vec<Symbol> = self.intents.values().map(|kept| kept.intent.symbol.clone()).collect();
        symbols.sort();
        symbols.dedup();
        Ok(symbols)
    }

    async fn fill_counts(&mut self) -> Result<Vec<(SmolStr, u64)>, LedgerError> {
        let mut counts: BTreeMap<SmolStr, u64> = BTreeMap::new();
        for booked in &self.fills {
            *counts.entry(self.trade(booked)?.strategy_name).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    async fn trades(&mut self, limit: u32) -> Result<Vec<TradeRow>, LedgerError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.fills.iter().rev().take(limit).map(|booked| self.trade(booked)).collect()
    }

    async fn equity(
        &mut self,
        strategy: Option<Uid>,
        since: Timestamp,
    ) -> Result<Vec<EquityRow>, LedgerError> {
        let mut rows: Vec<EquityRow> =
            self.equity.iter().filter(|row| row.strategy == strategy && row.at >= since).cloned().collect();
        rows.sort_by_key(|row| row.at);
        Ok(rows)
    }

    async fn halts(&mut self) -> Result<Vec<Halt>, LedgerError> {
        Ok(self.halts.clone())
    }

    async fn balances(&mut self) -> Result<Vec<BalanceRow>, LedgerError> {
        let mut balances = Balances::default();
        balances.know(self.successions.clone());
        for transfer in &self.transfers {
            balances.transfer(transfer)?;
        }
        for booked in &self.fills {
            balances.fill(booked.strategy, &booked.fill, self.rules(&booked.fill.symbol)?)?;
        }
        Ok(balances.rows())
    }

    async fn head(&mut self) -> Result<ChainHead, LedgerError> {
        let rows = self.chain.len().saturating_sub(1);
        Ok(ChainHead { seq: u64::try_from(rows).unwrap_or(u64::MAX), hash: self.end() })
    }

    async fn contains(&mut self, head: &ChainHead) -> Result<bool, LedgerError> {
        let known = usize::try_from(head.seq).ok().and_then(|seq| self.chain.get(seq));
        Ok(known == Some(&head.hash))
    }
}

impl Ledger for MemoryLedger {
    fn identity(&self) -> LedgerIdentity {
        self.identity
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, LedgerError> {
        self.undo.clear();
        let (mut new_fills, rows) = (0, self.chain.len());
        let (mut told, mut taken) = (Vec::new(), Vec::new());
        for record in batch.records {
            match self.apply_and_link(record, batch) {
                Ok(new_fill) => {
                    new_fills += usize::from(new_fill);
                    if new_fill || !matches!(record, Record::Fill { .. }) {
                        told.extend(self.told(record, batch)?);
                        taken.push(record);
                    }
                }
                Err(error) => {
                    self.roll_back();
                    self.chain.truncate(rows);
                    return Err(error);
                }
            }
        }
        self.remember_rules(batch.rules);
        for row in batch.decisions {
            let key = (row.strategy_name.clone(), row.stage.clone(), row.outcome.clone());
            *self.outcomes.entry(key).or_default() += 1;
        }
        self.decisions.extend_from_slice(batch.decisions);
        self.equity.extend_from_slice(batch.equity);
        if let Some(checkpoint) = batch.checkpoint {
            self.checkpoint.get_or_insert_default().clone_from(checkpoint);
        }
        self.tell(batch, told, &taken)?;
        Ok(Committed { new_fills })
    }

    async fn prune(&mut self, before: Timestamp) -> Result<Pruned, LedgerError> {
        let (decisions, equity) = (self.decisions.len(), self.equity.len());
        self.decisions.retain(|row| row.at >= before);
        self.equity.retain(|row| row.at >= before);
        let gone = |was: usize, is: usize| u64::try_from(was - is).unwrap_or(u64::MAX);
        Ok(Pruned {
            decisions: gone(decisions, self.decisions.len()),
            equity: gone(equity, self.equity.len()),
            more: false,
        })
    }
}

fn matches(filter: &DecisionFilter, row: &DecisionRow) -> bool {
    filter.strategy.as_ref().is_none_or(|name| *name == row.strategy_name)
        && filter.symbol.as_ref().is_none_or(|symbol| *symbol == row.symbol)
        && filter.since.is_none_or(|since| row.at >= since)
}

fn fold_halt(halts: &mut Vec<Halt>, change: &HaltChange) {
    let (HaltChange::Set(Halt { name, .. }) | HaltChange::Cleared { name, .. }) = change;
    halts.retain(|halt| halt.name != *name);
    if let HaltChange::Set(halt) = change {
        halts.push(halt.clone());
    }
}
