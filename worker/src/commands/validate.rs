//! `validate`: every problem of every file, with the fix, before anything runs.

use std::io::Write;
use std::path::PathBuf;

use tradewind_crds::problem::Problems;

use super::CommandError;
use crate::assembly::{problems_of, search_dirs};

/// What to validate.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// YAML files, or folders of them.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Folder with data sets; may be repeated. Beside it, `data` next to each file is searched.
    #[arg(long, value_name = "DIR")]
    pub market_data: Vec<PathBuf>,
}

/// Prints every problem; true when there is none.
pub fn execute(options: &Options, out: &mut dyn Write) -> Result<bool, CommandError> {
    let dirs = search_dirs(&options.market_data, &options.files);
    let (objects, problems, errors) = problems_of(&options.files, &dirs);
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    for error in &errors {
        writeln!(out, "{error}")?;
    }
    let count = problems.len() + errors.len();
    if count > 0 {
        writeln!(out, "{count} problem{} found", if count == 1 { "" } else { "s" })?;
        return Ok(false);
    }
    writeln!(
        out,
        "valid: {} accounts, {} strategies, {} policies, {} halts",
        objects.accounts.len(),
        objects.strategies.len(),
        objects.policies.len(),
        objects.halts.len()
    )?;
    Ok(true)
}

/// Logs problems that stop a strategy while the others run.
pub fn warn(problems: &Problems) {
    for problem in problems {
        tracing::error!(problem = %problem, "not run");
    }
}
