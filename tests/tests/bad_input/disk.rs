//! A full disk: a real one, small, that only the worker sees.

use std::path::Path;
use std::process::Command;

use tradewind_tests::books::Books;
use tradewind_tests::desk::{BUSY, Desk, summary};
use tradewind_tests::process::{self, Ended, Worker, run_arguments};

/// `unshare` with what it takes to mount in a namespace of its own: as root, or as a user where that is allowed.
fn namespace() -> Option<Vec<&'static str>> {
    [vec!["-m"], vec!["-Urm"]].into_iter().find(|flags| {
        let mut probe = Command::new("unshare");
        let probe = probe.args(flags).args(["sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]);
        probe.output().is_ok_and(|output| output.status.success())
    })
}

/// Runs a worker on a disk of that size until it stops, then again on one that is large enough, and copies what it
/// leaves out of the namespace.
fn on_a_disk_of(size: &str, flags: &[&str], desk: &Desk) -> Ended {
    const SCRIPT: &str = "disk=$1 out=$2 size=$3; shift 3
        mount -t tmpfs -o size=$size none \"$disk\" || exit 90
        \"$@\"; first=$?
        mount -o remount,size=64m \"$disk\" || exit 91
        echo \"first ended with $first\"
        \"$@\"; second=$?
        cp -r \"$disk/state\" \"$out\" || exit 92
        exit $second";
    let volume = desk.path().join("volume");
    let out = desk.state("out");
    for path in [&volume, &out] {
        std::fs::create_dir_all(path).unwrap();
    }
    let state = volume.join("state");
    let file = desk.file();
    let worker = process::command(&run_arguments(&file, &state));
    let mut command = Command::new("unshare");
    command.args(flags).args(["sh", "-c", SCRIPT, "sh"]).args([&volume, &out]).arg(size);
    command.arg(worker.get_program()).args(worker.get_args()).env("NO_COLOR", "1");
    Worker::spawn(&mut command).ended()
}

/// What is said, by whom it hit first.
const FULL: [&str; 2] = [
    "no room left for the ledger; free disk space or enlarge the volume, then restart the worker",
    "paper book",
];

#[test]
fn a_full_disk_stops_the_run_and_with_more_room_it_goes_on_as_if_nothing_had_happened() {
    let Some(flags) = namespace() else {
        // The next test comes as near to it as can be.
        return;
    };
    let alone = Desk::new(BUSY, 150);
    let expected = alone.complete("alone");
    let books = Books::of(&alone.file(), &alone.state("alone"));
    // Full in the middle of the ledger's making, of the paper book's, and of trading.
    for size in ["60k", "200k", "400k", "600k", "900k"] {
        let desk = Desk::new(BUSY, 150);
        let ended = on_a_disk_of(size, &flags, &desk);
        assert_eq!(ended.code, Some(0), "{size}: {}", ended.err);
        assert!(ended.out.contains("first ended with 1\n"), "{size}: {}\n{}", ended.out, ended.err);
        let errors: Vec<&str> = ended.err.lines().filter(|line| line.starts_with("error: ")).collect();
        let [error] = errors[..] else { panic!("{size}: {errors:?}") };
        assert!(FULL.iter().any(|sentence| error.contains(sentence)), "{size}: {error}");
        assert!(error.contains("room") || error.contains("disk"), "{size}: {error}");
        assert_eq!(summary(&ended.out), expected, "{size}");
        Books::of(&desk.file(), &desk.state("out").join("state")).assert_same(&books, size);
    }
}

/// Where no disk can be mounted, a limit on the size of files is the next worse thing.
#[test]
fn a_file_that_may_not_grow_stops_the_run_and_without_the_limit_it_goes_on() {
    let alone = Desk::new(BUSY, 150);
    let expected = alone.complete("alone");
    let books = Books::of(&alone.file(), &alone.state("alone"));
    // In blocks of 512 bytes.
    for blocks in ["100", "400", "1000"] {
        let desk = Desk::new(BUSY, 150);
        let file = desk.file();
        let state = desk.state("state");
        let worker = process::command(&run_arguments(&file, &state));
        let mut command = Command::new("sh");
        // Without the trap the system would end the worker by a signal.
        command.args(["-c", "trap '' XFSZ; ulimit -f $1; shift; exec \"$@\"", "sh", blocks]);
        command.arg(worker.get_program()).args(worker.get_args()).env("NO_COLOR", "1");
        let ended = Worker::spawn(&mut command).ended();
        assert_eq!(ended.code, Some(1), "{blocks}: {ended:?}");
        let last = ended.last_words();
        assert!(last.starts_with("error: ") && names_the_file(last, &state), "{blocks}: {}", ended.err);
        assert_eq!(desk.complete("state"), expected, "{blocks}");
        Books::of(&desk.file(), &state).assert_same(&books, blocks);
    }
}

fn names_the_file(sentence: &str, state: &Path) -> bool {
    sentence.contains(state.to_str().unwrap()) || sentence.contains("paper book")
}
