//! TradingStrategy to what the engine runs: its fields, its references, what the market data offers, its grant.

use tradewind_core::config::{
    DeletionPolicy, DesiredState, InstrumentState, Mode, Protection, ResolvedStrategy, SignalConfig,
    SizingConfig, StrategyInstrument,
};
use tradewind_core::limits::{BreakerScope, PartialLimits, unite_breakers};
use tradewind_core::money::{Cash, Percent};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::time::Millis;

use super::Catalog;
use super::account::{Account, named_policy};
use super::check::Check;
use super::policy::{self, Policy};
use crate::common::GoDuration;
use crate::grants::{Claim, Grants};
use crate::objects::{Key, Kind, ObjectId, Objects};
use crate::problem::{Problems, dangling, nearest};
use crate::trading_strategy::{self as wire, SignalSource, Sizing, StopLoss, TradingStrategy};

/// What a strategy is resolved against.
pub(super) struct Context<'a> {
    /// All objects.
    pub objects: &'a Objects,
    /// The account it names.
    pub key: &'a Key,
    /// That account, unless it is missing or has problems.
    pub account: Option<&'a Account>,
    /// What its market data offers, if known.
    pub catalog: Option<&'a Catalog>,
}

/// Resolves a strategy, leaving its grant aside; all problems at once.
pub(super) fn resolve(
    context: &Context<'_>,
    object: &TradingStrategy,
    uid: Uid,
) -> Result<ResolvedStrategy, Problems> {
    let id = ObjectId::new(Kind::TradingStrategy, Key::of(object));
    let spec = &object.spec;
    let mut check = Check::new(&id);
    let account = account_of(context, &mut check);
    live(context, spec.mode, &mut check);
    let own = spec.risk_policy_ref.as_ref().map(|policy| named_policy(context.objects, &id, &policy.name.0));
    let own = own.and_then(|policy| policy.map_err(|problems| check.problems.extend(problems)).ok());
    let capital = capital(spec, &mut check);
    let instruments = instruments(context, spec, &mut check);
    let bar = bar(context, spec, &mut check);
    let signal = signal(spec, &mut check);
    let sizing = sizing(spec, &mut check);
    let stop_loss = stop_loss(spec, &mut check);
    let strategy = (|| {
        let account = account?;
        Some(ResolvedStrategy {
            uid,
            name: id.key.name.as_str().into(),
            generation: object.metadata.generation.unwrap_or_default(),
            desired_state: match spec.desired_state {
                wire::DesiredState::Trading => DesiredState::Trading,
                wire::DesiredState::ExitOnly => DesiredState::ExitOnly,
                wire::DesiredState::Stopped => DesiredState::Stopped,
            },
            mode: match spec.mode {
                wire::Mode::Paper => Mode::Paper,
                wire::Mode::Live => Mode::Live,
            },
            capital: capital?,
            instruments,
            bar: bar?,
            signal: signal?,
            sizing: sizing?,
            stop_loss,
            protection: protection(spec),
            policy: own.as_ref().map(|policy| policy.name.clone()),
            limits: account.limits.clone().tightened(&limits_of(own.as_ref())),
            breakers: unite_breakers(&account.strategy_breakers, &breakers_of(own.as_ref())),
            deletion_policy: match spec.deletion_policy {
                wire::DeletionPolicy::Retain => DeletionPolicy::Retain,
                wire::DeletionPolicy::CancelEntries => DeletionPolicy::CancelEntries,
                wire::DeletionPolicy::Liquidate => DeletionPolicy::Liquidate,
            },
        })
    })();
    check.finish(strategy)
}

fn limits_of(policy: Option<&Policy>) -> PartialLimits {
    policy.map(|policy| policy.limits.clone()).unwrap_or_default()
}

fn breakers_of(policy: Option<&Policy>) -> Vec<tradewind_core::limits::Breaker> {
    policy.map(|policy| policy::of_scope(&policy.breakers, BreakerScope::Strategy)).unwrap_or_default()
}

fn account_of<'a>(context: &Context<'a>, check: &mut Check<'_>) -> Option<&'a Account> {
    if context.account.is_some() {
        return context.account;
    }
    let objects = context.objects;
    let keys: Vec<Key> = objects.account_keys();
    let names: Vec<&str> =
        keys.iter().filter(|k| k.namespace == context.key.namespace).map(|k| k.name.as_str()).collect();
    let account = ObjectId::new(Kind::ExchangeAccount, context.key.clone());
    let exists = objects.account(context.key).is_some() || objects.unreadable.contains(&account);
    let field = "spec.exchangeAccountRef.name";
    check.problems.push(dangling(check.id, field, Kind::ExchangeAccount, context.key, exists, &names));
    None
}

fn live(context: &Context<'_>, mode: wire::Mode, check: &mut Check<'_>) {
    let Some(account) = context.account else { return };
    let (paper, name) = (account.resolved.venue.is_paper(), &context.key.name);
    match mode {
        wire::Mode::Live if paper => {
            let message = format!("account {name} trades on paper and cannot trade live");
            let fix = "set mode to Paper or name an account with a real venue and allowLive: true";
            check.add("spec.mode", "Live", message, fix);
        }
        wire::Mode::Live if !account.allow_live => {
            let message = format!("account {name} does not allow live trading");
            let fix = "set allowLive: true on the account, or name one that allows it";
            check.add("spec.mode", "Live", message, fix);
        }
        wire::Mode::Paper if !paper => {
            let message = format!("account {name} trades with real money");
            let fix = "create the strategy with mode Live, or name an account with a paper venue";
            check.add("spec.mode", "Paper", message, fix);
        }
        wire::Mode::Live | wire::Mode::Paper => {}
    }
}

fn capital(spec: &wire::TradingStrategySpec, check: &mut Check<'_>) -> Option<Cash> {
    let field = "spec.capital.amount";
    let amount = check.take(field, spec.capital.amount.exact())?;
    if amount > Cash::ZERO {
        return Some(amount);
    }
    check.add(
        field,
        &spec.capital.amount,
        "must be greater than zero",
        "write the cash the strategy may use",
    );
    None
}

fn instruments(
    context: &Context<'_>,
    spec: &wire::TradingStrategySpec,
    check: &mut Check<'_>,
) -> Vec<StrategyInstrument> {
    let mut read = Vec::with_capacity(spec.instruments.len());
    for (index, instrument) in spec.instruments.iter().enumerate() {
        let field = format!("spec.instruments[{index}].symbol");
        let Some(symbol) = check.take(&field, instrument.symbol.exact()) else { continue };
        offered(context, &field, &symbol, check);
        let state = match instrument.state {
            wire::InstrumentState::Active => InstrumentState::Active,
            wire::InstrumentState::ExitOnly => InstrumentState::ExitOnly,
        };
        read.push(StrategyInstrument { symbol, state });
    }
    read
}

/// The symbol is quoted in the account's currency and the market data has it.
fn offered(context: &Context<'_>, field: &str, symbol: &Symbol, check: &mut Check<'_>) {
    if let Some(account) = context.account
        && *symbol.quote() != account.resolved.quote_currency
    {
        let quote = &account.resolved.quote_currency;
        let message =
            format!("is quoted in {}, but account {} counts in {quote}", symbol.quote(), context.key.name);
        check.add(field, symbol, message, format!("use {}-{quote} or another account", symbol.base()));
        return;
    }
    let Some(catalog) = context.catalog.filter(|catalog| !catalog.symbols.contains(symbol)) else { return };
    let names: Vec<String> = catalog.symbols.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fix = match nearest(&symbol.to_string(), names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("it has {}", crate::problem::list(&names)),
    };
    check.add(field, symbol, format!("data set {} has no such symbol", catalog.data_set), fix);
}

fn bar(context: &Context<'_>, spec: &wire::TradingStrategySpec, check: &mut Check<'_>) -> Option<Millis> {
    let field = "spec.decision.bar";
    let bar = check.take(field, spec.decision.bar.exact())?;
    if bar.0 <= 0 {
        check.add(field, &spec.decision.bar, "must be longer than nothing", "use a length such as 1h");
        return None;
    }
    let Some(catalog) = context.catalog else { return Some(bar) };
    if bar.0.checked_rem(catalog.bar.0) == Some(0) {
        return Some(bar);
    }
    let base = GoDuration::of(catalog.bar);
    let message =
        format!("data set {} has bars of {base}, and this is no whole multiple of it", catalog.data_set);
    let below = bar.0.checked_div(catalog.bar.0).unwrap_or_default().max(1).saturating_mul(catalog.bar.0);
    check.add(field, &spec.decision.bar, message, format!("use {}", GoDuration::of(Millis(below))));
    None
}

fn signal(spec: &wire::TradingStrategySpec, check: &mut Check<'_>) -> Option<SignalConfig> {
    let at = "spec.signal.source";
    match &spec.signal.source {
        SignalSource::EmaCross(ema) => {
            let fast = check.take(&format!("{at}.emaCross.fast"), u32::try_from(ema.fast));
            let slow = check.take(&format!("{at}.emaCross.slow"), u32::try_from(ema.slow));
            fast.zip(slow).map(|(fast, slow)| SignalConfig::EmaCross { fast, slow })
        }
        SignalSource::RsiReversion(rsi) => {
            let at = format!("{at}.rsiReversion");
            let period = check.take(&format!("{at}.period"), u32::try_from(rsi.period));
            let oversold = check.take(&format!("{at}.oversold"), rsi.oversold.exact());
            let overbought = check.take(&format!("{at}.overbought"), rsi.overbought.exact());
            Some(SignalConfig::RsiReversion { period: period?, oversold: oversold?, overbought: overbought? })
        }
    }
}

fn sizing(spec: &wire::TradingStrategySpec, check: &mut Check<'_>) -> Option<SizingConfig> {
    match &spec.sizing {
        Sizing::FixedPercent(fixed) => {
            let percent = check.take("spec.sizing.fixedPercent.percent", fixed.percent.exact())?;
            Some(SizingConfig::FixedPercent { percent })
        }
        Sizing::FixedQuantity(fixed) => {
            let mut quantities = Vec::with_capacity(fixed.quantities.len());
            for (index, entry) in fixed.quantities.iter().enumerate() {
                let field = |name: &str| format!("spec.sizing.fixedQuantity.quantities[{index}].{name}");
                let symbol = check.take(&field("symbol"), entry.symbol.exact());
                let quantity = check.take(&field("quantity"), entry.quantity.exact());
                quantities.extend(symbol.zip(quantity));
            }
            Some(SizingConfig::FixedQuantity { quantities })
        }
    }
}

fn stop_loss(spec: &wire::TradingStrategySpec, check: &mut Check<'_>) -> Option<Percent> {
    let StopLoss::FixedPercent(distance) = spec.exits.as_ref()?.stop_loss.as_ref()?;
    check.take("spec.exits.stopLoss.fixedPercent.percent", distance.percent.exact())
}

fn protection(spec: &wire::TradingStrategySpec) -> Protection {
    match spec.exits.as_ref().and_then(|exits| exits.protection).unwrap_or_default() {
        wire::Protection::AtVenue => Protection::AtVenue,
        wire::Protection::AtWorker => Protection::AtWorker,
    }
}

/// What the strategy asks of its account. A strategy that is not valid is told whether its claim fits, no more.
pub(super) fn claim(object: &TradingStrategy, uid: Uid, valid: bool) -> Claim {
    let symbols = object.spec.instruments.iter().enumerate().filter_map(|(index, instrument)| {
        let symbol = instrument.symbol.exact().ok()?;
        Some((format!("spec.instruments[{index}].symbol"), symbol.base().clone()))
    });
    Claim {
        uid,
        id: ObjectId::new(Kind::TradingStrategy, Key::of(object)),
        capital: object.spec.capital.amount.exact().unwrap_or(Cash::ZERO),
        assets: symbols.collect(),
        grantable: valid,
    }
}

/// The strategy if what it needs is granted to it; else its problems and those of its claim.
pub(super) fn granted(
    context: &Context<'_>,
    object: &TradingStrategy,
    uid: Uid,
    resolved: Result<ResolvedStrategy, Problems>,
    grants: &Grants,
) -> Result<ResolvedStrategy, Problems> {
    let refused = grants.refused.get(&uid).cloned().unwrap_or_default();
    match resolved {
        Err(mut problems) => {
            problems.extend(refused);
            Err(problems)
        }
        Ok(_) if !refused.is_empty() => Err(refused),
        Ok(strategy) if covered(&strategy, grants) => Ok(strategy),
        Ok(strategy) => {
            let id = ObjectId::new(Kind::TradingStrategy, Key::of(object));
            let mut check = Check::new(&id);
            let message =
                format!("account {} has not granted this capital and these assets yet", context.key.name);
            check.add(
                "spec.capital.amount",
                strategy.capital,
                message,
                "wait until it has, or lower the capital",
            );
            check.finish(None)
        }
    }
}

/// Whether the grants hold all that the strategy asks for.
pub fn covered(strategy: &ResolvedStrategy, grants: &Grants) -> bool {
    grants.of(strategy.uid).is_some_and(|grant| {
        grant.capital >= strategy.capital
            && strategy.instruments.iter().all(|instrument| grant.assets.contains(instrument.symbol.base()))
    })
}
