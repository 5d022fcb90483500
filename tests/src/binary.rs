//! Where the binaries are, and that they are of the present sources.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// A program of ours.
struct Program {
    /// Its package and its binary.
    name: &'static str,
    /// Folders and files it is made of.
    sources: &'static [&'static str],
}

const WORKER: Program = Program {
    name: "tradewind-worker",
    sources: &["Cargo.lock", "Cargo.toml", "crds/Cargo.toml", "crds/src", "worker"],
};
const OPERATOR: Program = Program {
    name: "tradewind-operator",
    sources: &["Cargo.lock", "Cargo.toml", "crds/Cargo.toml", "crds/src", "worker/core", "operator"],
};

/// The worker of the same profile as this test, built when it is missing or older than its sources.
pub fn worker() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| found(&WORKER, &profile()))
}

/// The operator, as [`worker`].
pub fn operator() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| found(&OPERATOR, &profile()))
}

/// The worker as the images of tests and `make demo` have it; built when it is missing or older than its sources.
pub fn trial_worker() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| found(&WORKER, &profile().with_file_name(TRIAL)))
}

/// The operator, as [`trial_worker`].
pub fn trial_operator() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| found(&OPERATOR, &profile().with_file_name(TRIAL)))
}

/// The variable that names a folder whose programs are used as they are, whatever their sources say.
pub const BINARIES: &str = "TRADEWIND_BINARIES";

/// The folder of the profile of those.
const TRIAL: &str = "trial";

/// The folder of this test's profile: `…/target/debug/deps/kill-0123` lies beside `…/target/debug/tradewind-worker`, and
/// so does a program.
fn profile() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().unwrap();
    if folder.ends_with("deps") { folder.parent().unwrap().to_owned() } else { folder.to_owned() }
}

fn found(program: &Program, profile: &Path) -> PathBuf {
    if let Some(folder) = std::env::var_os(BINARIES).filter(|folder| !folder.is_empty()) {
        return Path::new(&folder).join(program.name);
    }
    let binary = profile.join(program.name);
    if !is_fresh(&binary, program.sources) {
        std::fs::create_dir_all(profile).unwrap();
        // One test builds, the others wait for it.
        let lock = File::create(profile.join(format!(".{}.lock", program.name))).unwrap();
        lock.lock().unwrap();
        if !is_fresh(&binary, program.sources) {
            build(profile, program.name);
        }
    }
    binary
}

fn build(profile: &Path, program: &str) {
    let name = match profile.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet"]);
    if name == TRIAL {
        // Both, as scripts/demo asks for them: one alone would have dependencies of other features.
        command.args(["--bins", "--package", OPERATOR.name, "--package", WORKER.name]);
    } else {
        command.args(["--package", program, "--bin", program]);
        if program == WORKER.name {
            command.args(["--features", "crash-points"]);
        }
    }
    command.args(["--profile", name, "--target-dir"]).arg(profile.parent().unwrap());
    let status = command.current_dir(root()).status().expect("cargo runs");
    assert!(status.success(), "{program} does not build");
    let binary = profile.join(program);
    // Cargo leaves a binary alone that would come out the same, and then it would be built by each test again.
    File::open(&binary).unwrap().set_modified(SystemTime::now()).unwrap();
}

fn is_fresh(binary: &Path, sources: &[&str]) -> bool {
    let modified = |metadata: Metadata| metadata.modified().unwrap();
    let Ok(built) = std::fs::metadata(binary).map(modified) else { return false };
    let mut paths: Vec<PathBuf> = sources.iter().map(|path| root().join(path)).collect();
    while let Some(path) = paths.pop() {
        // Tests and examples are not in the binary.
        if path.ends_with("tests") || path.ends_with("examples") {
            continue;
        }
        let metadata = std::fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            paths.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if modified(metadata) > built {
            return false;
        }
    }
    true
}

/// The folder of programs that `scripts/setup` has installed: of this checkout, or of the one that this is a copy of.
pub fn tools() -> PathBuf {
    std::env::var_os("TRADEWIND_TOOLS").map_or_else(|| root().join(".tools"), PathBuf::from)
}

/// The top of the workspace.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
