//! Drops from objects what nobody here reads and what makes up most of them.

use kube::ResourceExt;

/// `kubectl apply`'s copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops managedFields and `kubectl`'s copy of the object.
pub fn lean(object: &mut impl ResourceExt) {
    object.meta_mut().managed_fields = None;
    let annotations = object.annotations_mut();
    annotations.remove(LAST_APPLIED);
    if annotations.is_empty() {
        object.meta_mut().annotations = None;
    }
}
