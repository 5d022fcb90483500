//! Who the worker is and what it may do: no more than it does. It may read no Secret.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tradewind_crds::common::GROUP;
use tradewind_crds::names;

use super::{HaltReader, Source, metadata};

const RBAC: &str = "rbac.authorization.k8s.io";

/// The worker's identity and what it may do in its own namespace.
pub(super) struct Access {
    pub service_account: ServiceAccount,
    pub role: Role,
    pub role_binding: RoleBinding,
}

pub(super) fn worker(source: &Source<'_>) -> Access {
    let name = names::worker(&source.key.name);
    let annotations = &source.settings.worker.service_account_annotations;
    Access {
        service_account: ServiceAccount {
            metadata: ObjectMeta {
                annotations: if annotations.is_empty() { None } else { Some(annotations.clone()) },
                ..metadata(source, name.clone())
            },
            // The pod mounts a token itself, so that nobody else's pod gets one by naming this account.
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        },
        role: Role { metadata: metadata(source, name.clone()), rules: Some(rules(&source.key.name)) },
        role_binding: RoleBinding {
            metadata: metadata(source, name.clone()),
            role_ref: role_ref(&name),
            subjects: Some(vec![subject(&source.key.namespace, &source.key.name)]),
        },
    }
}

/// Each line is something the worker does: it reads its configuration, its strategies and halts, makes and clears halts,
/// reports, and holds the account's Lease. `create` cannot be limited to a name.
fn rules(account: &str) -> Vec<PolicyRule> {
    let config = names::config_map(account);
    let lease = names::worker(account);
    vec![
        rule("", &["configmaps"], &[&config], &["get", "list", "watch"]),
        rule(GROUP, &["tradingstrategies"], &[], &["get", "list", "watch"]),
        rule(GROUP, &["tradingstrategies/status"], &[], &["patch"]),
        rule(GROUP, &["exchangeaccounts"], &[account], &["get"]),
        rule(GROUP, &["exchangeaccounts/status"], &[account], &["patch"]),
        rule(GROUP, &["tradinghalts"], &[], &["get", "list", "watch", "create", "delete"]),
        rule("coordination.k8s.io", &["leases"], &[], &["create"]),
        rule("coordination.k8s.io", &["leases"], &[&lease], &["get", "update", "patch", "delete"]),
        rule("events.k8s.io", &["events"], &[], &["create", "patch"]),
    ]
}

/// Role and binding in the operator's namespace: the workers of the accounts listed read the halts there.
pub(super) fn halt_reader(
    namespace: &str,
    operator_namespace: &str,
    accounts: &[String],
) -> Option<HaltReader> {
    if namespace == operator_namespace {
        return None;
    }
    let name = names::halt_reader(namespace);
    let metadata = || ObjectMeta {
        name: Some(name.clone()),
        namespace: Some(operator_namespace.to_owned()),
        labels: Some([(names::COMPONENT_LABEL.to_owned(), names::COMPONENT_WORKER.to_owned())].into()),
        ..ObjectMeta::default()
    };
    Some(HaltReader {
        role: Role {
            metadata: metadata(),
            rules: Some(vec![rule(GROUP, &["tradinghalts"], &[], &["get", "list", "watch"])]),
        },
        binding: RoleBinding {
            metadata: metadata(),
            role_ref: role_ref(&name),
            subjects: Some(accounts.iter().map(|account| subject(namespace, account)).collect()),
        },
    })
}

fn rule(group: &str, resources: &[&str], names: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        resource_names: if names.is_empty() { None } else { Some(owned(names)) },
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

fn role_ref(name: &str) -> RoleRef {
    RoleRef { api_group: RBAC.to_owned(), kind: "Role".to_owned(), name: name.to_owned() }
}

fn subject(namespace: &str, account: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: names::worker(account),
        namespace: Some(namespace.to_owned()),
        ..Subject::default()
    }
}
