//! What a run is made of: the venue's manners, the odds of each fault, the market, and what is traded how.

use tradewind_core::config::{
    BusConfig, Config, DeletionPolicy, DesiredState, FeeAsset, FeeConfig, InstrumentState, LedgerConfig,
    MarketDataConfig, Mode, PaperConfig, Protection, RedisConfig, ResolvedAccount, ResolvedStrategy,
    SignalConfig, SizingConfig, Speed, StrategyInstrument, VenueConfig,
};
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::limits::{AccountLimits, Breaker, Limits};
use tradewind_core::money::{BasisPoints, Cash, Percent};
use tradewind_core::name::Uid;
use tradewind_core::order::{Incarnation, IntentId};
use tradewind_core::protocol::VenueTerms;
use tradewind_core::time::{Millis, Timestamp};
use uuid::Uuid;

use crate::dice::Dice;

/// What bounds the doubt at the simulated venue.
pub(crate) const TERMS: VenueTerms =
    VenueTerms { signature_life: Millis(5_000), clock_skew: Millis(500), query_lag: Millis(5_000) };
/// How long a worker may believe in a Lease that it has lost.
pub(crate) const LEASE: Millis = Millis(15_000);
/// The most a halt may take to be seen by a worker that is awake.
pub(crate) const SEEN_WITHIN: Millis = Millis(2_000);
/// Length of the bars.
pub(crate) const BAR: Millis = Millis(60_000);
/// How many bars there are.
pub(crate) const BARS: i64 = 44;
/// How long everything has to come to rest when faults have stopped.
pub(crate) const REST: Millis = Millis(180_000);
/// Tag of the one ledger.
pub(crate) const OURS: Incarnation = Incarnation(0x0051_7007);
/// What is traded, with its price at the beginning in hundredths, tick and lot.
pub(crate) const SYMBOLS: [(&str, i64, &str); 3] =
    [("BTC-USD", 5_000_000, "0.00001"), ("ETH-USD", 200_000, "0.0001"), ("SOL-USD", 10_000, "0.001")];

/// Whether the venue takes a client order id again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dedupe {
    /// Never: the first order is the answer.
    ForEver,
    /// Once the first order has ended.
    WhileOpen,
    /// Always.
    None,
}

/// How the venue numbers trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbering {
    Account,
    Instrument,
}

/// How often faults strike, in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Odds {
    /// Of each call, before it and after it.
    pub(crate) crash: u32,
    /// The same.
    pub(crate) pause: u32,
    /// Of each pause.
    pub(crate) take_over: u32,
    /// Of each request to the venue.
    pub(crate) wire: u32,
    /// Of each commit.
    pub(crate) commit: u32,
    /// Of each start.
    pub(crate) lost_commit: u32,
    /// Of each order.
    pub(crate) refusal: u32,
    /// Of each order.
    pub(crate) held_back: u32,
    /// Of each bar.
    pub(crate) maintenance: u32,
    /// Of each bar.
    pub(crate) halt: u32,
    /// Of each start.
    pub(crate) clock_step: u32,
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) begin: Timestamp,
    pub(crate) odds: Odds,
    /// How often a fault of the bus strikes, in a thousand: of each thing asked of it, and of each bar.
    pub(crate) bus_odds: u32,
    pub(crate) dedupe: Dedupe,
    pub(crate) numbering: Numbering,
    /// Whether look-ups lag at all.
    pub(crate) lags: bool,
    /// Whether ids of orders that have ended are forgotten.
    pub(crate) forgets: bool,
    /// How many orders of a thousand are not found by their id.
    pub(crate) unlisted: u32,
    /// How many entries of a thousand the adapter does not take.
    denied: u32,
    /// Whether the venue keeps orders that it refused, and shows them as that.
    pub(crate) keeps_refused: bool,
    pub(crate) fees: FeeConfig,
    pub(crate) rules: Vec<InstrumentRules>,
    pub(crate) config: Config,
}

impl Plan {
    /// The plan of a seed. None: its constants do not make one, which is a defect here.
    pub(crate) fn of(seed: u64) -> Option<Self> {
        let mut dice = Dice::new(seed, 2);
        let rules: Option<Vec<_>> = SYMBOLS
            .iter()
            .map(|(symbol, _, lot)| {
                InstrumentRules::from_decimals(symbol.parse().ok()?, "0.01", lot, "1").ok()
            })
            .collect();
        let fees = FeeConfig {
            maker: BasisPoints(50_000),
            taker: BasisPoints(100_000),
            paid_in: if dice.chance(500) { FeeAsset::Quote } else { FeeAsset::Received },
        };
        let mut plan = Self {
            seed,
            begin: Timestamp(1_700_000_040_000),
            odds: odds(&mut dice),
            bus_odds: Dice::new(seed, 4).one_of(&[0, 10, 10, 60], 10),
            dedupe: dice.one_of(&[Dedupe::ForEver, Dedupe::WhileOpen, Dedupe::None], Dedupe::None),
            numbering: dice.one_of(&[Numbering::Account, Numbering::Instrument], Numbering::Account),
            lags: dice.chance(700),
            forgets: dice.chance(500),
            unlisted: Dice::new(seed, 5).one_of(&[0, 0, 100, 500], 0),
            denied: Dice::new(seed, 9).one_of(&[0, 0, 0, 60], 0),
            keeps_refused: Dice::new(seed, 10).chance(500),
            config: config(&mut dice, &fees)?,
            fees,
            rules: rules?,
        };
        // Few runs have a breaker that trips: it is not resumed, and little happens then.
        let drawdown = if Dice::new(seed, 8).chance(60) { 500 } else { 3_000 };
        let breakers = plan.config.strategies.iter_mut().flat_map(|strategy| &mut strategy.breakers);
        breakers.for_each(|breaker| breaker.drawdown = Percent(drawdown));
        Some(plan)
    }
}

impl Plan {
    /// Whether the venue's order of that number is one that it does not find by its id.
    pub(crate) fn unlisted(&self, number: usize) -> bool {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        Dice::new(self.seed.wrapping_add(number.wrapping_mul(0x9E37_79B9)), 6).chance(self.unlisted)
    }

    /// Whether the adapter does not take that intent, however often it is asked to.
    pub(crate) fn denied(&self, intent: IntentId) -> bool {
        Dice::new(self.seed.wrapping_add(intent.0.wrapping_mul(0x9E37_79B9)), 11).chance(self.denied)
    }

    /// As [`Self::of`], with faults of one kind alone, and a stop at the venue for every position.
    pub(crate) fn disturbed_by(seed: u64, kind: Disturbance) -> Option<Self> {
        let mut plan = Self::of(seed)?;
        plan.odds = kind.odds();
        plan.lags = kind == Disturbance::LaggingQueries;
        plan.unlisted = if kind == Disturbance::OrdersNotFoundById { 500 } else { 0 };
        plan.denied = 0;
        plan.bus_odds = if kind == Disturbance::BusFaults { 60 } else { 0 };
        plan.config.strategies.iter_mut().for_each(|strategy| strategy.protection = Protection::AtVenue);
        Some(plan)
    }
}

/// Kinds of faults that can be looked at one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumIter)]
#[strum(serialize_all = "title_case")]
pub enum Disturbance {
    /// Nothing but fills in parts, as ever.
    Nothing,
    /// Processes are killed and started again.
    Crashes,
    /// Processes stand still, or are taken over meanwhile.
    Pauses,
    /// Requests and answers are late or lost.
    LostAndLateMessages,
    /// Look-ups do not show yet what happened.
    LaggingQueries,
    /// Commits fail, or their answer does.
    FailingCommits,
    /// The venue refuses orders.
    Refusals,
    /// The venue holds orders back.
    HeldBackOrders,
    /// The venue goes into maintenance.
    Maintenance,
    /// Entries are halted and resumed.
    Halts,
    /// Clocks are set, at starts and while it runs.
    ClockSteps,
    /// The ledger loses its last commit at a start, or parts into two.
    LostCommits,
    /// The venue does not find orders by their ids.
    OrdersNotFoundById,
    /// The bus is away, loses answers and is emptied.
    BusFaults,
}

impl Disturbance {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        <Self as strum::IntoEnumIterator>::iter()
    }

    /// As often as in the runs that know it often; one message of nine is late or lost.
    fn odds(self) -> Odds {
        let none = Odds::default();
        match self {
            Self::Nothing | Self::LaggingQueries | Self::BusFaults => none,
            Self::Crashes => Odds { crash: 15, ..none },
            Self::Pauses => Odds { pause: 15, take_over: 300, ..none },
            // Not finding orders by their ids matters where answers are lost.
            Self::LostAndLateMessages | Self::OrdersNotFoundById => Odds { wire: 30, ..none },
            Self::FailingCommits => Odds { commit: 20, ..none },
            Self::Refusals => Odds { refusal: 60, ..none },
            Self::HeldBackOrders => Odds { held_back: 100, ..none },
            Self::Maintenance => Odds { maintenance: 60, ..none },
            Self::Halts => Odds { halt: 120, ..none },
            Self::ClockSteps => Odds { clock_step: 500, crash: 3, ..none },
            Self::LostCommits => Odds { lost_commit: 300, crash: 3, pause: 3, take_over: 300, ..none },
        }
    }
}

/// Some runs know a fault often, others never: what follows from it can then come to its end.
fn odds(dice: &mut Dice) -> Odds {
    let mut of = |few: u32, many: u32| dice.one_of(&[0, few, few, many], few);
    Odds {
        crash: of(3, 15),
        pause: of(3, 15),
        take_over: of(300, 800),
        wire: of(30, 120),
        commit: of(5, 20),
        lost_commit: of(0, 300),
        refusal: of(10, 60),
        held_back: of(20, 100),
        maintenance: of(20, 60),
        halt: of(40, 120),
        clock_step: of(100, 500),
    }
}

fn config(dice: &mut Dice, fees: &FeeConfig) -> Option<Config> {
    let account = ResolvedAccount {
        uid: Uid(Uuid::from_u128(1)),
        namespace: "desk".into(),
        name: "main".into(),
        quote_currency: "USD".parse().ok()?,
        venue: VenueConfig::Paper(PaperConfig {
            balances: Vec::new(),
            fees: fees.clone(),
            slippage: BasisPoints(0),
            latency: Millis(0),
            volume_share: Percent::ONE_HUNDRED,
        }),
        market_data: MarketDataConfig::Replay { data_set: "market".into(), speed: Speed::RealTime },
        policy: "desk".into(),
        // Two entries fit, or any number.
        limits: AccountLimits {
            max_exposure: dice.one_of(&[Percent(40_000), Percent(800_000)], Percent(800_000)),
        },
        breakers: Vec::new(),
        bus: Some(BusConfig::Redis(RedisConfig {
            host: "bus".into(),
            port: 6379,
            database: 0,
            credentials: None,
            tls: false,
        })),
        ledger: LedgerConfig::Sqlite,
    };
    let strategies = [(10, &["BTC-USD", "ETH-USD"][..]), (20, &["SOL-USD"][..])];
    let strategies: Option<Vec<_>> =
        strategies.iter().map(|(uid, symbols)| strategy(dice, *uid, symbols)).collect();
    Some(Config { account, strategies: strategies? })
}

/// Each entry is of 3.5 % of equity: one is within every limit below, and two in one place never are.
fn strategy(dice: &mut Dice, uid: u128, symbols: &[&str]) -> Option<ResolvedStrategy> {
    let instruments: Option<Vec<_>> = symbols
        .iter()
        .map(|symbol| {
            Some(StrategyInstrument { symbol: symbol.parse().ok()?, state: InstrumentState::Active })
        })
        .collect();
    let limits = Limits {
        min_confidence: Percent(0),
        cooldown: Millis(0),
        max_trades_per_instrument_per_day: 1_000,
        max_exposure: dice.one_of(&[Percent(50_000), Percent(800_000)], Percent(800_000)),
        max_open_positions: if dice.chance(500) { 1 } else { 10 },
        ..Limits::defaults()
    };
    Some(ResolvedStrategy {
        uid: Uid(Uuid::from_u128(uid)),
        name: smol_str::format_smolstr!("s{uid}"),
        generation: 0,
        desired_state: DesiredState::Trading,
        mode: Mode::Paper,
        capital: Cash::parse("10000").ok()?,
        instruments: instruments?,
        bar: BAR,
        signal: SignalConfig::EmaCross { fast: 1, slow: 2 },
        sizing: SizingConfig::FixedPercent { percent: Percent(35_000) },
        stop_loss: Some(Percent(7_000)),
        protection: dice
            .one_of(&[Protection::AtVenue, Protection::AtVenue, Protection::AtWorker], Protection::AtVenue),
        policy: None,
        limits,
        breakers: vec![Breaker { drawdown: Percent(3_000), ..Breaker::default_drawdown() }],
        deletion_policy: DeletionPolicy::CancelEntries,
    })
}
