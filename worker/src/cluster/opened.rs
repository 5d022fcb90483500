//! Which ledger this pod had open: a note that a process leaves to the next one of the same pod.
//!
//! It promises that a container which is started again can tell a ledger that nobody else has had since from one that a
//! later pod has taken over. The note lies with the pod, never in the data directory, which a later pod shares.

use std::path::{Path, PathBuf};

use tradewind_core::order::{Epoch, Incarnation};
use tradewind_core::recovery::LedgerIdentity;

/// The note, in the folder that lives as long as the pod.
const FILE: &str = "tradewind-opened-ledger";

/// Where the note of this pod lies.
#[derive(Debug, Clone)]
pub(crate) struct Opened(PathBuf);

impl Opened {
    /// In the pod's own folder.
    pub(crate) fn within(pod_dir: &Path) -> Self {
        Self(pod_dir.join(FILE))
    }

    /// The ledger as this pod last opened it; none for a process that is its first.
    pub(crate) fn read(&self) -> Option<LedgerIdentity> {
        let text = std::fs::read_to_string(&self.0).ok()?;
        let (incarnation, epoch) = text.split_once(' ')?;
        let incarnation = Incarnation(incarnation.parse().ok()?);
        Some(LedgerIdentity { incarnation, epoch: Epoch(epoch.parse().ok()?) })
    }

    /// Notes that it was opened. Without the note the next process of this pod does not know that another came in between,
    /// which the epoch of each commit still does.
    pub(crate) fn write(&self, identity: LedgerIdentity) {
        let LedgerIdentity { incarnation, epoch } = identity;
        if let Err(error) = std::fs::write(&self.0, format!("{} {}", incarnation.0, epoch.0)) {
            tracing::warn!(path = %self.0.display(), %error, "the opening of the ledger is not noted for the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_process_of_a_pod_reads_what_the_one_before_noted() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Opened::within(dir.path());
        assert_eq!(opened.read(), None, "the first of its pod");
        for epoch in [3, 4] {
            let identity = LedgerIdentity { incarnation: Incarnation(u32::MAX), epoch: Epoch(epoch) };
            opened.write(identity);
            assert_eq!(Opened::within(dir.path()).read(), Some(identity));
        }
        std::fs::write(dir.path().join(FILE), "7").unwrap();
        assert_eq!(opened.read(), None, "half a note is none");
    }
}
