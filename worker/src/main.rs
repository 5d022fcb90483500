//! `tradewind-worker`: trades one exchange account.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tradewind_worker::commands::{self, CommandError};
use tradewind_worker::held_log::HeldLog;
use tradewind_worker::session::in_time;

/// Trades one exchange account: from market data to signal, size, risk checks, order and fill.
#[derive(Debug, Parser)]
#[command(name = "tradewind-worker", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trade the strategies of YAML files on one machine, without a cluster.
    Run(commands::run::Options),
    /// Trade one account in a cluster, as the operator publishes it.
    Cluster(commands::cluster::Options),
    /// Run the strategies over recorded data as fast as the machine can and print what came of it.
    Backtest(commands::backtest::Options),
    /// Print every problem of YAML files; exit code 2 when there is one.
    Validate(commands::validate::Options),
    /// Tell what was decided and why, from the ledger.
    Explain(commands::explain::Options),
    /// Stop entries of a strategy or of the whole account until it is resumed.
    Halt(commands::control::HaltOptions),
    /// Resume one halt by its name.
    Resume(commands::control::ResumeOptions),
    /// Check, export, save or restore a ledger.
    #[command(subcommand)]
    Ledger(commands::ledger::Action),
    /// Run the reference job on a file of binary rows and print what it cost as one JSON object.
    ReferenceJob(commands::reference_job::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let held = start_log(&cli.command);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&CommandError::Output(error)),
    };
    let ended = runtime.block_on(dispatch(&cli.command));
    // A name that is still being looked up keeps nobody from ending.
    runtime.shutdown_background();
    if let Some(log) = held {
        // Whoever has closed the terminal needs no lines.
        log.tell(&mut std::io::stderr()).ok();
    }
    match ended {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn dispatch(command: &Command) -> Result<ExitCode, CommandError> {
    let mut out = std::io::stdout();
    let out: &mut dyn std::io::Write = &mut out;
    match command {
        Command::Run(options) => Box::pin(in_time(commands::run::execute(options, out))).await?,
        Command::Cluster(options) => Box::pin(in_time(commands::cluster::execute(options))).await?,
        Command::Backtest(options) => commands::backtest::execute(options, out).await?,
        Command::Validate(options) => {
            return Ok(if commands::validate::execute(options, out)? {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            });
        }
        Command::Explain(options) => commands::explain::execute(options, out).await?,
        Command::Halt(options) => commands::control::halt(options, out).await?,
        Command::Resume(options) => commands::control::resume(options, out).await?,
        Command::Ledger(action) => commands::ledger::execute(action, out).await?,
        Command::ReferenceJob(options) => commands::reference_job::execute(options, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Facts go to stderr, one line each. A live table has the terminal to itself: there warnings are kept for its end.
fn start_log(command: &Command) -> Option<HeldLog> {
    let live = matches!(command, Command::Run(options) if options.has_live_table());
    let default = if live { "warn" } else { "info" };
    // What goes wrong with the API server is told by who asked, once.
    let quiet = "kube_client=off,tower=off";
    let told = std::env::var("TRADEWIND_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(format!("{quiet},{told}")).unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_target(false);
    if !live {
        log.with_writer(std::io::stderr).init();
        return None;
    }
    let held = HeldLog::default();
    log.with_writer(held.clone()).init();
    Some(held)
}

#[expect(clippy::print_stderr, reason = "the last words of a command go to the terminal, logged or not")]
fn fail(error: &CommandError) -> ExitCode {
    // A reader that has closed its end wants no more.
    if !matches!(error, CommandError::Output(e) if e.kind() == std::io::ErrorKind::BrokenPipe) {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(deeper) = cause {
            let words = deeper.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = deeper.source();
        }
        eprintln!("error: {text}");
    }
    ExitCode::from(error.exit_code())
}
