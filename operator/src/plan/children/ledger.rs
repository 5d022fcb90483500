//! The volume the ledger lies on.
//!
//! An object of its own and no template of the StatefulSet: such claims cannot grow, and they go or stay by the
//! StatefulSet's rules. `ReadWriteOnce`, which every storage class has; `ReadWriteOncePod` would keep a second pod out,
//! but many classes refuse it, and one writer is already certain: by the StatefulSet's name, the Lease, the lock on the file
//! and the ledger's epoch.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tradewind_crds::exchange_account::{Ledger, SqliteLedger};
use tradewind_crds::names;

use super::{Source, metadata};

/// None where nothing is kept beside the worker: at a real venue with a ledger in a database. A paper book is a file.
pub(super) fn claim(source: &Source<'_>) -> Option<PersistentVolumeClaim> {
    let own = SqliteLedger::default();
    let sqlite = match source.ledger {
        Ledger::Sqlite(sqlite) => sqlite,
        Ledger::Mysql(_) if source.account.venue.is_paper() => &own,
        Ledger::Mysql(_) => return None,
    };
    let size = larger(&sqlite.size, source.ledger_size);
    Some(PersistentVolumeClaim {
        metadata: metadata(source, names::ledger_claim(&source.key.name)),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.to_owned()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: sqlite.storage_class_name.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
}

/// The larger of what is wanted and what the claim has: an account that was made again may ask for less than the claim
/// that outlived the first, and a claim cannot shrink.
fn larger<'a>(wanted: &'a str, live: Option<&'a str>) -> &'a str {
    match live {
        Some(live) if bytes(live) > bytes(wanted) => live,
        _ => wanted,
    }
}

/// A Kubernetes quantity of storage in bytes; zero when it is not one we know.
fn bytes(quantity: &str) -> u128 {
    const UNITS: [(&str, u128); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let unit = UNITS.into_iter().find_map(|(unit, size)| Some((quantity.strip_suffix(unit)?, size)));
    let (number, size) = unit.unwrap_or((quantity, 1));
    number.parse::<u128>().map_or(0, |number| number.saturating_mul(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_grows_and_never_shrinks() {
        assert_eq!(larger("1Gi", None), "1Gi");
        assert_eq!(larger("2Gi", Some("1Gi")), "2Gi");
        assert_eq!(larger("1Gi", Some("2Gi")), "2Gi");
        assert_eq!(larger("1Gi", Some("1073741824")), "1Gi");
        assert_eq!(larger("1Gi", Some("1500Mi")), "1500Mi");
        assert_eq!(larger("1Ti", Some("999G")), "1Ti");
        assert_eq!(larger("1Gi", Some("1e12")), "1Gi", "a way of writing we never use says nothing");
    }
}
