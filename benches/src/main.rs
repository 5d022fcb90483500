//! `tradewind-bench`: measures one figure, writes a series to measure with, or puts figures onto the page.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tradewind_benches::page::{Facts, rewrite};
use tradewind_benches::{
    BenchError, Figure, bus, cluster, desk, figure, intents, reference, rss, series, simulation, start, wire,
};

/// Measures; run it from the root of the checkout with TMPDIR on the disk that is meant.
#[derive(Debug, Parser)]
#[command(name = "tradewind-bench", version, about)]
struct Cli {
    /// Also appends the figures to this file, one JSON object a line.
    #[arg(long, value_name = "FILE", global = true)]
    rows: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bars a CPU second of the reference job, checked against a plain loop.
    Reference,
    /// Bars a CPU second of sixteen symbols in two strategies.
    Desk,
    /// Durable intents a second, in a file and in a database.
    Intents,
    /// From a decision to its order on the wire.
    Wire,
    /// Seeds a second of the simulation, and positions without a stop under each kind of fault.
    Simulation,
    /// Events told to a Redis on this machine.
    Bus,
    /// From process start to ready on a large ledger.
    Start,
    /// Memory of a worker while it replays.
    Rss,
    /// From the patch that halts to the gate, and to the last entry cancelled.
    Halting,
    /// The operator with 10 to 5 000 strategies.
    Operator,
    /// A worker and a leader killed.
    Recovery,
    /// Memory of a worker in a cluster.
    Worker,
    /// From `kubectl apply` to the first fill (root on Linux).
    FirstFill,
    /// Writes a series of minute bars as binary rows.
    Generate {
        /// How many bars.
        #[arg(long, default_value_t = reference::BARS)]
        bars: usize,
        /// The seed; the same seed gives the same bytes.
        #[arg(long, default_value_t = reference::SEED)]
        seed: u64,
        /// The file to write.
        file: PathBuf,
    },
    /// Puts the figures of `--rows` into the tables of a page.
    Page {
        /// The page.
        page: PathBuf,
        /// Day of the run.
        #[arg(long)]
        date: String,
        /// What ran it.
        #[arg(long)]
        command: String,
        /// The compiler.
        #[arg(long)]
        rustc: String,
        /// File system of the scratch folder.
        #[arg(long)]
        filesystem: String,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run(cli: Cli) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = match cli.command {
        Command::Reference => reference::run()?,
        Command::Desk => runtime.block_on(desk::run())?,
        Command::Intents => runtime.block_on(intents::run())?,
        Command::Wire => runtime.block_on(wire::run())?,
        Command::Simulation => simulation::run_all()?,
        Command::Bus => runtime.block_on(bus::run())?,
        Command::Start => runtime.block_on(start::run())?,
        Command::Rss => rss::run()?,
        Command::Halting => runtime.block_on(cluster::halting::run())?,
        Command::Operator => runtime.block_on(cluster::operator::run())?,
        Command::Recovery => runtime.block_on(cluster::recovery::run())?,
        Command::Worker => runtime.block_on(cluster::memory::run())?,
        Command::FirstFill => runtime.block_on(cluster::first_fill::run())?,
        Command::Generate { bars, seed, file } => return series::write(&file, bars, seed),
        Command::Page { page, date, command, rustc, filesystem } => {
            let rows =
                cli.rows.ok_or_else(|| BenchError::Page("give the figures with --rows FILE".to_owned()))?;
            let facts = Facts { date, command, rustc, filesystem, ..Facts::default() }.of_this_machine();
            return write_page(&page, &facts, &figure::read(&rows)?);
        }
    };
    let mut out = std::io::stdout();
    figure::print(&figures, &mut out)?;
    out.flush()?;
    match &cli.rows {
        Some(rows) => figure::append(&figures, rows),
        None => Ok(()),
    }
}

fn write_page(path: &PathBuf, facts: &Facts, figures: &[Figure]) -> Result<(), BenchError> {
    let page = std::fs::read_to_string(path).map_err(BenchError::at(path))?;
    std::fs::write(path, rewrite(&page, facts, figures)?).map_err(BenchError::at(path))
}

#[expect(clippy::print_stderr, reason = "the last words of a command")]
fn fail(error: &BenchError) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
