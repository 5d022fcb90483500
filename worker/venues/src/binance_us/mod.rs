//! Binance.US: signing, budget, rules and outcomes as pure functions, and a thin HTTP edge around them.
//!
//! It promises what [`crate::port`] promises: each request is written at most once, only a listed answer is a refusal,
//! and "not found" is only what the venue said so. It must not retry an order, decide anything, or read a clock other
//! than the one it is given. Facts of the venue carry the document they are from, at
//! <https://github.com/binance-us/binance-us-api-docs>; `docs/venues/binance-us.md` says what we make of them.

mod account;
mod budget;
mod clock;
mod credentials;
mod endpoint;
mod error;
mod market;
mod orders;
pub mod outcome;
pub mod reply;
pub mod request;
pub mod rules;
mod sign;
mod traffic;
mod transport;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use smol_str::SmolStr;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::name::{Asset, Symbol};
use tradewind_core::protocol::VenueTerms;
use tradewind_core::time::{Millis, Timestamp};

pub use budget::{Budget, Need, Usage, Wait};
pub use clock::{ClockError, MAX_ERROR, MAX_OFFSET, VenueClock};
pub use credentials::{ApiKey, ApiSecret, Credentials, CredentialsError, KeyFolder};
pub use endpoint::{DEFAULT_ENDPOINT, Endpoint, EndpointError};
pub use error::BinanceError;
pub use market::{MarketNews, MarketPoll};
pub use orders::conclude;
pub use sign::signature;
pub use traffic::{Asked, RequestTimes, Requests, Traffic};
pub use transport::{Answer, DEADLINE, MOST_BYTES, NoAnswer, Transport};

use outcome::{Body, Held, Seen};
use reply::{ErrorBody, Owner};
use request::{ExactRequest, RECV_WINDOW, Security};
use rules::{ExchangeInfo, SymbolError, SymbolRules, Trading};

/// How far look-ups may lag behind the engine: they are answered from memory, then from a database (rest-api.md,
/// "Data Sources"). How far is not documented; the window, the skew and this make ten and a half seconds together.
pub const QUERY_LAG: Millis = Millis(5_000);
/// The rules are read again after this time: symbols are halted and delisted at short notice.
const RULES_AGE: Millis = Millis(3_600_000);
/// And after this, while something cannot be traded.
const CLOSED_AGE: Millis = Millis(60_000);
/// The most owners of orders that are remembered. One that was forgotten is asked for again.
const OWNERS: usize = 10_000;
/// The timestamp was not within the window (errors.md).
const INVALID_TIMESTAMP: i64 = -1021;

/// What an account at Binance.US is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the venue is.
    pub endpoint: Endpoint,
    /// The folder with the files `apiKey` and `apiSecret`.
    pub key_folder: PathBuf,
    /// The instruments to trade.
    pub symbols: Vec<Symbol>,
    /// How long a call may take; at most [`DEADLINE`].
    pub deadline: Duration,
}

/// Our clock: the time it is, UTC.
pub type OurClock = Box<dyn Fn() -> Timestamp>;

/// An account at Binance.US.
pub struct BinanceUs {
    /// For orders and cancels alone, lest they wait behind anything.
    order_transport: Transport,
    transport: Transport,
    keys: KeyFolder,
    key_problem: Option<CredentialsError>,
    our_clock: OurClock,
    clock: VenueClock,
    budget: Budget,
    wanted: Vec<Symbol>,
    symbols: BTreeMap<Symbol, SymbolRules>,
    unusable: BTreeMap<Symbol, SymbolError>,
    rules_read_at: Option<Timestamp>,
    maintenance: Option<String>,
    /// Whose the orders are that trades name by number.
    owners: BTreeMap<(SmolStr, u64), Owner>,
    requests: Requests,
}

impl BinanceUs {
    /// An account whose key was read and that has asked the venue nothing yet. [`Self::refresh`] comes next.
    pub fn new(settings: Settings, our_clock: OurClock) -> Result<Self, BinanceError> {
        let Settings { endpoint, key_folder, symbols, deadline } = settings;
        let transport = || Transport::new(endpoint.clone()).map(|made| made.with_deadline(deadline));
        Ok(Self {
            order_transport: transport()?,
            transport: transport()?,
            keys: KeyFolder::open(key_folder)?,
            key_problem: None,
            our_clock,
            clock: VenueClock::default(),
            budget: Budget::default(),
            wanted: symbols,
            symbols: BTreeMap::new(),
            unusable: BTreeMap::new(),
            rules_read_at: None,
            maintenance: None,
            owners: BTreeMap::new(),
            requests: Requests::default(),
        })
    }

    /// What bounds the doubt about an order of unknown outcome.
    pub fn terms(&self) -> VenueTerms {
        VenueTerms { signature_life: RECV_WINDOW, clock_skew: MAX_ERROR, query_lag: QUERY_LAG }
    }

    /// Renews what has grown old: the venue's clock, its rules, whether it is in maintenance. Cheap when nothing has;
    /// to be called at least each minute.
    pub async fn refresh(&mut self) -> Result<(), BinanceError> {
        if self.clock.is_due(self.now()) {
            self.ask_time().await?;
        }
        let now = self.now();
        let closed = |rules: &SymbolRules| rules.trading != Trading::Open;
        let waiting = self.maintenance.is_some() || self.symbols.values().any(closed);
        let age = if waiting { CLOSED_AGE } else { RULES_AGE };
        let young = |read: Timestamp| (0..age.0).contains(&now.since(read).0);
        if !self.rules_read_at.is_some_and(young) {
            self.read_rules().await?;
        }
        Ok(())
    }

    /// The venue's rules of an instrument; an error says why it cannot be traded.
    pub fn rules(&self, symbol: &Symbol) -> Result<&SymbolRules, BinanceError> {
        if let Some(rules) = self.symbols.get(symbol) {
            return Ok(rules);
        }
        match self.unusable.get(symbol) {
            Some(error) => Err(error.clone().into()),
            None => Err(BinanceError::NoRules { symbol: symbol.clone() }),
        }
    }

    /// Rules of all instruments that are quoted in that asset and can be traded exactly, whether open at present or not,
    /// in the venue's order.
    pub async fn offered(&mut self, quote: &Asset) -> Result<Vec<InstrumentRules>, BinanceError> {
        let info = self.ask_rules().await?;
        let rules = info.rules(&info.quoted_in(quote));
        Ok(rules.into_values().filter_map(|rules| rules.ok().map(|rules| rules.rules)).collect())
    }

    /// Also trades those instruments: their orders and trades are asked for from now on. Their rules are read with the
    /// next [`Self::refresh`]. True when one of them is new.
    pub fn follow(&mut self, symbols: &[Symbol]) -> bool {
        let new: Vec<Symbol> =
            symbols.iter().filter(|symbol| !self.wanted.contains(symbol)).cloned().collect();
        if new.is_empty() {
            return false;
        }
        self.wanted.extend(new);
        self.rules_read_at = None;
        true
    }

    /// Why the mounted key is not the one in use, if it was changed for one that cannot be used.
    pub fn key_problem(&self) -> Option<&CredentialsError> {
        self.key_problem.as_ref()
    }

    /// What went over the wire, and what may still.
    pub fn traffic(&self) -> Traffic {
        Traffic::of(&self.requests, &self.budget, &self.clock, self.now())
    }

    /// The venue's words for its maintenance, if it is in one.
    pub fn maintenance(&self) -> Option<&str> {
        self.maintenance.as_deref()
    }

    /// Reads the rules of all instruments, and asks whether the venue is in maintenance.
    pub async fn read_rules(&mut self) -> Result<(), BinanceError> {
        let info = self.ask_rules().await?;
        for (symbol, rules) in info.rules(&self.wanted) {
            match rules {
                Ok(rules) => {
                    self.unusable.remove(&symbol);
                    self.symbols.insert(symbol, rules);
                }
                Err(error) => {
                    self.symbols.remove(&symbol);
                    self.unusable.insert(symbol, error);
                }
            }
        }
        self.rules_read_at = Some(self.now());
        self.ask_maintenance().await
    }

    async fn ask_rules(&mut self) -> Result<ExchangeInfo, BinanceError> {
        const WHAT: &str = "the venue's rules";
        let answer = self.read(WHAT, &request::exchange_info(), Need::Ordinary).await?;
        let info: ExchangeInfo =
            reply::read(&answer.body).map_err(|source| BinanceError::Reply { what: WHAT, source })?;
        self.budget.set_limits(&info.rate_limits);
        Ok(info)
    }

    /// Venues that do not know the question are taken at the word of their symbols.
    async fn ask_maintenance(&mut self) -> Result<(), BinanceError> {
        const WHAT: &str = "the venue's status";
        let request = request::system_status(self.signing_time().await?);
        let (answer, error) = self.call(WHAT, &request, Need::Ordinary, false).await?;
        self.maintenance = match (answer.status, error) {
            (200, None) => reply::maintenance(&answer.body)
                .map_err(|source| BinanceError::Reply { what: WHAT, source })?,
            _ => None,
        };
        Ok(())
    }

    /// Asks the venue for its time.
    async fn ask_time(&mut self) -> Result<Timestamp, BinanceError> {
        const WHAT: &str = "the venue's time";
        let asked = self.now();
        let answer = self.read(WHAT, &request::time(), Need::Urgent).await?;
        let answered = self.now();
        let venue =
            reply::server_time(&answer.body).map_err(|source| BinanceError::Reply { what: WHAT, source })?;
        self.clock.observe(asked, answered, venue);
        Ok(venue)
    }

    fn now(&self) -> Timestamp {
        (self.our_clock)()
    }

    /// The venue's time, asked for when it is not known well enough.
    async fn signing_time(&mut self) -> Result<Timestamp, BinanceError> {
        if self.clock.venue_time(self.now()).is_err() {
            self.ask_time().await?;
        }
        Ok(self.clock.venue_time(self.now())?)
    }

    /// Asks for something that is read, and gives back a success only.
    async fn read(
        &mut self,
        what: &'static str,
        request: &ExactRequest,
        need: Need,
    ) -> Result<Answer, BinanceError> {
        let (answer, error) = self.call(what, request, need, false).await?;
        match error {
            None if answer.status == 200 => Ok(answer),
            error => Err(BinanceError::NoAnswer { what, seen: seen(answer.status, error) }),
        }
    }

    /// Sends a request, once, within the budget, and takes in what the answer says of limits and of our clock.
    async fn call(
        &mut self,
        what: &'static str,
        request: &ExactRequest,
        need: Need,
        order: bool,
    ) -> Result<(Answer, Option<ErrorBody>), BinanceError> {
        if request.security == Security::Signed {
            self.key_problem = self.keys.refresh().err();
        }
        let taken = self.budget.take(self.now(), request.weight, order, need);
        taken.map_err(|wait| BinanceError::Wait { what, wait })?;
        let transport = if order { &self.order_transport } else { &self.transport };
        let began = Instant::now();
        let sent = transport.send(request, self.keys.credentials()).await;
        self.requests.count(request, &sent, began.elapsed());
        let answer = sent.map_err(|no| BinanceError::NoAnswer { what, seen: no.into() })?;
        let error = ErrorBody::parse(&answer.body);
        self.budget.observe(self.now(), answer.usage, error.as_ref());
        if error.as_ref().is_some_and(|error| error.code == INVALID_TIMESTAMP) {
            self.clock.doubt();
        }
        Ok((answer, error))
    }

    fn remember(&mut self, rules: &SymbolRules, order_id: u64, owner: Owner) {
        if self.owners.len() >= OWNERS {
            self.owners.pop_first();
        }
        self.owners.insert((rules.venue_symbol.clone(), order_id), owner);
    }
}

fn seen(status: u16, error: Option<ErrorBody>) -> Seen {
    let body = match error {
        Some(ErrorBody { code, msg }) => Body::Error { code, message: msg },
        None => Body::Other,
    };
    Seen::Answer { status, body }
}

impl BinanceError {
    /// Whether the request was held back, and why.
    fn held(&self) -> Option<Held> {
        match self {
            Self::Wait { wait: Wait::Banned(_), .. } => Some(Held::Banned),
            Self::Wait { wait: Wait::Budget(_), .. } => Some(Held::Budget),
            Self::Clock(_) => Some(Held::Clock),
            Self::NoAnswer { seen: Seen::Held(why), .. } => Some(*why),
            _ => None,
        }
    }
}
