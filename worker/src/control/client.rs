//! The side of the person who asks.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::error::ControlError;
use super::socket::Address;
use super::wire::{Command, ControlReply, MAX_COMMAND_BYTES};

/// How long an answer is waited for; longer than the server waits for the driver.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest answer read: some thousands of halts.
const MAX_REPLY_BYTES: u64 = 4 << 20;

/// Asks the worker of that data directory. None when no worker listens there: then the ledger is free to be written by
/// the caller.
pub async fn call(data_dir: &Path, command: &Command) -> Result<Option<ControlReply>, ControlError> {
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    if line.len() > MAX_COMMAND_BYTES {
        return Err(ControlError::TooLong { bytes: line.len(), limit: MAX_COMMAND_BYTES });
    }
    let Some(address) = Address::of(data_dir)? else { return Ok(None) };
    let no_answer = |_| ControlError::NoAnswer { path: address.path.clone(), after: PATIENCE };
    timeout(PATIENCE, ask(&address, &line)).await.map_err(no_answer)?
}

async fn ask(address: &Address, line: &[u8]) -> Result<Option<ControlReply>, ControlError> {
    let mut stream = match UnixStream::connect(&address.name).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(source) => return Err(address.failed(source)),
    };
    let hung_up = || ControlError::HungUp { path: address.path.clone() };
    stream.write_all(line).await.map_err(|_| hung_up())?;
    let mut answer = Vec::new();
    let mut reader = BufReader::new(stream).take(MAX_REPLY_BYTES);
    // A connection that breaks is a worker that ended.
    let read = reader.read_until(b'\n', &mut answer).await;
    if read.is_err() || answer.last() != Some(&b'\n') {
        return Err(hung_up());
    }
    Ok(Some(serde_json::from_slice(&answer)?))
}
