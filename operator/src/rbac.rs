//! What the operator may do, and why: the one list that the chart's roles and `docs/security.md` are generated from.
//!
//! Minimal: a verb nobody calls is not here, and there is none on Secrets. The operator also holds what it grants to
//! workers, since the API server lets nobody grant what he does not have (the alternative, `escalate`, is more).

use std::fmt::Write as _;

/// Where a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Where {
    /// In each namespace that is looked after: a ClusterRole, or one Role in each namespace of the list.
    LookedAfter,
    /// In the operator's own namespace only.
    OwnNamespace,
}

/// One rule with its reason.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Where it holds.
    pub place: Where,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resources.
    pub resources: &'static [&'static str],
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// What for.
    pub why: &'static str,
}

const READ: &[&str] = &["get", "list", "watch"];
const OWN: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

const fn rule(
    place: Where,
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    why: &'static str,
) -> Rule {
    Rule { place, group, resources, verbs, why }
}

/// All rules.
pub const RULES: &[Rule] = &[
    rule(
        Where::LookedAfter,
        "tradewind.dev",
        &["exchangeaccounts", "tradingstrategies", "riskpolicies"],
        &["get", "list", "watch", "patch"],
        "watch what people declare; patch puts the finalizer on and takes it off, and nothing else",
    ),
    rule(
        Where::LookedAfter,
        "tradewind.dev",
        &[
            "exchangeaccounts/status",
            "tradingstrategies/status",
            "riskpolicies/status",
            "tradinghalts/status",
        ],
        &["patch"],
        "say in the status what is the case; workers are granted those of strategies and of their account",
    ),
    rule(
        Where::LookedAfter,
        "tradewind.dev",
        &["tradinghalts"],
        &["get", "list", "watch", "create", "delete"],
        "watch halts, latch spec.halted, resume a halt that spec.resume names; granted to workers",
    ),
    rule(
        Where::LookedAfter,
        "",
        &["serviceaccounts", "services", "configmaps"],
        OWN,
        "the children of an account: whom its worker is, its endpoints, its configuration; workers read their ConfigMap",
    ),
    rule(
        Where::LookedAfter,
        "",
        &["persistentvolumeclaims"],
        &["get", "list", "watch", "create", "patch"],
        "the claim of an account's ledger; no delete, since it survives the account",
    ),
    rule(Where::LookedAfter, "apps", &["statefulsets"], OWN, "the worker of an account"),
    rule(Where::LookedAfter, "networking.k8s.io", &["networkpolicies"], OWN, "whom a worker may talk to"),
    rule(
        Where::LookedAfter,
        "rbac.authorization.k8s.io",
        &["roles", "rolebindings"],
        OWN,
        "what a worker may do; never more than the operator holds itself",
    ),
    rule(
        Where::LookedAfter,
        "",
        &["pods"],
        &["get", "list", "watch", "delete"],
        "see how a worker fares; delete the pod, by uid, that must be restarted to follow its configuration",
    ),
    rule(
        Where::LookedAfter,
        "coordination.k8s.io",
        &["leases"],
        &["get", "create", "update", "patch", "delete"],
        "granted to workers for their account's Lease; deleted with the account",
    ),
    rule(
        Where::LookedAfter,
        "events.k8s.io",
        &["events"],
        &["create", "patch"],
        "events about the objects; granted to workers",
    ),
    rule(
        Where::LookedAfter,
        "",
        &["events"],
        &["list"],
        "see in its events why a StatefulSet makes no pod, such as a quota; its status does not say",
    ),
    rule(
        Where::OwnNamespace,
        "tradewind.dev",
        &["tradinghalts"],
        READ,
        "halts made here reach every namespace; granted to workers",
    ),
    rule(
        Where::OwnNamespace,
        "tradewind.dev",
        &["tradinghalts/status"],
        &["patch"],
        "say whom such a halt reaches",
    ),
    rule(
        Where::OwnNamespace,
        "rbac.authorization.k8s.io",
        &["roles", "rolebindings"],
        OWN,
        "let the workers of each namespace read the halts made here",
    ),
    rule(
        Where::OwnNamespace,
        "coordination.k8s.io",
        &["leases"],
        &["get", "create", "update"],
        "one replica leads",
    ),
    rule(
        Where::OwnNamespace,
        "events.k8s.io",
        &["events"],
        &["create", "patch"],
        "events about halts made here",
    ),
];

/// The rules as the chart reads them: two lists of Kubernetes' own shape.
pub fn chart_values() -> String {
    let mut text = String::from(
        "# What the operator may do. Generated from operator/src/rbac.rs by make golden; the reasons are in docs/security.md.\n",
    );
    for (place, name) in [(Where::LookedAfter, "lookedAfter"), (Where::OwnNamespace, "ownNamespace")] {
        let _ = writeln!(text, "{name}:");
        for rule in RULES.iter().filter(|rule| rule.place == place) {
            let _ = writeln!(text, "  - apiGroups: [\"{}\"]", rule.group);
            let _ = writeln!(text, "    resources: [{}]", rule.resources.join(", "));
            let _ = writeln!(text, "    verbs: [{}]", rule.verbs.join(", "));
        }
    }
    text
}

/// The rules as a table for people.
pub fn table() -> String {
    let mut text = String::from("| where | resources | verbs | what for |\n|---|---|---|---|\n");
    for rule in RULES {
        let place = match rule.place {
            Where::LookedAfter => "namespaces looked after",
            Where::OwnNamespace => "own namespace",
        };
        let group = if rule.group.is_empty() { "core" } else { rule.group };
        let resources: Vec<String> = rule.resources.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(
            text,
            "| {place} | {group}: {} | {} | {} |",
            resources.join(", "),
            rule.verbs.join(", "),
            rule.why
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_be_done_with_secrets_and_nothing_is_a_wildcard() {
        for rule in RULES {
            assert!(!rule.resources.iter().any(|name| name.contains("secret")), "{rule:?}");
            assert!(!rule.resources.contains(&"*") && !rule.verbs.contains(&"*"), "{rule:?}");
            assert!(
                !rule.verbs.iter().any(|verb| ["escalate", "bind", "impersonate"].contains(verb)),
                "{rule:?}"
            );
            assert!(!rule.why.is_empty());
        }
    }

    #[test]
    fn the_ledger_of_an_account_cannot_be_deleted() {
        let claims = RULES.iter().filter(|rule| rule.resources.contains(&"persistentvolumeclaims"));
        assert_eq!(claims.clone().count(), 1);
        assert!(claims.clone().all(|rule| !rule.verbs.contains(&"delete")));
    }

    #[test]
    fn what_the_chart_reads_is_yaml_with_two_lists_of_rules() {
        type Rules = Vec<std::collections::BTreeMap<String, Vec<String>>>;
        let values: std::collections::BTreeMap<String, Rules> =
            serde_saphyr::from_str(&chart_values()).unwrap();
        assert_eq!(values.keys().collect::<Vec<_>>(), ["lookedAfter", "ownNamespace"]);
        assert_eq!(values.values().map(Vec::len).sum::<usize>(), RULES.len());
        let claims =
            values["lookedAfter"].iter().find(|rule| rule["resources"] == ["persistentvolumeclaims"]);
        assert_eq!(claims.unwrap()["apiGroups"], [""]);
    }
}
