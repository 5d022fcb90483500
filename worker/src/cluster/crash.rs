//! Quarantine: a strategy whose signal ends the process twice is not evaluated any more, and the others go on.
//!
//! A panic ends the process at once. Before it does, a hook notes in the data directory whose signal was being evaluated;
//! the next start counts the notes. A note counts for the configuration it was made under alone: an edit is a new chance.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use tradewind_core::engine::Probe;
use tradewind_core::name::Uid;

/// The notes, one JSON object a line, in the data directory.
const NOTES_FILE: &str = "crashes.jsonl";
/// Crashes after which a signal is not evaluated any more.
const CRASHES: usize = 2;
/// Notes that are read; a file with more is not ours.
const MOST: usize = 10_000;

/// A crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    strategy: Uid,
    name: SmolStr,
    hash: String,
    what: String,
}

/// Which signals crashed this worker, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quarantine {
    crashes: BTreeMap<(Uid, String), usize>,
}

impl Quarantine {
    /// Counts the notes in that directory. A line that cannot be read counts nothing.
    pub fn read(data_dir: &Path) -> Self {
        let Ok(file) = std::fs::File::open(data_dir.join(NOTES_FILE)) else { return Self::default() };
        let lines = BufReader::new(file).lines().take(MOST).map_while(Result::ok);
        let mut crashes = BTreeMap::new();
        for note in lines.filter_map(|line| serde_json::from_str::<Note>(&line).ok()) {
            tracing::warn!(strategy = %note.name, what = note.what, "its signal ended the worker before");
            *crashes.entry((note.strategy, note.hash)).or_default() += 1;
        }
        Self { crashes }
    }

    /// Whether the signal of that strategy, configured like that, is not to be evaluated.
    pub fn holds(&self, strategy: Uid, hash: &str) -> bool {
        self.crashes.get(&(strategy, hash.to_owned())).is_some_and(|crashes| *crashes >= CRASHES)
    }
}

/// The strategies in the engine's order, for the hook: uid, name and digest of the entry in force.
pub type Suspects = Arc<Mutex<Vec<(Uid, SmolStr, String)>>>;

/// Notes, from now on, whose signal a panic of this process happened in; then goes on as panics do.
pub fn watch_panics(data_dir: &Path, probe: Probe, suspects: Suspects) {
    let path = data_dir.join(NOTES_FILE);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        note(&path, &probe, &suspects, &info.to_string());
        before(info);
    }));
}

/// Writes the note, if a signal was being evaluated. Must not panic, nor wait for a lock.
fn note(path: &PathBuf, probe: &Probe, suspects: &Suspects, what: &str) {
    let Some(id) = probe.evaluating() else { return };
    let Ok(suspects) = suspects.try_lock() else { return };
    let Some((strategy, name, hash)) = suspects.get(id.index()) else { return };
    let what = what.chars().take(500).collect();
    let note = Note { strategy: *strategy, name: name.clone(), hash: hash.clone(), what };
    let Ok(mut line) = serde_json::to_vec(&note) else { return };
    line.push(b'\n');
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    // There is nobody left to tell of a failure but the panic itself.
    let _ = file.and_then(|mut file| file.write_all(&line).and_then(|()| file.sync_all()));
}

#[cfg(test)]
mod tests {
    use tradewind_core::decision::StrategyId;

    use super::*;

    fn uid(number: u128) -> Uid {
        Uid(uuid::Uuid::from_u128(number))
    }

    fn write(dir: &Path, notes: &[(u128, &str)]) {
        let line = |(strategy, hash): &(u128, &str)| {
            let note = Note {
                strategy: uid(*strategy),
                name: "trend".into(),
                hash: (*hash).to_owned(),
                what: "index out of bounds".to_owned(),
            };
            serde_json::to_string(&note).unwrap() + "\n"
        };
        std::fs::write(dir.join(NOTES_FILE), notes.iter().map(line).collect::<String>()).unwrap();
    }

    #[test]
    fn the_second_crash_of_the_same_configuration_quarantines_that_strategy_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Quarantine::read(dir.path()), Quarantine::default());
        write(dir.path(), &[(1, "a"), (2, "a"), (1, "b")]);
        let one = Quarantine::read(dir.path());
        assert!(!one.holds(uid(1), "a") && !one.holds(uid(1), "b") && !one.holds(uid(2), "a"));
        write(dir.path(), &[(1, "a"), (2, "a"), (1, "a")]);
        let two = Quarantine::read(dir.path());
        assert!(two.holds(uid(1), "a"));
        assert!(!two.holds(uid(1), "b"), "an edit is a new chance");
        assert!(!two.holds(uid(2), "a"));
    }

    #[test]
    fn a_torn_note_counts_nothing_and_hides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[(1, "a"), (1, "a")]);
        let mut file = OpenOptions::new().append(true).open(dir.path().join(NOTES_FILE)).unwrap();
        file.write_all(b"{\"strategy\":").unwrap();
        assert!(Quarantine::read(dir.path()).holds(uid(1), "a"));
    }

    #[test]
    fn a_panic_in_a_signal_is_noted_by_the_hook_before_the_process_ends_and_one_elsewhere_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let suspects: Suspects = Arc::new(Mutex::new(vec![(uid(1), "trend".into(), "a".into())]));
        let panic = || drop(std::panic::catch_unwind(|| panic!("on purpose")));
        watch_panics(dir.path(), Probe::default(), Arc::clone(&suspects));
        panic();
        assert!(!dir.path().join(NOTES_FILE).exists());
        watch_panics(dir.path(), Probe::of(StrategyId(0)), suspects);
        panic();
        panic();
        drop(std::panic::take_hook());
        let notes = std::fs::read_to_string(dir.path().join(NOTES_FILE)).unwrap();
        assert!(notes.lines().all(|line| line.contains("on purpose")), "{notes}");
        assert!(Quarantine::read(dir.path()).holds(uid(1), "a"));
    }

    #[test]
    fn outside_of_a_signal_nobody_is_blamed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NOTES_FILE);
        let suspects: Suspects = Arc::new(Mutex::new(vec![(uid(1), "trend".into(), "a".into())]));
        note(&path, &Probe::default(), &suspects, "elsewhere");
        assert!(!path.exists());
        note(&path, &Probe::of(StrategyId(0)), &suspects, "in the signal");
        note(&path, &Probe::of(StrategyId(0)), &suspects, "again");
        assert!(Quarantine::read(dir.path()).holds(uid(1), "a"));
    }
}
