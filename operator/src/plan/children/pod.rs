//! The worker itself: a StatefulSet of one.
//!
//! A StatefulSet and nothing else, because the name of its pod stays taken until the kubelet confirms that the old one
//! has ended. `OnDelete`: the operator decides when a worker is replaced, so that an upgrade of the operator does not end
//! what trades. No `PodDisruptionBudget`: one for a single pod would block every drain of its node.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, ConfigMapVolumeSource, Container, ContainerPort,
    DownwardAPIProjection, DownwardAPIVolumeFile, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    KeyToPath, LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, ResourceRequirements,
    SeccompProfile, SecretVolumeSource, SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tradewind_core::config::{BusConfig, LedgerConfig, VenueConfig};
use tradewind_crds::exchange_account::{ResourceAmounts, Resources};
use tradewind_crds::names;

use super::{HEALTH_PORT, PORTS, Source, WORKER_UID, labels, metadata, restart_hash, selector};

const CONTAINER: &str = "worker";
const CONFIG_DIR: &str = "/etc/tradewind/config";
/// Where the key of a real venue is mounted.
const CREDENTIALS_DIR: &str = "/etc/tradewind/credentials";
/// Where user and password of the ledger's database are mounted.
const LEDGER_CREDENTIALS_DIR: &str = "/etc/tradewind/ledger-credentials";
const DATA_DIR: &str = "/var/lib/tradewind";
const MARKET_DATA_DIR: &str = "/usr/share/tradewind/data";
const BUS_DIR: &str = "/etc/tradewind/bus";
const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The entries of its Secret.
pub(crate) const CREDENTIALS: [&str; 2] = ["apiKey", "apiSecret"];
/// Time to cancel entries, write the ledger and give the Lease back.
const GRACE_SECONDS: i64 = 30;
/// The shortest life the API server issues without complaint; the kubelet renews it at four fifths.
const TOKEN_SECONDS: i64 = 3_607;

pub(super) fn stateful_set(source: &Source<'_>) -> StatefulSet {
    let account = &source.key.name;
    StatefulSet {
        metadata: metadata(source, names::stateful_set(account)),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            pod_management_policy: Some("OrderedReady".to_owned()),
            revision_history_limit: Some(2),
            selector: LabelSelector { match_labels: Some(selector(account)), ..LabelSelector::default() },
            service_name: Some(names::worker(account)),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(source)),
                    annotations: Some(
                        [
                            (names::RESTART_HASH.to_owned(), restart_hash(source)),
                            (names::WORKER_IMAGE.to_owned(), source.settings.worker.image.clone()),
                            ("kubectl.kubernetes.io/default-container".to_owned(), CONTAINER.to_owned()),
                        ]
                        .into(),
                    ),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(source)),
            },
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn pod(source: &Source<'_>) -> PodSpec {
    let settings = &source.settings.worker;
    let secrets: Vec<_> =
        settings.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    PodSpec {
        service_account_name: Some(names::worker(&source.key.name)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        priority_class_name: settings.priority_class.clone(),
        image_pull_secrets: if secrets.is_empty() { None } else { Some(secrets) },
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(WORKER_UID),
            run_as_group: Some(WORKER_UID),
            fs_group: Some(WORKER_UID),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(source)],
        volumes: Some(volumes(source)),
        ..PodSpec::default()
    }
}

fn container(source: &Source<'_>) -> Container {
    let settings = &source.settings.worker;
    let port = |(name, number): (&str, u16)| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some(settings.image_pull_policy.clone()),
        args: Some(args(source)),
        env: Some(vec![
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("POD_UID", "metadata.uid"),
            EnvVar {
                name: "TRADEWIND_LOG".to_owned(),
                value: Some(settings.log.clone()),
                ..EnvVar::default()
            },
        ]),
        ports: Some(PORTS.into_iter().map(port).collect()),
        resources: resources(&source.worker.resources, &settings.resources),
        // Start-up asks whether the process answers, not whether it is ready: a worker that waits for a person to vouch for
        // its ledger must not be killed for it. One whose venue or database is away when it starts ends by itself, and says so.
        startup_probe: Some(probe("/livez", 1, 300)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/health", 5, 2)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            ..SecurityContext::default()
        }),
        // The last lines of the log are the reason of a crash that the status shows.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts(source)),
        ..Container::default()
    }
}

fn args(source: &Source<'_>) -> Vec<String> {
    let pairs = [
        ("--account", source.key.name.as_str()),
        ("--namespace", &source.key.namespace),
        ("--config-dir", CONFIG_DIR),
        ("--data-dir", DATA_DIR),
        ("--market-data", MARKET_DATA_DIR),
    ];
    let bus = bus_secret(source).map(|_| ("--bus-credentials", BUS_DIR));
    let key = credentials(source).map(|_| ("--credentials", CREDENTIALS_DIR));
    let user = database(source).map(|_| ("--ledger-credentials", LEDGER_CREDENTIALS_DIR));
    let pairs = pairs.into_iter().chain(key).chain(user).chain(bus);
    let pairs = pairs.flat_map(|(name, value)| [name.to_owned(), value.to_owned()]);
    std::iter::once("cluster".to_owned()).chain(pairs).collect()
}

/// The Secret with the key of a real venue.
fn credentials<'a>(source: &Source<'a>) -> Option<&'a str> {
    match &source.account.venue {
        VenueConfig::Paper(_) => None,
        VenueConfig::BinanceUs(venue) => Some(&venue.credentials),
    }
}

/// The Secret with the user of the ledger's database.
fn database<'a>(source: &Source<'a>) -> Option<&'a str> {
    match &source.account.ledger {
        LedgerConfig::Sqlite => None,
        LedgerConfig::Mysql(server) => Some(&server.credentials),
    }
}

fn mounts(source: &Source<'_>) -> Vec<VolumeMount> {
    let mut mounts = vec![
        mount("config", CONFIG_DIR, true),
        mount("ledger", DATA_DIR, false),
        mount("tmp", "/tmp", false),
        mount("token", TOKEN_DIR, true),
    ];
    mounts.extend(credentials(source).map(|_| mount("credentials", CREDENTIALS_DIR, true)));
    mounts.extend(bus_secret(source).map(|_| mount("bus", BUS_DIR, true)));
    mounts.extend(database(source).map(|_| mount("ledger-credentials", LEDGER_CREDENTIALS_DIR, true)));
    mounts
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(HEALTH_PORT.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failures),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// The Secret that the account's bus names.
fn bus_secret<'a>(source: &Source<'a>) -> Option<&'a str> {
    let Some(BusConfig::Redis(redis)) = &source.account.bus else { return None };
    redis.credentials.as_deref()
}

/// A Secret that is missing keeps events from being told, and must not keep the pod from trading: it is optional, and
/// appears in the running pod when it is made.
fn bus(secret: &str) -> Volume {
    Volume {
        name: "bus".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            optional: Some(true),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn volumes(source: &Source<'_>) -> Vec<Volume> {
    let account = &source.key.name;
    let mut volumes = vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names::config_map(account),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        data(source),
        Volume {
            name: "tmp".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity("64Mi".to_owned())),
                ..EmptyDirVolumeSource::default()
            }),
            ..Volume::default()
        },
        token(),
    ];
    volumes.extend(credentials(source).map(|secret| Volume {
        name: "credentials".to_owned(),
        // By its entries and not optional: the pod waits for a Secret that has both. The operator never reads it.
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(0o440),
            items: Some(CREDENTIALS.map(entry).to_vec()),
            optional: Some(false),
        }),
        ..Volume::default()
    }));
    volumes.extend(bus_secret(source).map(bus));
    volumes.extend(database(source).map(|secret| Volume {
        name: "ledger-credentials".to_owned(),
        // Whole: whether there is an authority in it is the person's choice.
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(0o440),
            optional: Some(false),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }));
    volumes
}

/// Where the worker's own files lie: on the claim, or, where nothing of them is worth keeping, with the pod.
fn data(source: &Source<'_>) -> Volume {
    let name = "ledger".to_owned();
    if super::ledger::claim(source).is_none() {
        let own = EmptyDirVolumeSource {
            size_limit: Some(Quantity("64Mi".to_owned())),
            ..EmptyDirVolumeSource::default()
        };
        return Volume { name, empty_dir: Some(own), ..Volume::default() };
    }
    let claim = PersistentVolumeClaimVolumeSource {
        claim_name: names::ledger_claim(&source.key.name),
        ..PersistentVolumeClaimVolumeSource::default()
    };
    Volume { name, persistent_volume_claim: Some(claim), ..Volume::default() }
}

fn entry(key: &str) -> KeyToPath {
    KeyToPath { key: key.to_owned(), path: key.to_owned(), ..KeyToPath::default() }
}

/// What a pod gets when its token is mounted by itself, with a token that ends.
fn token() -> Volume {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            expiration_seconds: Some(TOKEN_SECONDS),
            path: "token".to_owned(),
            ..ServiceAccountTokenProjection::default()
        }),
        ..VolumeProjection::default()
    };
    let roots = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: "kube-root-ca.crt".to_owned(),
            items: Some(vec![KeyToPath {
                key: "ca.crt".to_owned(),
                path: "ca.crt".to_owned(),
                ..KeyToPath::default()
            }]),
            ..ConfigMapProjection::default()
        }),
        ..VolumeProjection::default()
    };
    let namespace = VolumeProjection {
        downward_api: Some(DownwardAPIProjection {
            items: Some(vec![DownwardAPIVolumeFile {
                path: "namespace".to_owned(),
                field_ref: Some(ObjectFieldSelector {
                    field_path: "metadata.namespace".to_owned(),
                    ..ObjectFieldSelector::default()
                }),
                ..DownwardAPIVolumeFile::default()
            }]),
        }),
        ..VolumeProjection::default()
    };
    Volume {
        name: "token".to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(vec![token, roots, namespace]),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The account's own amounts, each gap filled by the operator's.
fn resources(own: &Resources, defaults: &Resources) -> Option<ResourceRequirements> {
    let amounts = |own: &Option<ResourceAmounts>, default: &Option<ResourceAmounts>| {
        let own = own.clone().unwrap_or_default();
        let default = default.clone().unwrap_or_default();
        let cpu = own.cpu.or(default.cpu).map(|cpu| ("cpu".to_owned(), Quantity(cpu.0)));
        let memory = own.memory.or(default.memory).map(|memory| ("memory".to_owned(), Quantity(memory.0)));
        let all: std::collections::BTreeMap<_, _> = cpu.into_iter().chain(memory).collect();
        if all.is_empty() { None } else { Some(all) }
    };
    let requests = amounts(&own.requests, &defaults.requests);
    let limits = amounts(&own.limits, &defaults.limits);
    (requests.is_some() || limits.is_some()).then(|| ResourceRequirements {
        requests,
        limits,
        ..ResourceRequirements::default()
    })
}
