//! What one watch event of a strategy asks for: a latch, a resumption, or that a revert is told.
//!
//! Pure, and decided on the raw event: what the stores have a moment later may already say something else. An edge is
//! what counts, not the level: a field that stays true is latched once, and the pass over the strategy sees to the rest.

use tradewind_crds::latch::{self, TakenBack};
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

/// What one event asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// `spec.halted` became true.
    Latch {
        /// The latch to make.
        latch: Box<TradingHalt>,
        /// Whether it was seen to become true, and not only found so.
        became: bool,
    },
    /// `spec.halted` was taken back by that manager: the latch stays, and that is told.
    Revert {
        /// Who took it back, as far as can be told.
        by: Option<TakenBack>,
        /// The halt that `spec.resume` names: if it is the latch, nothing was ignored.
        resume: Option<String>,
    },
    /// `spec.resume` names this halt now.
    Resume {
        /// The uid it names.
        uid: String,
        /// Who asks, as far as known.
        by: String,
        /// Whether `spec.halted` is true in the same breath, so that nothing is resumed.
        halted: bool,
    },
}

/// Decides on one event. `before` is the state before it, none when it is not known; `now` has its managedFields.
pub fn decide(before: Option<&TradingStrategy>, now: &TradingStrategy) -> Option<Act> {
    // Another object of the same name says nothing about this one.
    let before = before.filter(|before| before.metadata.uid == now.metadata.uid);
    let halted = |strategy: &TradingStrategy| strategy.spec.halted == Some(true);
    let (was, is) = (before.is_some_and(halted), halted(now));
    if is && !was {
        return Some(Act::Latch { latch: Box::new(latch::of(now)), became: before.is_some() });
    }
    // At first sight an old request cannot be told from a new one; the pass over the strategy carries it out.
    let asked = before.is_some_and(|before| before.spec.resume != now.spec.resume);
    if let Some(resume) = now.spec.resume.as_ref().filter(|_| asked) {
        let by = latch::resumed_by(&now.metadata).unwrap_or_default();
        return Some(Act::Resume { uid: resume.halt_id.0.clone(), by, halted: is });
    }
    (was && !is).then(|| Act::Revert {
        by: latch::taken_back_by(&now.metadata),
        resume: now.spec.resume.as_ref().map(|resume| resume.halt_id.0.clone()),
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
    use serde_json::json;
    use tradewind_crds::common::HaltAction;
    use tradewind_crds::trading_halt::Target;

    use super::*;
    use crate::plan::fixtures::{strategy, uid};

    fn by(manager: &str, fields: &serde_json::Value) -> Vec<ManagedFieldsEntry> {
        let entry = json!([{"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:05Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields}]);
        serde_json::from_value(entry).unwrap()
    }

    fn state(halted: Option<bool>, resume: Option<&str>) -> TradingStrategy {
        let mut strategy = strategy("btc");
        strategy.metadata.generation = Some(7);
        strategy.spec.halted = halted;
        strategy.spec.resume = resume.map(|id| serde_json::from_value(json!({"haltID": uid(id)})).unwrap());
        strategy
    }

    fn kind(act: Option<&Act>) -> &'static str {
        match act {
            None => "nothing",
            Some(Act::Latch { .. }) => "latch",
            Some(Act::Revert { .. }) => "revert",
            Some(Act::Resume { halted: false, .. }) => "resume",
            Some(Act::Resume { halted: true, .. }) => "resume while halted",
        }
    }

    #[test]
    fn events_and_what_they_ask_for() {
        let (yes, no, gone) = (Some(true), Some(false), None);
        let cases = [
            ("set", Some((gone, None)), (yes, None), "latch"),
            ("set from false", Some((no, None)), (yes, None), "latch"),
            ("made with it", None, (yes, None), "latch"),
            ("made with it and an old request", None, (yes, Some("a")), "latch"),
            ("stays", Some((yes, None)), (yes, None), "nothing"),
            ("taken back by false", Some((yes, None)), (no, None), "revert"),
            ("taken back by removal", Some((yes, None)), (gone, None), "revert"),
            ("never set", Some((gone, None)), (no, None), "nothing"),
            ("made without", None, (gone, None), "nothing"),
            ("resumed by name", Some((yes, None)), (gone, Some("a")), "resume"),
            ("resumed after the field was taken back", Some((gone, None)), (gone, Some("a")), "resume"),
            ("another request", Some((gone, Some("a"))), (gone, Some("b")), "resume"),
            ("the old request stays", Some((gone, Some("a"))), (gone, Some("a")), "nothing"),
            ("the request is taken away", Some((gone, Some("a"))), (gone, None), "nothing"),
            ("halted again, the old request stays", Some((gone, Some("a"))), (yes, Some("a")), "latch"),
            ("taken back, the old request stays", Some((yes, Some("a"))), (gone, Some("a")), "revert"),
            ("halted and resumed in one breath", Some((gone, None)), (yes, Some("a")), "latch"),
            ("resumed while halted", Some((yes, None)), (yes, Some("a")), "resume while halted"),
            ("an old request seen first", None, (gone, Some("a")), "nothing"),
        ];
        for (case, before, (halted, resume), expected) in cases {
            let before = before.map(|(halted, resume)| state(halted, resume));
            let found = decide(before.as_ref(), &state(halted, resume));
            assert_eq!(kind(found.as_ref()), expected, "{case}");
        }
    }

    #[test]
    fn a_patch_and_its_revert_a_moment_later_are_two_events_and_the_first_latches() {
        let (plain, set, back) = (state(None, None), state(Some(true), None), state(None, None));
        assert_eq!(kind(decide(Some(&plain), &set).as_ref()), "latch");
        assert_eq!(kind(decide(Some(&set), &back).as_ref()), "revert");
    }

    #[test]
    fn a_strategy_made_again_under_its_name_is_looked_at_afresh() {
        let halted = state(Some(true), None);
        let mut again = state(Some(true), None);
        again.metadata.uid = Some(uid("another"));
        assert_eq!(kind(decide(Some(&halted), &again).as_ref()), "latch");
        again.spec.halted = None;
        assert_eq!(kind(decide(Some(&halted), &again).as_ref()), "nothing", "nobody took anything back");
    }

    #[test]
    fn the_latch_names_who_and_when_and_belongs_to_nobody() {
        let mut set = state(Some(true), None);
        set.metadata.managed_fields = Some(by("kubectl-patch", &json!({"f:spec": {"f:halted": {}}})));
        set.metadata.labels = Some([("app.kubernetes.io/instance".to_owned(), "desk".to_owned())].into());
        let Some(Act::Latch { latch, .. }) = decide(None, &set) else { panic!("no latch") };
        assert_eq!(latch.metadata.name.as_deref(), Some("strategy.btc.latched"));
        assert_eq!(latch.metadata.namespace.as_deref(), Some("desk"));
        assert_eq!((&latch.metadata.labels, &latch.metadata.annotations), (&None, &None));
        assert_eq!(latch.metadata.owner_references, None);
        assert_eq!(latch.spec.target, Target::Strategy("btc".into()));
        assert_eq!(latch.spec.action, HaltAction::CancelEntries);
        assert_eq!(latch.spec.reason, "spec.halted was set by kubectl-patch at generation 7");
        assert_eq!(latch.spec.requested_by, "kubectl-patch");
        set.metadata.managed_fields = None;
        let Some(Act::Latch { latch, .. }) = decide(None, &set) else { panic!("no latch") };
        assert_eq!(latch.spec.reason, "spec.halted was set at generation 7");
    }

    #[test]
    fn who_took_it_back_is_named() {
        let mut back = state(Some(false), None);
        back.metadata.managed_fields = Some(by("argocd-controller", &json!({"f:spec": {"f:halted": {}}})));
        let found = decide(Some(&state(Some(true), None)), &back);
        let by_argo = TakenBack { by: "argocd-controller".to_owned(), wrote: None };
        assert_eq!(found, Some(Act::Revert { by: Some(by_argo), resume: None }));
        let mut asks = state(None, Some("a"));
        asks.metadata.managed_fields =
            Some(by("kubectl-patch", &json!({"f:spec": {"f:resume": {"f:haltID": {}}}})));
        let found = decide(Some(&state(Some(true), None)), &asks);
        assert_eq!(found, Some(Act::Resume { uid: uid("a"), by: "kubectl-patch".to_owned(), halted: false }));
    }
}
