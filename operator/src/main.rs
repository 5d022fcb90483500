//! `tradewind-operator`: accounts, strategies, policies and halts to workers and status.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tradewind_operator::run::{self, RunError};
use tradewind_operator::settings::{Args, Settings, SettingsError};

fn main() -> ExitCode {
    let settings = match Settings::of(Args::parse()) {
        Ok(settings) => settings,
        Err(error) => return wrong(&error),
    };
    log_to_stderr(&settings.log);
    // One thread is enough, and keeps one heap: the work is waiting for the API server.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&RunError::Runtime(error)),
    };
    match runtime.block_on(run::run(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// One line a fact, with its fields. What the log cannot take is nobody's error.
fn log_to_stderr(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .try_init();
}

/// The arguments are wrong: as clap says it.
fn wrong(error: &SettingsError) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::from(2)
}

fn failed(error: &RunError) -> ExitCode {
    tracing::error!(%error, "the operator ends");
    ExitCode::FAILURE
}
