//! The worker's conditions: pure functions of a report.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use tradewind_core::books::Difference;
use tradewind_core::config::Protection;
use tradewind_core::engine::{OrderView, PositionView, StrategyView};
use tradewind_core::halt::{EntryBlock, HaltOrigin};
use tradewind_core::money::Cash;
use tradewind_core::order::OrderState;
use tradewind_crds::common::GoDuration;
use tradewind_crds::reasons::{Reason, condition};

use super::{Feed, Report, Settling, StrategyInput};
use crate::bus::{BusFacts, BusState, Trouble};
use crate::snapshot::Phase;

/// Longest message; the API allows more than anybody reads.
const MAX_MESSAGE: usize = 1024;

/// A condition before it is known since when it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// One of [`condition`].
    pub type_: &'static str,
    /// True, false, or (none) unknown.
    pub status: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// The same in words.
    pub message: String,
}

fn is(type_: &'static str, status: impl Into<Option<bool>>, reason: Reason, message: &str) -> Wanted {
    let message = message.chars().take(MAX_MESSAGE).collect();
    Wanted { type_, status: status.into(), reason, message }
}

/// The conditions as they are written. The time of the last transition moves only when the status does.
pub fn settled_conditions(
    before: &[Condition],
    wanted: Vec<Wanted>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let settled = |wanted: Wanted| {
        let status = match wanted.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let same = before.iter().find(|known| known.type_ == wanted.type_ && known.status == status);
        Condition {
            type_: wanted.type_.to_owned(),
            status: status.to_owned(),
            reason: wanted.reason.as_str().to_owned(),
            message: wanted.message,
            observed_generation: generation,
            last_transition_time: same.map_or_else(|| Time(now), |known| known.last_transition_time.clone()),
        }
    };
    wanted.into_iter().map(settled).collect()
}

/// Of a strategy.
pub(super) fn of_strategy(
    report: &Report,
    input: &StrategyInput,
    view: Option<&StrategyView>,
) -> Vec<Wanted> {
    let fresh = match (&input.unavailable, view.and_then(|view| broken(report, view))) {
        (Some(why), _) => is(condition::DATA_FRESH, false, Reason::InstrumentUnavailable, why),
        (None, Some(why)) => is(condition::DATA_FRESH, false, Reason::DataUnavailable, &why),
        (None, None) => data_fresh(report),
    };
    let quarantined = match &input.quarantined {
        Some(why) => is(condition::QUARANTINED, true, Reason::SignalCrashed, why),
        None => is(condition::QUARANTINED, false, Reason::NotQuarantined, "the signal is evaluated"),
    };
    let own = |order: &&OrderView| order.intent.strategy == input.uid;
    let mut conditions = vec![
        fresh,
        match report.worker.waiting.get(&input.uid) {
            Some(what) => is(condition::POSITIONS_RECONCILED, false, Reason::PredecessorUnsettled, what),
            None => reconciled(report, report.snapshot.open_orders.iter().filter(own)),
        },
        protected(view.as_slice()),
        supervised(report),
        quarantined,
    ];
    match &input.settling {
        Settling::No => {}
        Settling::UnderWay(what) => {
            conditions.push(is(condition::SETTLED, false, Reason::Settling, what));
        }
        Settling::Done(dust) => {
            let mut message = "what the deletionPolicy asks for is done".to_owned();
            if !dust.is_empty() {
                message.push_str("; dust that no order can sell stays on the account: ");
                message.push_str(&dust.join(", "));
            }
            conditions.push(is(condition::SETTLED, true, Reason::Settled, &message));
        }
    }
    conditions
}

/// Of the account.
pub(super) fn of_account(report: &Report) -> Vec<Wanted> {
    let views: Vec<&StrategyView> = report.snapshot.strategies.iter().collect();
    let mut conditions = vec![
        data_fresh(report),
        reconciled(report, report.snapshot.open_orders.iter()),
        protected(&views),
        supervised(report),
    ];
    conditions.extend(report.snapshot.totals.bus.as_ref().map(relaying));
    conditions
}

/// Where the account has a bus.
fn relaying(bus: &BusFacts) -> Wanted {
    let say =
        |status: Option<bool>, reason, message: &str| is(condition::BUS_RELAYING, status, reason, message);
    let BusState::Failing(trouble, message) = &bus.state else {
        return match bus.state {
            BusState::Relaying => say(Some(true), Reason::Relaying, "events are told as they happen"),
            _ => say(
                None,
                Reason::BusConnecting,
                "the worker is connecting to the bus; events wait in the ledger",
            ),
        };
    };
    let reason = match trouble {
        Trouble::Unreachable => Reason::BusUnavailable,
        Trouble::Refused => Reason::BusRefused,
        Trouble::KeyTaken => Reason::BusKeyTaken,
        Trouble::NoCredentials => Reason::BusCredentialsMissing,
        Trouble::Ledger => Reason::LedgerUnavailable,
    };
    say(Some(false), reason, message)
}

/// Why bars of a strategy's instruments come no more: what it holds in another is no business of the others.
fn broken(report: &Report, view: &StrategyView) -> Option<String> {
    let feeds = &report.snapshot.totals.broken_feeds;
    let named = view.config.instruments.iter().map(|instrument| &instrument.symbol);
    let held = view.positions.iter().map(|position| &position.rules.symbol);
    named.chain(held).find_map(|symbol| Some(format!("{symbol}: {}", feeds.get(symbol)?)))
}

fn data_fresh(report: &Report) -> Wanted {
    let fresh =
        |status: Option<bool>, reason, message: &str| is(condition::DATA_FRESH, status, reason, message);
    match (&report.worker.feed, report.snapshot.phase) {
        (Feed::Unavailable(why), _) => fresh(Some(false), Reason::DataUnavailable, why),
        (Feed::Streaming, Phase::Recovering) => fresh(None, Reason::Recovering, RECOVERING),
        (Feed::Streaming, Phase::Completed) => {
            fresh(Some(true), Reason::Completed, "the replay's data have ended; the worker idles")
        }
        (Feed::Streaming, Phase::Running | Phase::Draining) => {
            fresh(Some(true), Reason::Streaming, "bars come in as they should")
        }
    }
}

const RECOVERING: &str = "the worker is reading its ledger and settling what was open";

fn reconciled<'o>(report: &Report, orders: impl Iterator<Item = &'o OrderView>) -> Wanted {
    let say = |status: Option<bool>, reason, message: &str| {
        is(condition::POSITIONS_RECONCILED, status, reason, message)
    };
    if let Some(fault) = &report.worker.ledger_fault {
        return say(Some(false), Reason::LedgerUnavailable, fault);
    }
    if let Some(halt) = report.snapshot.halts.iter().find(|h| h.origin == HaltOrigin::LedgerUnknown) {
        return say(Some(false), Reason::LedgerUnknown, &halt.reason);
    }
    if report.snapshot.phase == Phase::Recovering {
        return say(None, Reason::Recovering, RECOVERING);
    }
    let differences = &report.snapshot.balance_differences;
    if !differences.is_empty() {
        return say(
            Some(false),
            Reason::BalancesDiffer,
            &format!("{}; no entries", differences_text(differences)),
        );
    }
    if let Some(halt) = report.snapshot.halts.iter().find(|h| h.origin == HaltOrigin::BalancesDiffer) {
        return say(Some(false), Reason::BalancesDiffer, &halt.reason);
    }
    let unknown: Vec<String> = orders
        .filter(|order| order.state == OrderState::Unknown)
        .map(|order| format!("{} ({})", order.intent.client_order_id, order.intent.symbol))
        .collect();
    if unknown.is_empty() {
        say(Some(true), Reason::InSync, "positions are those of the venue")
    } else {
        let message = format!("the venue has not yet said what became of order {}", unknown.join(", "));
        say(None, Reason::Recovering, &message)
    }
}

/// Where the venue holds something else than the ledger says, in words.
pub fn differences_text(differences: &[Difference]) -> String {
    let told = differences.iter().map(|found| {
        let (sign, more) = if found.amount.0 < 0 { (-1, "less") } else { (1, "more") };
        format!("{} {} {more}", Cash(found.amount.0.saturating_mul(sign)), found.asset)
    });
    format!("the venue holds, against the ledger, {}", told.collect::<Vec<_>>().join(", "))
}

fn protected(views: &[&StrategyView]) -> Wanted {
    let say = |status, reason, message: &str| is(condition::POSITIONS_PROTECTED, status, reason, message);
    let guarded =
        || views.iter().filter(|view| view.config.stop_loss.is_some() && !view.positions.is_empty());
    let missing: Vec<String> =
        guarded().flat_map(|view| view.positions.iter().filter_map(|p| bare(view, p))).collect();
    if !missing.is_empty() {
        return say(false, Reason::StopMissing, &format!("no stop guards {}", missing.join(", ")));
    }
    let unsold: Vec<String> =
        views.iter().flat_map(|view| view.positions.iter().filter_map(|p| overdue(view, p))).collect();
    if !unsold.is_empty() {
        let message = format!("not sold within 5 minutes, and no stop guards it: {}", unsold.join(", "));
        return say(false, Reason::LiquidationOverdue, &message);
    }
    let at_worker = |view: &&&StrategyView| view.config.protection == Protection::AtWorker;
    let names: Vec<&str> = guarded().filter(at_worker).map(|view| view.config.name.as_str()).collect();
    if !names.is_empty() {
        let message = format!(
            "the worker sells at the stops of {}, as exits.protection asks; nothing does while it does not run",
            names.join(", ")
        );
        return say(true, Reason::GuardedByWorker, &message);
    }
    if guarded().next().is_some() {
        say(true, Reason::StopsPlaced, "what is held is guarded by its stops")
    } else {
        say(true, Reason::NothingToProtect, "nothing is held that should have a stop")
    }
}

/// What a liquidation has not sold in time, in words.
fn overdue(view: &StrategyView, held: &PositionView) -> Option<String> {
    let since =
        Timestamp::from_millisecond(held.unsold_since?.0).map(|at| at.to_string()).unwrap_or_default();
    let (quantity, base) = (held.rules.quantity_text(held.quantity), held.rules.symbol.base());
    Some(format!("{quantity} {base} of {}, being liquidated since {since}", view.config.name))
}

/// A position without the stop it should have, in words.
fn bare(view: &StrategyView, held: &PositionView) -> Option<String> {
    let of = format!("{} of {}", held.rules.symbol, view.config.name);
    match (held.stop, held.unprotected_since) {
        (None, _) => Some(of),
        (Some(_), Some(since)) => {
            let since = Timestamp::from_millisecond(since.0).map(|at| at.to_string()).unwrap_or_default();
            let patience = GoDuration::of(view.config.limits.flatten_unprotected_after);
            Some(format!(
                "{of} at the venue since {since}: it is placed again, the worker sells at the stop meanwhile, and all of \
                 it after {}",
                patience.0
            ))
        }
        (Some(_), None) => None,
    }
}

fn supervised(report: &Report) -> Wanted {
    let say = |status, reason, message: &str| is(condition::SUPERVISED, status, reason, message);
    match report.worker.block {
        None => say(
            true,
            Reason::Supervised,
            "the worker sees halts, holds its Lease and knows its configuration",
        ),
        Some(EntryBlock::Blind) => say(
            false,
            Reason::Blind,
            "no entries: the worker does not see halts at present; check the API server and the worker's network",
        ),
        Some(EntryBlock::LeaseLost) => say(
            false,
            Reason::LeaseLost,
            "no entries: the worker does not hold the account's Lease; another worker may, or the API server is away",
        ),
        Some(EntryBlock::UnknownFormat) => say(
            false,
            Reason::UnknownFormat,
            "no entries: the configuration has a format this worker does not know; bring operator and worker to the same \
             version",
        ),
    }
}
