//! What becomes of the ledger's file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use sqlx::{Connection, SqliteConnection};
use tradewind_tests::block_on;
use tradewind_tests::books::Books;
use tradewind_tests::desk::{BUSY, Desk, SYMBOLS, busy, packaged};
use tradewind_tests::process::{Ended, Worker, command, run, run_arguments};

const HALF: usize = 100;

/// A desk whose ledger has seen half of the data, all of which is there now.
fn half_way() -> Desk {
    let desk = Desk::new(BUSY, HALF);
    desk.complete("state");
    for symbol in SYMBOLS {
        desk.write_rows(symbol, &packaged(symbol, 0, 2 * HALF));
    }
    desk
}

/// Without the fault the run comes to its end as if there had been none.
fn assert_as_if_nothing_had_happened(desk: &Desk) {
    let last = desk.complete("state");
    assert_eq!(last, desk.complete("alone"));
    let alone = Books::of(&desk.file(), &desk.state("alone"));
    Books::of(&desk.file(), &desk.state("state")).assert_same(&alone, "after the fault");
}

fn assert_refused(ended: &Ended, sentence: &str) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let last = ended.last_words();
    assert!(last.starts_with("error: ") && last.contains(sentence), "{sentence}\n{}", ended.err);
    assert!(!ended.err.contains("panicked") && !ended.out.contains("completed"), "{ended:?}");
}

/// Runs statements on the file, as a person with a SQLite shell would.
fn by_hand(path: &Path, statements: &[&'static str]) {
    block_on(async {
        let mut connection =
            SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        for sql in statements {
            sqlx::query(*sql).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    });
}

/// A worker that permissions bind: where the tests run as root, which they do not, it runs as nobody.
fn unprivileged(desk: &Desk, arguments: &[&str]) -> Command {
    let prepared = command(arguments);
    let root = fs::metadata(desk.path()).unwrap().uid() == 0;
    // Nobody may not be able to reach the target directory.
    let copy = desk.path().join("tradewind-worker");
    if !copy.exists() {
        fs::copy(prepared.get_program(), &copy).unwrap();
    }
    let mut command = Command::new(copy);
    command.args(arguments).env("NO_COLOR", "1").current_dir("/");
    if root {
        command.uid(65_534).gid(65_534);
    }
    command
}

#[test]
fn a_ledger_that_cannot_be_written_stops_the_run_and_says_what_to_do() {
    let desk = half_way();
    let state = desk.state("state");
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let files = || fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    files().for_each(|path| mode(&path, 0o444));
    mode(&state, 0o555);
    mode(desk.path(), 0o755);
    let mut worker = unprivileged(&desk, &run_arguments(&desk.file(), &state));
    let ended = Worker::spawn(&mut worker).ended();
    mode(&state, 0o700);
    files().for_each(|path| mode(&path, 0o600));
    assert_refused(
        &ended,
        "cannot be written; give the worker write permission on the file and its directory",
    );
    assert_as_if_nothing_had_happened(&desk);
}

#[test]
fn a_second_worker_on_a_ledger_is_refused_and_told_who_the_first_is() {
    let desk = half_way();
    desk.write_yaml(&busy(&[("speed: {max: {}}", "speed: {realTime: {}}")]));
    let mut first = desk.start("state");
    first.addresses();
    let second = desk.start("state").ended();
    assert_refused(&second, &format!("the ledger is in use by tradewind-worker run (pid {})", first.pid()));
    assert!(second.last_words().ends_with("stop that worker, or use another data directory for this one"));
    first.signal(Signal::SIGTERM);
    let ended = first.ended();
    assert_eq!(ended.code, Some(0), "the first does not notice: {}", ended.err);
    desk.write_yaml(BUSY);
    assert_as_if_nothing_had_happened(&desk);
}

#[test]
fn a_ledger_of_a_newer_version_is_left_alone() {
    let desk = half_way();
    let path = desk.state("state").join("ledger.db");
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (42, 'from the future', TRUE, x'00', 0)";
    by_hand(&path, &[newer]);
    let before = fs::read(&path).unwrap();
    let data_dir = desk.state("state");
    let explained = run(&["explain", "--data-dir", data_dir.to_str().unwrap()]);
    for ended in [desk.start("state").ended(), explained] {
        assert_refused(&ended, "the ledger has schema 42, this version knows up to ");
        assert!(ended.last_words().ends_with("run the newer version again"), "{}", ended.err);
    }
    assert!(fs::read(&path).unwrap() == before, "a refused ledger was changed");
    by_hand(&path, &["DELETE FROM _sqlx_migrations WHERE version = 42"]);
    assert_as_if_nothing_had_happened(&desk);
}

#[test]
fn a_row_changed_by_hand_stops_the_run_and_is_named() {
    let desk = half_way();
    let path = desk.state("state").join("ledger.db");
    let backup = fs::read(&path).unwrap();
    for (statements, table) in [
        (["DROP TRIGGER fills_fixed", "UPDATE fills SET price_units = 1"], " of fills "),
        (["DROP TRIGGER transfers_fixed", "UPDATE transfers SET amount = '900000'"], " of transfers "),
    ] {
        by_hand(&path, &statements);
        let ended = desk.start("state").ended();
        assert_refused(&ended, table);
        assert!(
            ended.last_words().contains("was changed outside the worker; restore the file from a backup")
        );
        // As the sentence says.
        fs::write(&path, &backup).unwrap();
    }
    assert_as_if_nothing_had_happened(&desk);
}

#[test]
fn a_ledger_of_another_account_or_no_ledger_at_all_is_left_alone() {
    let desk = half_way();
    let data_dir = desk.state("other");
    fs::create_dir(&data_dir).unwrap();
    fs::write(data_dir.join("ledger.db"), "ts,open,high,low,close,volume\n".repeat(500)).unwrap();
    assert_refused(
        &desk.start("other").ended(),
        "this is no ledger or it is damaged; restore it from a backup or move it away",
    );
    desk.write_yaml(
        &BUSY
            .replace("metadata: {name: paper}", "metadata: {name: second}")
            .replace("exchangeAccountRef: {name: paper}", "exchangeAccountRef: {name: second}"),
    );
    assert_refused(&desk.start("state").ended(), "the ledger belongs to account paper (");
    desk.write_yaml(BUSY);
    assert_as_if_nothing_had_happened(&desk);
}
