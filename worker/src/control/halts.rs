//! What a command means: pure functions from names people type to halts of the engine.

use smol_str::{SmolStr, ToSmolStr, format_smolstr};
use tradewind_core::event::HaltChange;
use tradewind_core::halt::{Halt, HaltOrigin, HaltScope};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::time::Timestamp;

use super::error::ControlError;
use super::wire::{HaltCommand, ResumeCommand, Scope};

/// Longest reason, as in the API.
const MAX_REASON: usize = 1024;
/// Longest name of a person, as in the API.
const MAX_BY: usize = 256;
/// Names listed in a message.
const MAX_LISTED: usize = 12;

/// What there is to halt.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Name of the account, without its namespace.
    pub account: &'a str,
    /// The strategies.
    pub strategies: &'a [(Uid, SmolStr)],
    /// The instruments of the account. Empty: not known, all are accepted.
    pub symbols: &'a [Symbol],
}

/// The halt a command asks for.
///
/// It is named `account.<account>.local` or `strategy.<name>.local`, and with `.<symbol>` for each instrument it is
/// limited to, in lower case, so that halts of different instruments stand side by side. Fails when the strategy or an
/// instrument is not known (a halt of a misspelt name would stop nothing), and when reason or author is empty, too long
/// or holds control characters.
pub fn halt_of(command: &HaltCommand, known: &Known<'_>, now: Timestamp) -> Result<Halt, ControlError> {
    check_text("the reason", &command.reason, MAX_REASON)?;
    check_text("who asks for it", &command.by, MAX_BY)?;
    let (scope, mut name) = match &command.scope {
        Scope::Account => (HaltScope::Account, format!("account.{}.local", known.account)),
        Scope::Strategy(wanted) => {
            let found = known.strategies.iter().find(|(_, name)| name == wanted);
            let names = || known.strategies.iter().map(|(_, name)| name.clone());
            let (uid, name) = found.ok_or_else(|| unknown("strategy", wanted, names()))?;
            (HaltScope::Strategies(vec![*uid]), format!("strategy.{name}.local"))
        }
    };
    let mut instruments = command.instruments.clone();
    instruments.sort();
    instruments.dedup();
    for symbol in &instruments {
        if !known.symbols.is_empty() && !known.symbols.contains(symbol) {
            let symbols = known.symbols.iter().map(ToSmolStr::to_smolstr);
            return Err(unknown("instrument of this account", &symbol.to_smolstr(), symbols));
        }
        name.push('.');
        name.push_str(&symbol.to_string().to_lowercase());
    }
    Ok(Halt {
        name: name.into(),
        scope,
        instruments,
        action: command.action,
        origin: HaltOrigin::Manual,
        reason: command.reason.trim().to_owned(),
        requested_by: command.by.trim().to_owned(),
        since: now,
    })
}

/// The halt as it must be set, so that halting twice never loosens: one of the same name in force keeps its severer
/// action, its reach, its origin and its beginning.
#[must_use]
pub fn never_looser(mut halt: Halt, in_force: &[Halt]) -> Halt {
    let Some(known) = in_force.iter().find(|known| known.name == halt.name) else { return halt };
    halt.action = halt.action.max(known.action);
    halt.origin = known.origin.clone();
    halt.since = known.since.min(halt.since);
    halt.scope = match (&known.scope, halt.scope) {
        (HaltScope::Strategies(before), HaltScope::Strategies(mut uids)) => {
            uids.extend(before.iter().copied());
            uids.sort_unstable();
            uids.dedup();
            HaltScope::Strategies(uids)
        }
        (HaltScope::Account, _) | (_, HaltScope::Account) => HaltScope::Account,
    };
    if known.instruments.is_empty() {
        halt.instruments.clear();
    }
    halt
}

/// What a resume changes. Fails when no halt of that name is in force, naming those that are, nearest first, and when the
/// author is empty, too long or holds control characters.
pub fn resume_of(
    command: &ResumeCommand,
    in_force: &[Halt],
    now: Timestamp,
) -> Result<HaltChange, ControlError> {
    check_text("who asks for it", &command.by, MAX_BY)?;
    if !in_force.iter().any(|halt| halt.name == command.name) {
        return Err(unknown("halt in force", &command.name, in_force.iter().map(|halt| halt.name.clone())));
    }
    Ok(HaltChange::Cleared { name: command.name.clone(), by: command.by.trim().to_owned(), at: now })
}

fn check_text(what: &'static str, text: &str, limit: usize) -> Result<(), ControlError> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= limit && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(ControlError::Text { what, limit }) }
}

fn unknown(what: &'static str, wanted: &str, names: impl Iterator<Item = SmolStr>) -> ControlError {
    let mut names: Vec<SmolStr> = names.collect();
    // Stable: those as near as each other stay in their order.
    names.sort_by_key(|name| strsim::damerau_levenshtein(wanted, name));
    let listed = names.iter().take(MAX_LISTED).map(SmolStr::as_str).collect::<Vec<_>>().join(", ");
    let there_are = match names.len().saturating_sub(MAX_LISTED) {
        _ if names.is_empty() => "there is none".to_owned(),
        0 => format!("there are: {listed}"),
        more => format!("there are: {listed} and {more} more"),
    };
    let name = wanted.chars().take(120).collect::<String>();
    ControlError::Unknown { what, name: format_smolstr!("{name}"), there_are }
}
