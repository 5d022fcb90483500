//! `halt` and `resume`: local halts. A running worker takes them over its socket; without one they go into the ledger,
//! and the next start finds them there.

use std::io::Write;

use smol_str::SmolStr;
use tradewind_core::config::ResolvedAccount;
use tradewind_core::event::{EventKind, HaltChange, Record};
use tradewind_core::halt::{Halt, HaltAction};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::Incarnation;
use tradewind_core::time::Timestamp;
use tradewind_crds::load::uid;
use tradewind_crds::objects::{Key, Kind};
use tradewind_ledger::{
    Batch, DecisionFilter, Ledger, LedgerReader, MysqlLedger, MysqlOptions, MysqlReader, SqliteLedger,
    SqliteOptions, SqliteReader,
};
use tradewind_venues::DrivenVenue;

use super::CommandError;
use super::place::{Found, Which};
use crate::board::Board;
use crate::control::{
    Command, ControlReply, ControlRequest, HaltCommand, Known, ResumeCommand, Scope, call, halt_of,
    never_looser, resume_of,
};
use crate::driver::{Driver, DriverError};

/// What `halt` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct HaltOptions {
    #[command(flatten)]
    which: Which,
    /// Halts this strategy alone; absent, the whole account.
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<SmolStr>,
    /// Only in these instruments; may be repeated.
    #[arg(long = "symbol", value_name = "SYMBOL")]
    pub symbols: Vec<Symbol>,
    /// What it does beside stopping entries: `StopEntries`, `CancelEntries` or `Liquidate`.
    #[arg(long, default_value = "CancelEntries")]
    pub action: HaltAction,
    /// Why, for those who look later.
    #[arg(long)]
    pub reason: String,
    /// Who asks.
    #[arg(long, env = "USER", default_value = "unknown")]
    pub by: String,
}

/// What `resume` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct ResumeOptions {
    /// The halt's name, as `explain`, the live table and `/risk/metrics` show it.
    pub name: SmolStr,
    #[command(flatten)]
    which: Which,
    /// Who asks.
    #[arg(long, env = "USER", default_value = "unknown")]
    pub by: String,
}

/// `halt`.
pub async fn halt(options: &HaltOptions, out: &mut dyn Write) -> Result<(), CommandError> {
    let command = Command::Halt(HaltCommand {
        scope: options.strategy.clone().map_or(Scope::Account, Scope::Strategy),
        instruments: options.symbols.clone(),
        action: options.action,
        reason: options.reason.clone(),
        by: options.by.clone(),
    });
    ask(&options.which, &command, out).await
}

/// `resume`.
pub async fn resume(options: &ResumeOptions, out: &mut dyn Write) -> Result<(), CommandError> {
    let command = Command::Resume(ResumeCommand { name: options.name.clone(), by: options.by.clone() });
    ask(&options.which, &command, out).await
}

async fn ask(which: &Which, command: &Command, out: &mut dyn Write) -> Result<(), CommandError> {
    let told = match which.data_dir() {
        Some(data_dir) => call(data_dir, command).await?,
        None => None,
    };
    let reply = match told {
        Some(reply) => reply,
        None => write_to_ledger(which, command).await?,
    };
    match reply {
        ControlReply::Done { message, halts } => {
            writeln!(out, "{message}")?;
            if let (Command::Halt(_), Some(made)) = (command, halts.last()) {
                writeln!(out, "resume it with: tradewind-worker resume {}{which}", made.name)?;
            }
            for halt in &halts {
                writeln!(out, "in force: {}", crate::terminal::plain::halt_line(halt))?;
            }
            Ok(())
        }
        ControlReply::Refused { message } => Err(CommandError::Usage(message)),
    }
}

/// The driver's answer to a command. The halt is durable when the answer is given.
pub async fn answer<L: Ledger, V: DrivenVenue>(
    driver: &mut Driver<L, V, Board>,
    request: ControlRequest,
) -> Result<(), DriverError> {
    let now = driver.now();
    let change = change_of(&request.command, &Facts::of_driver(driver), now);
    let reply = match change {
        Err(error) => ControlReply::Refused { message: error.to_string() },
        Ok(change) => {
            let message = describe(change.as_ref());
            if let Some(change) = change {
                driver.handle(now, EventKind::HaltChange(change)).await?;
                driver.flush().await?;
            }
            ControlReply::Done { message, halts: driver.state.halts().to_vec() }
        }
    };
    if request.reply.send(reply).is_err() {
        tracing::debug!("the sender of a command did not wait for its answer");
    }
    Ok(())
}

/// What a command is read against.
struct Facts {
    account: SmolStr,
    strategies: Vec<(Uid, SmolStr)>,
    symbols: Vec<Symbol>,
    halts: Vec<Halt>,
}

impl Facts {
    fn of_driver<L: Ledger, V: DrivenVenue>(driver: &Driver<L, V, Board>) -> Self {
        let state = &driver.state;
        let views = state.strategy_views();
        let symbols = views.iter().flat_map(|v| v.config.instruments.iter().map(|i| i.symbol.clone()));
        Self {
            account: state.account().name.clone(),
            symbols: symbols.collect(),
            strategies: views.iter().map(|v| (v.config.uid, v.config.name.clone())).collect(),
            halts: state.halts().to_vec(),
        }
    }
}

/// The change a command asks for; none for a question.
fn change_of(
    command: &Command,
    facts: &Facts,
    now: Timestamp,
) -> Result<Option<HaltChange>, crate::control::ControlError> {
    match command {
        Command::Status => Ok(None),
        Command::Resume(resume) => resume_of(resume, &facts.halts, now).map(Some),
        Command::Halt(halt) => {
            let known =
                Known { account: &facts.account, strategies: &facts.strategies, symbols: &facts.symbols };
            Ok(Some(HaltChange::Set(never_looser(halt_of(halt, &known, now)?, &facts.halts))))
        }
    }
}

fn describe(change: Option<&HaltChange>) -> String {
    match change {
        None => "nothing changed".to_owned(),
        Some(HaltChange::Set(halt)) => {
            format!("halted: {} ({})", halt.name, halt.action)
        }
        Some(HaltChange::Cleared { name, .. }) => format!("resumed: {name}"),
    }
}

/// Without a worker a ledger in a file is free to be written. One in a database is taken over: a worker that runs on it can
/// commit nothing more, ends, and its next start finds the halt.
async fn write_to_ledger(which: &Which, command: &Command) -> Result<ControlReply, CommandError> {
    let now = Timestamp(jiff::Timestamp::now().as_millisecond());
    let owner = format!("tradewind-worker halt or resume (pid {})", std::process::id());
    // An existing ledger keeps its own incarnation; this one is never used.
    let incarnation = Incarnation(0);
    match which.found()? {
        Found::File(path) => {
            let mut reader = SqliteReader::open(&path).await?;
            let (account, account_name) = reader.account().await?;
            let change = match asked(&mut reader, &account_name, command, now).await? {
                Ok(change) => change,
                Err(refused) => return Ok(refused),
            };
            drop(reader);
            let options = SqliteOptions { account, account_name, owner, now, incarnation, max_bytes: None };
            let mut ledger = SqliteLedger::visit(&path, &options).await?;
            let done =
                written(&mut ledger, change, "no worker is running: it holds from its next start").await?;
            ledger.close().await?;
            Ok(done)
        }
        Found::Database(server, name) => {
            let mut reader = MysqlReader::open(&server, &name).await?;
            let (account, account_name) = reader.account().await?;
            // Halts are named by the account alone; a ledger in a database also says its namespace.
            let short = SmolStr::new(ResolvedAccount::short_name(&account_name));
            let change = match asked(&mut reader, &short, command, now).await? {
                Ok(change) => change,
                Err(refused) => return Ok(refused),
            };
            let options = MysqlOptions { server, account, account_name, owner, now, incarnation };
            let mut ledger = MysqlLedger::visit(&options).await?;
            let when = "it holds from the worker's next start; one that runs ends now";
            let done = written(&mut ledger, change, when).await?;
            ledger.close().await?;
            Ok(done)
        }
    }
}

/// What the command asks of that ledger, or why it is refused.
async fn asked(
    reader: &mut impl LedgerReader,
    account: &SmolStr,
    command: &Command,
    now: Timestamp,
) -> Result<Result<Option<HaltChange>, ControlReply>, CommandError> {
    let facts = facts_of_ledger(reader, account, command).await?;
    let refused = |error: crate::control::ControlError| ControlReply::Refused { message: error.to_string() };
    Ok(change_of(command, &facts, now).map_err(refused))
}

/// Makes the change durable, if there is one.
async fn written<L: Ledger + LedgerReader>(
    ledger: &mut L,
    change: Option<HaltChange>,
    when: &str,
) -> Result<ControlReply, CommandError> {
    let message = format!("{} ({when})", describe(change.as_ref()));
    if let Some(change) = change {
        ledger.commit(&Batch { records: &[Record::Halt(change)], ..Batch::default() }).await?;
    }
    Ok(ControlReply::Done { message, halts: ledger.halts().await? })
}

/// The ledger knows strategies by uid; one from files has the uid of its name.
async fn facts_of_ledger(
    reader: &mut impl LedgerReader,
    account: &SmolStr,
    command: &Command,
) -> Result<Facts, CommandError> {
    let held: Vec<Uid> = reader.balances().await?.iter().filter_map(|row| row.strategy).collect();
    // Whoever decided has its uid in the decision, whatever namespace its file names.
    let mut decided = Vec::new();
    let mut names: Vec<SmolStr> = reader.outcomes().await?.into_iter().map(|o| o.strategy_name).collect();
    if let Command::Halt(HaltCommand { scope: Scope::Strategy(name), .. }) = command {
        names.push(name.clone());
        let last = DecisionFilter { strategy: Some(name.clone()), limit: 1, ..DecisionFilter::default() };
        decided = reader.decisions(&last).await?;
    }
    let decided = decided.into_iter().map(|row| (row.strategy, row.strategy_name));
    names.sort();
    names.dedup();
    let known = names
        .into_iter()
        .map(|name| (Uid(uid(Kind::TradingStrategy, &Key::new("default", name.as_str()))), name));
    // One of a cluster has another uid; the ledger has it by its name while there is something of it.
    let history = reader.history().await?;
    let holding = history.checkpoint.into_iter().flat_map(|checkpoint| checkpoint.holding);
    let holding = holding.map(|strategy| (strategy.uid, strategy.name));
    let strategies = known.filter(|(uid, _)| held.contains(uid)).chain(holding).chain(decided).collect();
    Ok(Facts { account: account.clone(), strategies, symbols: Vec::new(), halts: reader.halts().await? })
}
