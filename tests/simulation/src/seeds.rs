//! Which seeds are run: those that failed once, always, and a window that every commit has to itself.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::broken::Broken;

/// The file of seeds that failed once.
fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds.txt")
}

/// Seeds that failed once. A line is a seed and, behind `#`, what it showed.
pub fn kept() -> io::Result<Vec<u64>> {
    let text = std::fs::read_to_string(file())?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let seed = |line: &str| line.parse().map_err(|_| io::Error::other(format!("`{line}` is no seed")));
    lines.filter(|line| !line.is_empty()).map(seed).collect()
}

/// Keeps a seed that failed, so that it is always run from now on.
pub fn keep(seed: u64, broken: &Broken) -> io::Result<()> {
    if kept()?.contains(&seed) {
        return Ok(());
    }
    let mut file = OpenOptions::new().append(true).open(file())?;
    writeln!(file, "{seed} # {broken}")
}

/// The first seed of the present commit's window: as good as never the same twice. Without a commit, always the same.
pub fn first_of_commit() -> u64 {
    let head =
        Command::new("git").args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let name = head.ok().filter(|head| head.status.success()).map(|head| head.stdout);
    let hash = blake3::hash(&name.unwrap_or_default());
    let (bytes, _) = hash.as_bytes().split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    // Short enough to be typed.
    u64::from_be_bytes(*bytes) % 1_000_000_000_000
}

/// The command that plays a seed again, with all that happens in it.
pub fn replay_command(seed: u64) -> String {
    format!("cargo run --quiet -p tradewind-simulation -- replay {seed}")
}
