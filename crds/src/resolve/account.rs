//! ExchangeAccount and its policy to the account the engine trades on.

use tradewind_core::config::{
    BinanceUsConfig, BusConfig, FeeAsset, FeeConfig, LedgerConfig, MarketDataConfig, MysqlConfig,
    PaperConfig, RedisConfig, ResolvedAccount, Speed, VenueConfig,
};
use tradewind_core::limits::{AccountLimits, Breaker, BreakerScope, Limits};
use tradewind_core::money::Cash;
use tradewind_core::name::Asset;

use super::check::Check;
use super::policy::{self, Policy};
use crate::exchange_account::{self as wire, BinanceUsVenue, ExchangeAccount, Fees, PaidIn, PaperVenue};
use crate::objects::{Key, Kind, ObjectId, Objects, uid_of};
use crate::problem::{Problem, Problems, dangling, nearest};

/// A resolved account with what its strategies inherit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Account {
    /// What the engine trades on.
    pub resolved: ResolvedAccount,
    /// Limits of its policy, gaps filled.
    pub limits: Limits,
    /// Breakers of its policy that watch each strategy.
    pub strategy_breakers: Vec<Breaker>,
    /// Whether live strategies may run here.
    pub allow_live: bool,
}

/// Resolves the account of that key; all of its problems and those of its policy at once.
pub(super) fn resolve(objects: &Objects, key: &Key) -> Result<Account, Problems> {
    let id = ObjectId::new(Kind::ExchangeAccount, key.clone());
    let Some(object) = objects.account(key) else {
        return Err(Problems::one(missing(objects, &id)));
    };
    let mut check = Check::new(&id);
    let uid = uid_of(object);
    if uid.is_none() {
        check.problems.push(super::no_uid(&id));
    }
    let (quote_currency, venue) = match &object.spec.venue {
        wire::Venue::Paper(venue) => {
            let quote_currency = check.take("spec.venue.paper.quoteCurrency", venue.quote_currency.exact());
            (quote_currency, paper(venue, &mut check).map(VenueConfig::Paper))
        }
        wire::Venue::BinanceUs(venue) => {
            let quote_currency =
                check.take("spec.venue.binanceUs.quoteCurrency", venue.quote_currency.exact());
            (quote_currency, binance_us(venue, &mut check).map(VenueConfig::BinanceUs))
        }
    };
    let is_paper = matches!(object.spec.venue, wire::Venue::Paper(_));
    if object.spec.allow_live && is_paper {
        let fix = "set allowLive to false or name a real venue";
        check.add("spec.allowLive", true, "must be false on a paper venue, which has no real money", fix);
    }
    let market_data = market_data(object, is_paper, &mut check);
    let policy = policy_of(objects, object, &mut check);
    let bus = object.spec.bus.as_ref().map(|wire::Bus::Redis(redis)| bus(redis, &mut check));
    let ledger = ledger(object, &mut check);
    let resolved = uid.zip(quote_currency).zip(venue).zip(market_data).zip(policy).zip(ledger);
    let account = resolved.map(|(((((uid, quote_currency), venue), market_data), policy), ledger)| {
        let breakers = policy::account_breakers(&policy);
        let defaults = AccountLimits::defaults();
        Account {
            resolved: ResolvedAccount {
                uid,
                namespace: key.namespace.as_str().into(),
                name: key.name.as_str().into(),
                quote_currency,
                venue,
                market_data,
                policy: policy.name,
                limits: AccountLimits {
                    max_exposure: policy.account_exposure.unwrap_or(defaults.max_exposure),
                },
                breakers: policy::of_scope(&breakers, BreakerScope::Account),
                bus: bus.flatten(),
                ledger,
            },
            limits: Limits::filled(&policy.limits),
            strategy_breakers: policy::of_scope(&breakers, BreakerScope::Strategy),
            allow_live: object.spec.allow_live,
        }
    });
    check.finish(account)
}

fn bus(redis: &wire::Redis, check: &mut Check<'_>) -> Option<BusConfig> {
    let read = || {
        let place = redis.url.strip_prefix("redis://")?;
        let (host, database) = place.split_once('/').unwrap_or((place, "0"));
        let (host, port) = host.split_once(':').unwrap_or((host, "6379"));
        let named =
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        let (port, database) = (port.parse().ok().filter(|port| *port != 0)?, database.parse().ok()?);
        named.then(|| RedisConfig {
            host: host.into(),
            port,
            database,
            tls: matches!(redis.tls, wire::Tls::Required(_)),
            credentials: redis.credentials_secret_ref.as_ref().map(|secret| secret.name.0.as_str().into()),
        })
    };
    let config = read();
    if config.is_none() {
        // What was written may hold a password: it is not repeated.
        let message = "must be redis://host:port/database without user and password";
        let problem = Problem::new(check.id, "spec.bus.redis.url", message);
        check.problems.push(problem.fix("write it like redis://redis.desk.svc:6379/0"));
    }
    config.map(BusConfig::Redis)
}

fn missing(objects: &Objects, id: &ObjectId) -> Problem {
    if objects.unreadable.contains(id) {
        return Problem::new(id, "", "the account has problems of its own").fix("put those right first");
    }
    let keys: Vec<Key> = objects.account_keys();
    let names: Vec<&str> =
        keys.iter().filter(|k| k.namespace == id.key.namespace).map(|k| k.name.as_str()).collect();
    let fix = match nearest(&id.key.name, names) {
        Some(near) => format!("did you mean {near}?"),
        None => "create it".to_owned(),
    };
    Problem::new(id, "", "there is no such account").fix(fix)
}

fn policy_of(objects: &Objects, object: &ExchangeAccount, check: &mut Check<'_>) -> Option<Policy> {
    let name = &object.spec.risk_policy_ref.name.0;
    match named_policy(objects, check.id, name) {
        Ok(policy) => Some(policy),
        Err(problems) => {
            check.problems.extend(problems);
            None
        }
    }
}

/// The policy of that name beside the object that names it.
pub(super) fn named_policy(objects: &Objects, from: &ObjectId, name: &str) -> Result<Policy, Problems> {
    let key = Key::new(&from.key.namespace, name);
    if let Some(object) = objects.policy(&key) {
        return policy::read(object);
    }
    let keys: Vec<Key> = objects.policies.iter().map(Key::of).collect();
    let names: Vec<&str> =
        keys.iter().filter(|k| k.namespace == key.namespace).map(|k| k.name.as_str()).collect();
    let unreadable = objects.unreadable.contains(&ObjectId::new(Kind::RiskPolicy, key.clone()));
    let field = "spec.riskPolicyRef.name";
    Err(Problems::one(dangling(from, field, Kind::RiskPolicy, &key, unreadable, &names)))
}

fn market_data(object: &ExchangeAccount, is_paper: bool, check: &mut Check<'_>) -> Option<MarketDataConfig> {
    let replay = match &object.spec.market_data {
        // Where the venue is not one to try things out on, the schema and the worker refuse it.
        wire::MarketData::Replay(replay) => replay,
        wire::MarketData::Venue(_) if is_paper => {
            let fix = "write marketData: {replay: {dataSet: …}} or name a real venue";
            check.add("spec.marketData.venue", "{}", "a paper venue has no market of its own", fix);
            return None;
        }
        wire::MarketData::Venue(data) => {
            let bar = check.take("spec.marketData.venue.bar", data.bar.exact());
            return bar.map(|bar| MarketDataConfig::Venue { bar });
        }
    };
    let speed = match &replay.speed {
        wire::Speed::RealTime(_) => Some(Speed::RealTime),
        wire::Speed::Max(_) => Some(Speed::Max),
        wire::Speed::Times(times) => check
            .take("spec.marketData.replay.speed.times.factor", u32::try_from(times.factor))
            .map(Speed::Times),
    };
    speed.map(|speed| MarketDataConfig::Replay { data_set: replay.data_set.as_str().into(), speed })
}

fn paper(venue: &PaperVenue, check: &mut Check<'_>) -> Option<PaperConfig> {
    const AT: &str = "spec.venue.paper";
    let balances = balances(venue, check);
    let fees = fees(AT, &venue.fees, check);
    let slippage = check.take(&format!("{AT}.slippageBps"), venue.slippage_bps.exact());
    let latency = check.take(&format!("{AT}.latency"), venue.latency.exact());
    let volume_share = check.take(&format!("{AT}.volumeSharePercent"), venue.volume_share_percent.exact());
    Some(PaperConfig {
        balances,
        fees: fees?,
        slippage: slippage?,
        latency: latency?,
        volume_share: volume_share?,
    })
}

fn ledger(object: &ExchangeAccount, check: &mut Check<'_>) -> Option<LedgerConfig> {
    let wire::Ledger::Mysql(mysql) = &object.spec.ledger else { return Some(LedgerConfig::Sqlite) };
    let port = check.take("spec.ledger.mysql.port", u16::try_from(mysql.port))?;
    Some(LedgerConfig::Mysql(MysqlConfig {
        host: mysql.host.as_str().into(),
        port,
        database: mysql.database.as_str().into(),
        credentials: mysql.credentials_secret_ref.name.0.as_str().into(),
        tls: matches!(mysql.tls, wire::Tls::Required(_)),
    }))
}

fn binance_us(venue: &BinanceUsVenue, check: &mut Check<'_>) -> Option<BinanceUsConfig> {
    const AT: &str = "spec.venue.binanceUs";
    let fees = fees(AT, &venue.fees, check);
    let slippage = check.take(&format!("{AT}.slippageBps"), venue.slippage_bps.exact());
    Some(BinanceUsConfig {
        endpoint: venue.endpoint.trim_end_matches('/').into(),
        credentials: venue.credentials_secret_ref.name.0.as_str().into(),
        fees: fees?,
        slippage: slippage?,
    })
}

fn fees(at: &str, fees: &Fees, check: &mut Check<'_>) -> Option<FeeConfig> {
    let maker = check.take(&format!("{at}.fees.makerBps"), fees.maker_bps.exact());
    let taker = check.take(&format!("{at}.fees.takerBps"), fees.taker_bps.exact());
    let paid_in = match &fees.paid_in {
        PaidIn::Quote(_) => Some(FeeAsset::Quote),
        PaidIn::Received(_) => Some(FeeAsset::Received),
        PaidIn::Other(other) => {
            let asset = check.take(&format!("{at}.fees.paidIn.other.asset"), other.asset.exact());
            let price = check.take(&format!("{at}.fees.paidIn.other.price"), other.price.exact());
            asset.zip(price).map(|(asset, price)| FeeAsset::Other { asset, price })
        }
    };
    Some(FeeConfig { maker: maker?, taker: taker?, paid_in: paid_in? })
}

fn balances(venue: &PaperVenue, check: &mut Check<'_>) -> Vec<(Asset, Cash)> {
    let mut read = Vec::with_capacity(venue.balances.len());
    for (index, balance) in venue.balances.iter().enumerate() {
        let field = |name: &str| format!("spec.venue.paper.balances[{index}].{name}");
        let asset = check.take(&field("asset"), balance.asset.exact());
        let amount = check.take(&field("amount"), balance.amount.exact());
        read.extend(asset.zip(amount));
    }
    read
}
