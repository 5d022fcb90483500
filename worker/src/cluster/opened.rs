//! Which ledger this pod had open: a note that a process leaves to the next one of the same pod.
//!
//! It promises that a container which is started again can tell the ledger that it had from one it never had. The note lies
//! with the pod, never in the data directory, which a later pod shares.

use std::path::{Path, PathBuf};

use tradewind_core::order::Incarnation;

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

    /// The tag of the ledger that this pod last opened; none for the first process of a pod.
    pub(crate) fn read(&self) -> Option<Incarnation> {
        std::fs::read_to_string(&self.0).ok()?.parse().ok().map(Incarnation)
    }

    /// Notes that it was opened. Without the note the next process of this pod takes the ledger also from a pod that has
    /// opened it since; that one commits nothing more then, and ends.
    pub(crate) fn write(&self, incarnation: Incarnation) {
        if self.read() == Some(incarnation) {
            return;
        }
        let new = self.0.with_extension("new");
        let written = std::fs::write(&new, incarnation.0.to_string());
        if let Err(error) = written.and_then(|()| std::fs::rename(&new, &self.0)) {
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
        for tag in [u32::MAX, 0, 0] {
            opened.write(Incarnation(tag));
            assert_eq!(Opened::within(dir.path()).read(), Some(Incarnation(tag)));
        }
        std::fs::write(dir.path().join(FILE), "what?").unwrap();
        assert_eq!(opened.read(), None);
    }
}
