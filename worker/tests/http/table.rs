//! A scrape against the documentation and against Prometheus' own checker; for the worker's and for the operator's.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn promtool() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/promtool");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join("promtool")).chain([own]);
    places
        .find(|place| place.is_file())
        .expect("promtool is neither on the PATH nor in .tools/bin: run scripts/setup")
}

/// What promtool has to say of a scrape; nothing when all is well.
pub(crate) fn complaints(text: &str) -> String {
    let mut command = Command::new(promtool());
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
}

/// Name without prefix, type, and labels in their order.
pub(crate) type Metric = (String, String, Vec<String>);

/// What is served: each type line with the labels of the samples below it. Buckets have one more, which is no label of
/// the metric.
pub(crate) fn served(text: &str) -> BTreeSet<Metric> {
    let mut all = BTreeSet::new();
    let mut about = None;
    for line in text.lines() {
        if let Some(found) = line.strip_prefix("# TYPE tradewind_") {
            about = found.split_once(' ');
        } else if !line.starts_with('#') {
            let (name, kind) = about.unwrap();
            assert!(line.starts_with(&format!("tradewind_{name}")), "{line} below {name}");
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            let names = names.filter(|label| label != "le").collect();
            all.insert((name.to_owned(), kind.to_owned(), names));
        }
    }
    all
}

/// The rows of a table of the documentation.
pub(crate) fn documented(section: &str) -> BTreeSet<Metric> {
    let page = include_str!("../../../docs/metrics.md");
    let (_, rest) = page.split_once(section).unwrap();
    let rows = rest.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    let metric = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        (cells[0].trim_matches('`').to_owned(), cells[1].to_owned(), labels)
    };
    rows.map(metric).collect()
}
