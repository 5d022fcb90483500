//! Finding strategies by the name people know them by.

use std::collections::BTreeMap;

use tradewind_core::engine::StrategyView;

use crate::snapshot::Snapshot;

/// One strategy a name, in the order of names. A removed one gives way to one of its name that exists.
pub(super) fn by_name(snapshot: &Snapshot) -> BTreeMap<&str, &StrategyView> {
    let mut named: BTreeMap<&str, &StrategyView> = BTreeMap::new();
    for view in &snapshot.strategies {
        let shown = named.entry(view.config.name.as_str()).or_insert(view);
        if !shown.present {
            *shown = view;
        }
    }
    named
}
