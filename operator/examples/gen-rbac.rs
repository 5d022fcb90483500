//! Writes what the operator may do where people and the chart read it; with `--check` only compares.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tradewind_operator::rbac;

const BEGIN: &str = "<!-- rules: begin; generated from operator/src/rbac.rs by make golden -->\n";
const END: &str = "<!-- rules: end -->\n";

/// The page with the table between its two marks; none when it has no marks.
fn page(found: &str) -> Option<String> {
    let (before, rest) = found.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", rbac::table()))
}

/// Each file and what should be in it.
fn files(root: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let security = root.join("docs/security.md");
    let found = std::fs::read_to_string(&security).map_err(|error| format!("docs/security.md: {error}"))?;
    let page =
        page(&found).ok_or_else(|| format!("docs/security.md has no line {BEGIN:?} or none {END:?}"))?;
    Ok(vec![
        (security, page),
        (root.join("charts/tradewind/files/operator-rules.yaml"), rbac::chart_values()),
    ])
}

fn run(check: bool) -> Result<(), String> {
    for (path, wanted) in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))? {
        let name = path.display();
        if !check {
            std::fs::write(&path, wanted).map_err(|error| format!("{name} could not be written: {error}"))?;
        } else if !std::fs::read_to_string(&path).is_ok_and(|found| found == wanted) {
            return Err(format!("{name} differs from the code; run: make golden"));
        }
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a command's last words")]
fn main() -> ExitCode {
    match run(std::env::args().any(|argument| argument == "--check")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
