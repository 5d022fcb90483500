//! The images that the tests run, packed once and whenever their programs change. These are of the trial profile: features
//! and the end at a panic are those of a release, and the compiler optimises less, for a release takes three times as long.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use tradewind_tests::binary;
use tradewind_tests::cluster::Cluster;

/// The tag of both images.
pub(crate) const TAG: &str = "e2e";

/// Brings both images into every node.
pub(crate) async fn load(cluster: &Cluster) {
    let archives = tokio::task::spawn_blocking(|| {
        [("operator", binary::trial_operator()), ("worker", binary::trial_worker())]
            .map(|(name, program)| packed(name, program))
    });
    for archive in archives.await.expect("both can be packed") {
        cluster.load_image(&archive).await;
    }
}

/// The archive of a component, packed anew when the program or what packs it is newer.
fn packed(component: &str, program: &Path) -> PathBuf {
    let folder = program.parent().unwrap().join("e2e-images");
    fs::create_dir_all(&folder).unwrap();
    let archive = folder.join(format!("{component}.tar"));
    // One test packs, the others wait for it.
    let lock = File::create(folder.join(format!("{component}.lock"))).unwrap();
    lock.lock().unwrap();
    let script = binary::root().join("scripts/image");
    let newest = modified(program).max(modified(&script));
    if modified(&archive) < newest {
        let mut pack = Command::new(script);
        pack.arg(component).arg("--binary").arg(program).arg("--out").arg(&folder).args(["--tag", TAG]);
        let ran = pack.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    archive
}

/// When a file was changed last; long ago when it is not there.
fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
