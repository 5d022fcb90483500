//! `venue-simulator`: the simulated exchange as a program, for tests that kill and pause what talks to it.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use rust_decimal::Decimal;
use tradewind_venue_simulator::dialect::Keys;
use tradewind_venue_simulator::exchange::{Exchange, Symbol};
use tradewind_venue_simulator::{Options, ServerError, Simulator};

/// A simulated Binance.US on loopback. It prints one line of JSON with both addresses and runs until it is ended.
#[derive(Debug, Parser)]
#[command(name = "venue-simulator", version)]
struct Cli {
    /// Port of the exchange; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the control; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// Key that requests bring.
    #[arg(long, default_value = "simulated-key")]
    api_key: String,
    /// Secret that requests are signed with.
    #[arg(long, default_value = "simulated-secret")]
    api_secret: String,
    /// Symbols, as BASE/QUOTE:tick:step:smallest-notional.
    #[arg(long, value_parser = symbol, default_values = ["BTC/USD:0.01:0.00001:10", "ETH/USD:0.01:0.0001:10", "SOL/USD:0.01:0.01:10"])]
    symbol: Vec<Symbol>,
    /// Money at the start, as ASSET=amount.
    #[arg(long, value_parser = amount, default_values = ["USD=100000"])]
    balance: Vec<(String, Decimal)>,
}

fn symbol(text: &str) -> Result<Symbol, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let decimal = |text: &str| Decimal::from_str_exact(text).map_err(|error| error.to_string());
    match (parts.as_slice(), parts.first().and_then(|pair| pair.split_once('/'))) {
        ([_, tick, step, least], Some((base, quote))) => {
            Ok(Symbol::new(base, quote, decimal(tick)?, decimal(step)?, decimal(least)?))
        }
        _ => Err("write it as BASE/QUOTE:tick:step:smallest-notional".to_owned()),
    }
}

fn amount(text: &str) -> Result<(String, Decimal), String> {
    let (asset, amount) = text.split_once('=').ok_or("write it as ASSET=amount")?;
    Ok((asset.to_owned(), Decimal::from_str_exact(amount).map_err(|error| error.to_string())?))
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(run(Cli::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

async fn run(cli: Cli) -> Result<(), ServerError> {
    let mut exchange = Exchange::new(cli.symbol);
    for (asset, amount) in &cli.balance {
        exchange.deposit(asset, *amount, 0);
    }
    let keys = Keys { api_key: cli.api_key, secret: cli.api_secret };
    let simulator =
        Simulator::start(exchange, Options { port: cli.port, control_port: cli.control_port, keys }).await?;
    let mut out = std::io::stdout();
    // Whoever reads it has ended when this fails, and so may this.
    drop(writeln!(
        out,
        r#"{{"exchange":"http://{}","control":"http://{}"}}"#,
        simulator.address, simulator.control
    ));
    drop(out.flush());
    std::future::pending::<()>().await;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the last words of a command")]
fn fail(words: &str) -> ExitCode {
    eprintln!("venue-simulator: {words}");
    ExitCode::FAILURE
}
