//! `explain`: what was decided and why, from the ledger, also while a worker runs.

use std::io::Write;

use smol_str::SmolStr;
use tradewind_core::name::Symbol;
use tradewind_ledger::{DecisionFilter, MysqlReader, SqliteReader};

use super::backtest::Output;
use super::place::{Found, Which};
use super::{CommandError, typed_time};
use crate::explain::{self, ExplainOptions, Format};

/// What `explain` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    which: Which,
    /// Only this strategy.
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<SmolStr>,
    /// Only this instrument.
    #[arg(long)]
    pub symbol: Option<Symbol>,
    /// Only decisions from this event time on (2024-05-01 or RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// At most that many decisions, the newest.
    #[arg(long, default_value_t = 1000)]
    pub limit: u32,
    /// Every decision on a line of its own, also runs of the same.
    #[arg(long)]
    pub all: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// The command.
pub async fn execute(options: &Options, out: &mut dyn Write) -> Result<(), CommandError> {
    let since = typed_time("--since", options.since.as_deref())?;
    let filter = DecisionFilter {
        strategy: options.strategy.clone(),
        symbol: options.symbol.clone(),
        since,
        limit: options.limit,
    };
    let format = match options.output {
        Output::Json => Format::Json,
        Output::Text => Format::Text,
    };
    let how = ExplainOptions { all: options.all, format };
    match options.which.found()? {
        Found::File(path) => {
            explain::explain(&mut SqliteReader::open(&path).await?, &filter, how, out).await?
        }
        Found::Database(server, name) => {
            explain::explain(&mut MysqlReader::open(&server, &name).await?, &filter, how, out).await?
        }
    };
    Ok(())
}
