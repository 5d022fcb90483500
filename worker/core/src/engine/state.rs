//! What the engine remembers.

use std::ops::Range;

use smallvec::SmallVec;

use crate::books::{AssetId, Books};
use crate::config::{FeeAsset, FeeConfig, InstrumentState, ResolvedAccount, ResolvedStrategy};
use crate::decision::StrategyId;
use crate::event::Succession;
use crate::halt::{EntryBlock, Halt};
use crate::instrument::{InstrumentId, InstrumentRules};
use crate::money::{BasisPoints, Cash, Price, Quantity};
use crate::name::{Asset, Symbol, Uid};
use crate::order::{ClientOrderId, Intent, IntentId, OrderState, Purpose, TradeId};
use crate::portfolio::{Mark, Position};
use crate::protocol::{Life, Stage, VenueTerms};
use crate::recovery::LedgerIdentity;
use crate::signal::SignalState;
use crate::time::{Millis, Timestamp};

use super::balances::Mismatch;
use super::config::InstrumentSpec;
use super::probe::Probe;
use super::protection::{Bare, GuardPart};
use super::window::Window;

/// One account with its strategies, orders and halts.
#[derive(Debug, Clone)]
pub struct State {
    pub(super) now: Timestamp,
    pub(super) identity: LedgerIdentity,
    /// What bounds the doubt about an order at this venue.
    pub(super) terms: VenueTerms,
    /// No order is sent before this: what a predecessor signed may still be on its way.
    pub(super) first_send: Timestamp,
    pub(super) next_intent: u64,
    /// Numbers below the next that no intent of the ledger has, rising.
    pub(super) left_out: Vec<Range<u64>>,
    pub(super) account: ResolvedAccount,
    pub(super) instruments: Vec<Instrument>,
    pub(super) strategies: Vec<Strategy>,
    /// Who took over from whom, in order.
    pub(super) successions: Vec<Succession>,
    /// Strategies that wait for what their predecessor leaves.
    pub(super) heirs: Vec<ResolvedStrategy>,
    pub(super) orders: Orders,
    pub(super) books: Books,
    pub(super) quote: AssetId,
    pub(super) halts: Vec<Halt>,
    /// Why the worker lets no entry through; none while it does.
    pub(super) block: Option<EntryBlock>,
    /// Where the venue holds something else than the ledger says.
    pub(super) mismatch: Mismatch,
    /// What was withdrawn of each asset beyond what no strategy holds: it is missing from what they could sell.
    pub(super) withdrawn: Vec<(Asset, Cash)>,
    pub(super) probe: Probe,
    pub(super) account_mark: Mark,
    /// Worth of all positions at their marks.
    pub(super) account_value: Cash,
    /// Quote cash of the account, allocated or not.
    pub(super) account_cash: Cash,
    /// What came in less what went out by other ways than trading, at its worth then.
    pub(super) invested: Cash,
    /// Day of the last bar; a new one closes the old one's equity.
    pub(super) day: Option<i64>,
}

/// One instrument of the feed.
#[derive(Debug, Clone)]
pub(super) struct Instrument {
    pub(super) rules: InstrumentRules,
    pub(super) interval: Millis,
    pub(super) mark: Price,
    /// When it was told; far back where it is from before a restart.
    pub(super) marked_at: Timestamp,
    pub(super) last_bar: Option<Timestamp>,
    /// Whether any strategy holds any of it.
    pub(super) held: bool,
    /// Who trades it: strategy and slot.
    pub(super) watchers: Vec<(usize, usize)>,
}

/// One strategy.
#[derive(Debug, Clone)]
pub(super) struct Strategy {
    pub(super) config: ResolvedStrategy,
    /// Whether it still exists; what is gone makes no entries.
    pub(super) present: bool,
    /// Whether the deletion policy of one that is gone was carried out.
    pub(super) deletion_applied: bool,
    pub(super) slots: Vec<Slot>,
    /// Quote cash of its sub-ledger.
    pub(super) cash: Cash,
    /// Capital it was given.
    pub(super) allocated: Cash,
    /// Worth of its positions at their marks.
    pub(super) value: Cash,
    pub(super) mark: Mark,
    /// Time its positions were without the stop order they should have had, those that still are left out.
    pub(super) unprotected: Millis,
}

/// One strategy in one instrument.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) instrument: InstrumentId,
    pub(super) state: InstrumentState,
    pub(super) signal: SignalState,
    pub(super) window: Option<Window>,
    pub(super) position: Position,
    pub(super) value: Cash,
    pub(super) fees: Cash,
    pub(super) last_fill: Option<Timestamp>,
    /// UTC day and entries filled on it.
    pub(super) entries: (i64, u32),
    pub(super) last_entry: Option<IntentId>,
    pub(super) exit: Option<Exit>,
    pub(super) guards: Vec<GuardPart>,
    /// Since when some part has not the stop order it should have.
    pub(super) bare: Option<Bare>,
    /// Whether people were told that what is left is dust.
    pub(super) dust: bool,
}

/// An exit under way: stops and entries are cancelled first, then what is held is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) purpose: Purpose,
    pub(super) begun: Timestamp,
    pub(super) pace: Pace,
    /// Whether people were told that it takes longer than it should.
    pub(super) overdue: bool,
}

/// Whether an exit may make its next order now. The next bar or `Timer` lets it go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It may.
    Going,
    /// A slice has ended: the book gets time to fill again. Or coins are missing at the venue, perhaps only for now.
    Paused,
    /// The order was rejected or denied: it is not tried in a loop.
    Refused {
        /// Time alone does not bring it back before this.
        retry_at: Timestamp,
    },
}

/// A refused exit is tried again after this when no bar comes before.
const REFUSED_EXIT_WAITS: Millis = Millis(10_000);

impl Exit {
    pub(super) fn begin(purpose: Purpose, begun: Timestamp) -> Self {
        Self { purpose, begun, pace: Pace::Going, overdue: false }
    }

    /// Whether time alone lets it go on.
    pub(super) fn may_go_on(&self, now: Timestamp) -> bool {
        match self.pace {
            Pace::Going | Pace::Paused => true,
            Pace::Refused { retry_at } => now >= retry_at,
        }
    }

    /// One of its orders has ended.
    pub(super) fn after_order(&mut self, refused: bool, now: Timestamp) {
        if refused {
            self.pace = Pace::Refused { retry_at: now.plus(REFUSED_EXIT_WAITS) };
        } else if self.purpose == Purpose::Liquidation {
            self.pace = Pace::Paused;
        }
    }
}

/// An order whose story may still go on.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) intent: Intent,
    pub(super) strategy: usize,
    pub(super) slot: usize,
    pub(super) life: Life,
    /// When the last of its sendings was signed.
    pub(super) signed_at: Timestamp,
    /// Neither sent before this, when the venue's budget was used up, nor its cancel repeated.
    pub(super) retry_at: Timestamp,
    pub(super) filled: Quantity,
    /// Most orders trade once.
    pub(super) trades: SmallVec<[TradeId; 1]>,
    pub(super) cancelling: bool,
}

/// Open orders, and the last few that ended: fills of those may still come in late.
#[derive(Debug, Clone, Default)]
pub(super) struct Orders {
    pub(super) open: Vec<Order>,
    pub(super) ended: std::collections::VecDeque<Order>,
}

/// Ended orders that are remembered for late fills.
const REMEMBERED: usize = 256;

impl Orders {
    pub(super) fn by_client(&mut self, id: ClientOrderId) -> Option<&mut Order> {
        let fits = |order: &&mut Order| order.intent.client_order_id == id;
        self.open.iter_mut().find(fits).or_else(|| self.ended.iter_mut().rev().find(fits))
    }

    pub(super) fn by_intent(&mut self, id: IntentId) -> Option<&mut Order> {
        let fits = |order: &&mut Order| order.intent.id == id;
        self.open.iter_mut().find(fits).or_else(|| self.ended.iter_mut().rev().find(fits))
    }

    pub(super) fn of_slot(&self, strategy: usize, slot: usize) -> impl Iterator<Item = &Order> {
        self.open.iter().filter(move |order| order.strategy == strategy && order.slot == slot)
    }

    /// Moves an order that has ended out of the way.
    pub(super) fn settle(&mut self, id: IntentId) {
        if let Some(index) = self.open.iter().position(|o| o.intent.id == id && o.state().is_terminal()) {
            let order = self.open.remove(index);
            if self.ended.len() >= REMEMBERED {
                self.ended.pop_front();
            }
            self.ended.push_back(order);
        }
    }
}

impl Order {
    pub(super) fn state(&self) -> OrderState {
        self.life.state()
    }

    /// Whether more of it may be executed than is booked.
    pub(super) fn may_fill(&self) -> bool {
        self.remaining() > Quantity::ZERO
    }

    /// Whether the venue has it open, as far as we know.
    pub(super) fn is_at_the_venue(&self) -> bool {
        matches!(self.life.stage(), Stage::Accepted | Stage::PartiallyFilled)
    }

    /// What counts as filled though it has not.
    pub(super) fn remaining(&self) -> Quantity {
        self.life.at_risk(self.intent.quantity, self.filled)
    }
}

impl Strategy {
    #[inline]
    pub(super) fn equity(&self) -> Cash {
        self.cash.saturating_add(self.value)
    }
}

impl State {
    /// An engine that has seen nothing: no cash, no strategies yet; a `ConfigChange` brings them.
    ///
    /// `instruments` are those of the feed, in its order; their index is their [`InstrumentId`].
    pub fn new(account: ResolvedAccount, instruments: Vec<InstrumentSpec>, identity: LedgerIdentity) -> Self {
        let mut books = Books::default();
        let quote = books.asset(&account.quote_currency);
        let instruments = instruments.into_iter().map(|spec| Instrument {
            rules: spec.rules,
            interval: spec.interval,
            mark: Price::default(),
            marked_at: Timestamp(i64::MIN),
            last_bar: None,
            held: false,
            watchers: Vec::new(),
        });
        Self {
            now: Timestamp(i64::MIN),
            identity,
            terms: VenueTerms::default(),
            first_send: Timestamp(i64::MIN),
            next_intent: 1,
            left_out: Vec::new(),
            account,
            instruments: instruments.collect(),
            strategies: Vec::new(),
            successions: Vec::new(),
            heirs: Vec::new(),
            orders: Orders::default(),
            books,
            quote,
            halts: Vec::new(),
            block: None,
            mismatch: Mismatch::default(),
            withdrawn: Vec::new(),
            probe: Probe::default(),
            account_mark: Mark::default(),
            account_value: Cash::ZERO,
            account_cash: Cash::ZERO,
            invested: Cash::ZERO,
            day: None,
        }
    }

    #[inline]
    pub(super) fn account_equity(&self) -> Cash {
        let quote = self.account_cash.saturating_add(self.account_value);
        match &self.fees().paid_in {
            FeeAsset::Other { asset, price } => quote.saturating_add(self.worth_of_other(asset, *price)),
            FeeAsset::Quote | FeeAsset::Received => quote,
        }
    }

    /// Worth of the third asset fees are paid in, at its configured price.
    fn worth_of_other(&self, asset: &Asset, price: Cash) -> Cash {
        let held =
            self.books.holdings().find(|(held, _)| *held == asset).map_or(Cash::ZERO, |(_, amount)| amount);
        held.mul_div(price.0, 10_i128.pow(18), crate::money::Rounding::Down).unwrap_or_default()
    }

    pub(super) fn fees(&self) -> &FeeConfig {
        self.account.venue.fees()
    }

    pub(super) fn dearest_fee(&self) -> BasisPoints {
        self.fees().taker.max(self.fees().maker)
    }

    pub(super) fn slippage(&self) -> BasisPoints {
        self.account.venue.slippage()
    }

    pub(super) fn instrument_of(&self, symbol: &Symbol) -> Option<InstrumentId> {
        let index = self.instruments.iter().position(|i| i.rules.symbol == *symbol)?;
        u16::try_from(index).ok().map(InstrumentId)
    }

    /// The strategy of that uid, or who took over from it.
    pub(super) fn strategy_of(&self, uid: Uid) -> Option<usize> {
        let uid = self.heir_of(uid);
        self.strategies.iter().position(|s| s.config.uid == uid)
    }

    pub(super) fn slot(&self, strategy: usize, slot: usize) -> Option<&Slot> {
        self.strategies.get(strategy)?.slots.get(slot)
    }

    pub(super) fn slot_mut(&mut self, strategy: usize, slot: usize) -> Option<&mut Slot> {
        self.strategies.get_mut(strategy)?.slots.get_mut(slot)
    }

    /// The uid and name of a strategy, for people and rows.
    pub fn strategy_name(&self, id: StrategyId) -> Option<(Uid, &str)> {
        self.strategies.get(id.index()).map(|s| (s.config.uid, s.config.name.as_str()))
    }

    /// The configuration of a strategy as it is in force.
    pub fn strategy_config(&self, id: StrategyId) -> Option<&ResolvedStrategy> {
        self.strategies.get(id.index()).map(|s| &s.config)
    }

    /// The rules of an instrument.
    pub fn rules(&self, id: InstrumentId) -> Option<&InstrumentRules> {
        self.instruments.get(id.index()).map(|i| &i.rules)
    }

    /// Open time of the last bar taken in.
    pub fn last_bar(&self, id: InstrumentId) -> Option<Timestamp> {
        self.instruments.get(id.index()).and_then(|i| i.last_bar)
    }

    /// The latest price; zero before the first.
    pub fn mark(&self, id: InstrumentId) -> Option<Price> {
        self.instruments.get(id.index()).map(|i| i.mark)
    }

    /// Tells, from outside, whose signal is being evaluated.
    pub fn probe(&self) -> Probe {
        self.probe.clone()
    }

    /// Why the worker lets no entry through at present; none while it does.
    pub fn entry_block(&self) -> Option<EntryBlock> {
        self.block
    }

    /// The latest time told.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The account in force.
    pub fn account(&self) -> &ResolvedAccount {
        &self.account
    }

    /// Whether every asset's books sum to nothing; a ledger that does not is not traded on.
    pub fn is_balanced(&self) -> bool {
        self.books.is_balanced()
    }
}
