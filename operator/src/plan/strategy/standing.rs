//! Where a strategy stands: the first thing that keeps it from running as its spec says.
//!
//! Pure. One value is found from what was observed; the conditions Ready, Reconciling and Stalled and the phase are read
//! off it, so that they never contradict each other.

use tradewind_core::config::ResolvedStrategy;
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::grants::{self, Grant, Grants};
use tradewind_crds::objects::{Key, Kind, ObjectId, Objects, uid_of};
use tradewind_crds::problem::{Problem, Problems};
use tradewind_crds::published;
use tradewind_crds::reasons::{Reason, condition};
use tradewind_crds::resolve;
use tradewind_crds::trading_strategy::{DesiredState, Phase, TradingStrategy};

use super::Observed;
use crate::plan::conditions::{self, Status, get};

/// Fields that name other objects: what is wrong there is not wrong with the strategy.
const REFERENCES: [&str; 2] = ["spec.exchangeAccountRef.name", "spec.riskPolicyRef.name"];

/// Where a strategy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is being deleted.
    Deleting,
    /// Its spec has problems, told all together.
    Invalid(String),
    /// It waits for another object: its account, a policy, or the account's own problems.
    Waits(Reason, String),
    /// The account has not decided on its capital and assets yet.
    Undecided(String),
    /// Its capital or an asset is refused.
    Refused(String),
    /// The worker is being started or replaced.
    WorkerComing(Reason, String),
    /// The worker runs, but has not taken this configuration over.
    NotTakenOver(String),
    /// The worker runs it and says that something is amiss.
    Impaired(Reason, String),
    /// Runs as its spec says; the data of a replay has ended.
    Completed(String),
    /// Runs as its spec says.
    Runs,
}

impl Standing {
    /// Whether the spec is what runs.
    pub fn runs(&self) -> bool {
        matches!(self, Self::Runs | Self::Completed(_))
    }

    /// Whether only a person can bring it forward.
    pub fn is_stalled(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Refused(_) => true,
            Self::Impaired(reason, _) => {
                matches!(
                    reason,
                    Reason::SignalCrashed | Reason::InstrumentUnavailable | Reason::LedgerUnknown
                )
            }
            _ => false,
        }
    }

    /// Whether something is being brought about.
    pub fn is_progressing(&self) -> bool {
        match self {
            Self::Deleting | Self::Undecided(_) | Self::WorkerComing(..) | Self::NotTakenOver(_) => true,
            Self::Impaired(reason, _) => *reason == Reason::Recovering,
            _ => false,
        }
    }

    /// Why it is not ready, or why it is; `deleting` says what a deletion waits for.
    pub fn reason(&self, phase: Phase, deleting: &str) -> (Reason, String) {
        match self {
            Self::Deleting => (Reason::Deleting, deleting.to_owned()),
            Self::Invalid(why) => (Reason::InvalidSpec, why.clone()),
            Self::Waits(reason, why) | Self::WorkerComing(reason, why) | Self::Impaired(reason, why) => {
                (*reason, why.clone())
            }
            Self::Undecided(why) | Self::Refused(why) => (Reason::NotGranted, why.clone()),
            Self::NotTakenOver(why) => (Reason::WorkerStarting, why.clone()),
            Self::Completed(why) if phase == Phase::Running => (Reason::Completed, why.clone()),
            Self::Completed(_) | Self::Runs => running(phase),
        }
    }
}

fn running(phase: Phase) -> (Reason, String) {
    let (reason, text) = match phase {
        Phase::Halted => (Reason::Halted, "halted: no entries, exits go on; see the condition Halted"),
        Phase::ExitOnly => (Reason::ExitOnly, "desiredState is ExitOnly: no entries, exits go on"),
        Phase::Stopped => {
            (Reason::Stopped, "desiredState is Stopped: no signals; stops and breakers guard what is held")
        }
        _ => (Reason::Running, "the worker runs it as its spec says"),
    };
    (reason, text.to_owned())
}

/// The phase: one word for people. `ran` says whether a worker has ever taken it over, `halted` whether each of its
/// instruments is halted.
pub fn phase(standing: &Standing, ran: bool, halted: bool, desired: DesiredState) -> Phase {
    let wanted = match desired {
        DesiredState::Trading => Phase::Running,
        DesiredState::ExitOnly => Phase::ExitOnly,
        DesiredState::Stopped => Phase::Stopped,
    };
    match standing {
        Standing::Deleting => Phase::Stopping,
        Standing::Invalid(_) | Standing::Waits(..) | Standing::Undecided(_) | Standing::Refused(_)
            if !ran =>
        {
            Phase::Pending
        }
        _ if halted => Phase::Halted,
        Standing::WorkerComing(..) => Phase::Starting,
        Standing::NotTakenOver(_) if !ran => Phase::Starting,
        Standing::Invalid(_)
        | Standing::Waits(..)
        | Standing::Undecided(_)
        | Standing::Refused(_)
        | Standing::Impaired(..) => Phase::Degraded,
        Standing::NotTakenOver(_) | Standing::Completed(_) | Standing::Runs => wanted,
    }
}

/// What the account's status records for the strategy, and whether that is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// All it asks for.
    All(Grant),
    /// Not what it asks for; why, and what it has all the same.
    Refused(Problems, Option<Grant>),
    /// The account has not decided.
    Undecided(Option<Grant>),
    /// It cannot be told what it asks for.
    Unknown(Option<Grant>),
}

/// What was found of a strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it stands.
    pub standing: Standing,
    /// What it may use.
    pub granted: Granted,
}

/// Finds where a strategy stands.
pub(super) fn find(observed: &Observed<'_>) -> Found {
    let object = observed.object;
    let account_key = observed.account_key();
    let account = observed.objects.account(&account_key);
    let resolved = resolve::resolve_ungranted(observed.objects, object, None);
    let granted = granted(observed, account, resolved.as_ref().ok());
    let standing = if object.metadata.deletion_timestamp.is_some() {
        Standing::Deleting
    } else {
        match (resolved, account) {
            (Ok(resolved), Some(account)) => of_valid(object, account, &resolved, &granted),
            _ => of_unresolved(observed, &account_key),
        }
    };
    Found { standing, granted }
}

/// Of a strategy that can be resolved: its grant, its worker, what the worker says; in that order.
fn of_valid(
    object: &TradingStrategy,
    account: &ExchangeAccount,
    resolved: &ResolvedStrategy,
    granted: &Granted,
) -> Standing {
    let name = Key::of(account).name;
    match granted {
        Granted::Refused(problems, _) => return Standing::Refused(one_line(problems)),
        Granted::Undecided(_) | Granted::Unknown(_) => {
            return Standing::Undecided(format!(
                "account {name} has not yet decided on its capital and assets"
            ));
        }
        Granted::All(_) => {}
    }
    if let Some(standing) = account_not_ready(account) {
        return standing;
    }
    let applied = object.status.as_ref().and_then(|status| status.applied.as_ref());
    if applied.is_none_or(|applied| applied.hash != published::digest(resolved)) {
        let known =
            applied.map_or("nothing".to_owned(), |applied| format!("generation {}", applied.generation));
        return Standing::NotTakenOver(format!(
            "the worker of account {name} has not yet taken over generation {}; it has {known} in force",
            resolved.generation
        ));
    }
    impaired(object).unwrap_or(Standing::Runs)
}

/// Nothing when the account is ready.
fn account_not_ready(account: &ExchangeAccount) -> Option<Standing> {
    let name = Key::of(account).name;
    let conditions = account.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let Some(ready) = get(conditions, condition::READY) else {
        let why = format!("account {name} has just been made and its worker is not up yet");
        return Some(Standing::WorkerComing(Reason::WorkerStarting, why));
    };
    if ready.status == Status::True.as_str() {
        return None;
    }
    let why = format!("account {name} is not ready ({}): {}", ready.reason, ready.message);
    let coming = [Reason::WorkerStarting, Reason::WorkerReplacing];
    Some(match coming.into_iter().find(|reason| reason.as_str() == ready.reason) {
        Some(reason) => Standing::WorkerComing(reason, why),
        None => Standing::Waits(Reason::AccountNotReady, why),
    })
}

/// What the worker says is amiss, the worst first; nothing when all is well.
fn impaired(object: &TradingStrategy) -> Option<Standing> {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let amiss = [
        (condition::QUARANTINED, Status::True),
        (condition::POSITIONS_RECONCILED, Status::False),
        (condition::SUPERVISED, Status::False),
        (condition::DATA_FRESH, Status::False),
        (condition::POSITIONS_PROTECTED, Status::False),
    ];
    for (type_, bad) in amiss {
        if let Some(found) = get(conditions, type_).filter(|found| found.status == bad.as_str()) {
            let reason = found.reason.parse().unwrap_or(Reason::WorkerFailing);
            return Some(Standing::Impaired(reason, format!("{type_}: {}", found.message)));
        }
    }
    let fresh = get(conditions, condition::DATA_FRESH)?;
    (fresh.reason == Reason::Completed.as_str()).then(|| Standing::Completed(fresh.message.clone()))
}

/// Of a strategy that cannot be resolved: problems of its own before what it waits for.
fn of_unresolved(observed: &Observed<'_>, account_key: &Key) -> Standing {
    // Everything of the account and its namespace, so that a message can name what there is.
    let objects = (observed.everything)();
    let object = observed.object;
    let Err(problems) = resolve::resolve_ungranted(&objects, object, None) else {
        return Standing::Undecided("what it names has just come; it is looked at again".to_owned());
    };
    let text = one_line(&problems);
    let own = |field: &str| !REFERENCES.contains(&field);
    let id = Some(ObjectId::new(Kind::TradingStrategy, Key::of(object)));
    if problems.iter().any(|problem| problem.id != id || own(&problem.field)) {
        let applied = object.status.as_ref().and_then(|status| status.applied.as_ref());
        let kept = match applied {
            Some(applied) => format!("generation {} stays in force", applied.generation),
            None => "no entries are made".to_owned(),
        };
        return Standing::Invalid(format!("{text}; {kept}"));
    }
    let account_id = ObjectId::new(Kind::ExchangeAccount, account_key.clone());
    let Some(account) = objects.account(account_key) else {
        return if objects.unreadable.contains(&account_id) {
            Standing::Waits(Reason::AccountNotReady, format!("{text}; no entries are made"))
        } else {
            Standing::Waits(Reason::AccountNotFound, format!("{text}; no entries are made"))
        };
    };
    let policies = [Some(&account.spec.risk_policy_ref), object.spec.risk_policy_ref.as_ref()];
    let missing = policies.into_iter().flatten().map(|named| Key::new(&account_key.namespace, &named.name.0));
    let missing: Vec<String> =
        missing.filter(|key| objects.policy(key).is_none()).map(|key| key.name).collect();
    if let Some(name) = missing.first() {
        let why = format!("there is no RiskPolicy {name}: {}", account_words(&objects, account_key, &text));
        return Standing::Waits(Reason::PolicyNotFound, format!("{why}; no entries are made"));
    }
    Standing::Waits(Reason::AccountNotReady, account_words(&objects, account_key, &text))
}

/// The account's own problems, where it has any; else the text.
fn account_words(objects: &Objects, account: &Key, text: &str) -> String {
    match resolve::resolve_account(objects, account) {
        Err(problems) => one_line(&problems),
        Ok(_) => text.to_owned(),
    }
}

/// What the account's status grants; refusals are worked out anew, by the same rule the account decides by.
fn granted(
    observed: &Observed<'_>,
    account: Option<&ExchangeAccount>,
    resolved: Option<&ResolvedStrategy>,
) -> Granted {
    let recorded = account.and_then(|account| account.status.as_ref()).map(|status| status.grants.as_slice());
    let recorded = Grants::from_status(recorded.unwrap_or_default());
    let uid = uid_of(observed.object);
    let own = uid.and_then(|uid| recorded.of(uid)).cloned();
    let (Some(uid), Some(resolved)) = (uid, resolved) else { return Granted::Unknown(own) };
    if let Some(grant) = own.clone().filter(|_| resolve::covered(resolved, &recorded)) {
        return Granted::All(grant);
    }
    let (objects, key) = ((observed.everything)(), observed.account_key());
    let Ok(resolved_account) = resolve::resolve_account(&objects, &key) else { return Granted::Unknown(own) };
    let found = account.and_then(grants::reported);
    let claims = resolve::claims(&objects, &key, None);
    let decided = grants::grant(&key, &recorded, grants::whole(&resolved_account, found), &claims);
    match decided.refused.get(&uid) {
        Some(problems) => Granted::Refused(problems.clone(), own),
        None => Granted::Undecided(own),
    }
}

/// All problems in one line, the strategy's own without naming it: a condition stands on its object.
fn one_line(problems: &Problems) -> String {
    let words = |problem: &Problem| {
        let own = problem.id.as_ref().is_some_and(|id| id.kind == Kind::TradingStrategy);
        let object = if own { String::new() } else { problem.object.clone() };
        Problem { object, ..problem.clone() }.to_string()
    };
    problems.iter().map(words).collect::<Vec<_>>().join("; ")
}

/// The condition Granted.
pub(super) fn granted_condition(granted: &Granted) -> (Status, Reason, String) {
    let words = |grant: &Grant| {
        let assets = grant.assets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("capital {} and the base assets {assets}", grant.capital)
    };
    let kept = |own: &Option<Grant>| {
        own.as_ref().map(|grant| format!("; it keeps {}", words(grant))).unwrap_or_default()
    };
    match granted {
        Granted::All(grant) => (Status::True, Reason::Granted, format!("granted {}", words(grant))),
        Granted::Refused(problems, own) => {
            (Status::False, Reason::NotGranted, format!("{}{}", one_line(problems), kept(own)))
        }
        Granted::Undecided(own) => {
            (Status::Unknown, Reason::Progressing, format!("the account has not decided yet{}", kept(own)))
        }
        Granted::Unknown(Some(grant)) => {
            (Status::True, Reason::Granted, format!("granted {} before", words(grant)))
        }
        Granted::Unknown(None) => {
            let why = "nothing is granted while the strategy or its account cannot be read";
            (Status::False, Reason::NotGranted, why.to_owned())
        }
    }
}

/// Whether the worker says that what the deletion policy asks for is done.
pub(super) fn is_settled(object: &TradingStrategy) -> bool {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions::is(conditions, condition::SETTLED, Status::True)
}
