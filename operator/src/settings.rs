//! How the operator was started: arguments and environment to one checked value.
//!
//! Everything is checked here, once; the rest of the program reads [`Settings`] and never the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Parser;
use tradewind_crds::exchange_account::{CpuQuantity, MemoryQuantity, ResourceAmounts, Resources};

/// Brings about what ExchangeAccounts, TradingStrategies, RiskPolicies and TradingHalts say.
#[derive(Debug, Clone, Parser)]
#[expect(clippy::doc_markdown, reason = "--help shows these comments, backticks and all")]
#[command(name = "tradewind-operator", version, about)]
pub struct Args {
    /// Namespace the operator runs in. A halt with target cluster made there reaches every namespace.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    pub namespace: String,
    /// Name of this replica, unique among the replicas: its pod's.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: String,
    /// Namespaces to look after, separated by commas. Left out: all.
    #[arg(long, env = "TRADEWIND_NAMESPACES", value_name = "NAMES", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// Image of the workers.
    #[arg(long, env = "TRADEWIND_WORKER_IMAGE", value_name = "IMAGE")]
    pub worker_image: String,
    /// When nodes pull the workers' image.
    #[arg(long, env = "TRADEWIND_WORKER_IMAGE_PULL_POLICY", value_name = "POLICY", default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"])]
    pub worker_image_pull_policy: String,
    /// Names of Secrets, in the accounts' namespaces, that nodes pull the workers' image with; separated by commas.
    #[arg(long, env = "TRADEWIND_WORKER_IMAGE_PULL_SECRETS", value_name = "NAMES", value_delimiter = ',')]
    pub worker_image_pull_secrets: Vec<String>,
    /// Processor set aside for a worker whose account does not say.
    #[arg(long, env = "TRADEWIND_WORKER_CPU_REQUEST", value_name = "QUANTITY", default_value = "50m")]
    pub worker_cpu_request: String,
    /// Memory set aside for a worker whose account does not say.
    #[arg(long, env = "TRADEWIND_WORKER_MEMORY_REQUEST", value_name = "QUANTITY", default_value = "64Mi")]
    pub worker_memory_request: String,
    /// Most processor of a worker whose account does not say. Left out: no limit.
    #[arg(long, env = "TRADEWIND_WORKER_CPU_LIMIT", value_name = "QUANTITY")]
    pub worker_cpu_limit: Option<String>,
    /// Most memory of a worker whose account does not say.
    #[arg(long, env = "TRADEWIND_WORKER_MEMORY_LIMIT", value_name = "QUANTITY", default_value = "512Mi")]
    pub worker_memory_limit: String,
    /// What the workers log, such as info or info,tradewind_worker=debug.
    #[arg(long, env = "TRADEWIND_WORKER_LOG", value_name = "FILTER", default_value = "info")]
    pub worker_log: String,
    /// Priority class of the workers' pods. Left out: the cluster's default.
    #[arg(long, env = "TRADEWIND_WORKER_PRIORITY_CLASS", value_name = "NAME")]
    pub worker_priority_class: Option<String>,
    /// Annotations of the workers' ServiceAccounts, as name=value separated by commas.
    #[arg(
        long,
        env = "TRADEWIND_WORKER_SERVICE_ACCOUNT_ANNOTATIONS",
        value_name = "NAME=VALUE",
        value_delimiter = ','
    )]
    pub worker_service_account_annotations: Vec<String>,
    /// Whether workers get a NetworkPolicy.
    #[arg(long, env = "TRADEWIND_NETWORK_POLICIES", value_name = "BOOL", default_value_t = true,
        action = clap::ArgAction::Set)]
    pub network_policies: bool,
    /// Address ranges in which workers reach the API server, separated by commas. Left out: anywhere, on its ports.
    #[arg(long, env = "TRADEWIND_API_SERVER_CIDRS", value_name = "CIDRS", value_delimiter = ',')]
    pub api_server_cidrs: Vec<String>,
    /// Ports on which workers reach the API server, separated by commas; network policies see the one behind the
    /// Service.
    #[arg(long, env = "TRADEWIND_API_SERVER_PORTS", value_name = "PORTS", value_delimiter = ',',
        default_values_t = [443, 6443])]
    pub api_server_ports: Vec<u16>,
    /// What workers may reach beside DNS, the API server and their venue, as CIDR:port separated by commas, such as
    /// 10.0.0.0/8:3306.
    #[arg(long, env = "TRADEWIND_EXTRA_EGRESS", value_name = "CIDR:PORT", value_delimiter = ',')]
    pub extra_egress: Vec<String>,
    /// Name of the Lease by which one of the replicas leads.
    #[arg(long, env = "TRADEWIND_LEADER_LEASE", value_name = "NAME", default_value = "tradewind-operator")]
    pub leader_lease: String,
    /// Seconds after which another replica takes over from one that is gone; renewed each third of it.
    #[arg(long, env = "TRADEWIND_LEADER_SECONDS", value_name = "SECONDS", default_value_t = 15,
        value_parser = clap::value_parser!(u16).range(3..=300))]
    pub leader_seconds: u16,
    /// Objects of one kind that are worked on at the same time.
    #[arg(long, env = "TRADEWIND_CONCURRENCY", value_name = "COUNT", default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Seconds one pass over an object may take.
    #[arg(long, env = "TRADEWIND_RECONCILE_SECONDS", value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=600))]
    pub reconcile_seconds: u16,
    /// Where /livez, /readyz and /metrics are served; port 0 takes a free one.
    #[arg(long, env = "TRADEWIND_HTTP_ADDRESS", value_name = "ADDRESS",
        default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)))]
    pub http_address: SocketAddr,
    /// What is logged, such as info or info,tradewind_operator=debug.
    #[arg(long, env = "TRADEWIND_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Which namespaces are looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Cluster,
    /// These; never empty.
    Namespaces(BTreeSet<String>),
}

/// How the operator was started, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The namespace the operator runs in.
    pub namespace: String,
    /// The name of this replica.
    pub pod_name: String,
    /// Which namespaces are looked after.
    pub scope: Scope,
    /// What workers are made of.
    pub worker: WorkerSettings,
    /// What workers may reach.
    pub network: NetworkSettings,
    /// How one replica leads.
    pub leader: LeaderSettings,
    /// Objects of one kind that are worked on at the same time.
    pub concurrency: usize,
    /// How long one pass over an object may take.
    pub reconcile_timeout: Duration,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub http_address: SocketAddr,
    /// What is logged.
    pub log: String,
}

/// What workers are made of where their account does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerSettings {
    /// The image of the worker's container.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: String,
    /// Names of Secrets to pull the image with.
    pub image_pull_secrets: Vec<String>,
    /// Requests and limits; what an account says replaces them one by one.
    pub resources: Resources,
    /// `TRADEWIND_LOG` of the worker.
    pub log: String,
    /// Priority class of the pod.
    pub priority_class: Option<String>,
    /// Annotations of the ServiceAccount.
    pub service_account_annotations: BTreeMap<String, String>,
}

/// What the NetworkPolicy of a worker lets out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Whether there is a NetworkPolicy at all.
    pub policies: bool,
    /// Where the API server is; empty: anywhere.
    pub api_server_cidrs: Vec<String>,
    /// The ports of the API server; never empty.
    pub api_server_ports: Vec<u16>,
    /// What else may be reached.
    pub extra: Vec<Egress>,
}

/// One thing that may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Address range.
    pub cidr: String,
    /// TCP port.
    pub port: u16,
}

/// How one replica leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderSettings {
    /// Name of the Lease, in the operator's namespace.
    pub lease: String,
    /// After how long without renewal another may take it.
    pub duration: Duration,
}

/// Why the operator cannot start as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not the name of a namespace or object.
    #[error("{argument} is {value:?}; use {expected}")]
    Value {
        /// The argument.
        argument: &'static str,
        /// What it says.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

const LABEL: &str = "lower-case letters, digits and hyphens, at most 63 characters, such as tradewind-system";
const CPU: &str = "a Kubernetes quantity of processor such as 100m or 1";
const MEMORY: &str = "a Kubernetes quantity of memory such as 64Mi";
const CIDR: &str = "an address range such as 10.0.0.0/8 or 10.1.2.3/32";

impl Settings {
    /// Checks the arguments; the first that is wrong is the error.
    pub fn of(args: Args) -> Result<Self, SettingsError> {
        // Destructured without `..`, so that an argument nobody reads does not compile.
        let Args {
            namespace,
            pod_name,
            namespaces,
            worker_image,
            worker_image_pull_policy,
            worker_image_pull_secrets,
            worker_cpu_request,
            worker_memory_request,
            worker_cpu_limit,
            worker_memory_limit,
            worker_log,
            worker_priority_class,
            worker_service_account_annotations,
            network_policies,
            api_server_cidrs,
            api_server_ports,
            extra_egress,
            leader_lease,
            leader_seconds,
            concurrency,
            reconcile_seconds,
            http_address,
            log,
        } = args;
        let requests = amounts("--worker-cpu-request", Some(worker_cpu_request), worker_memory_request)?;
        let limits = amounts("--worker-cpu-limit", worker_cpu_limit, worker_memory_limit)?;
        let image = "an image such as registry.example/tradewind-worker:0.1.0";
        let worker = WorkerSettings {
            image: filled("--worker-image", worker_image, image)?,
            image_pull_policy: worker_image_pull_policy,
            image_pull_secrets: named("--worker-image-pull-secrets", worker_image_pull_secrets)?,
            resources: Resources { requests: Some(requests), limits: Some(limits) },
            log: worker_log,
            priority_class: worker_priority_class.filter(|name| !name.is_empty()),
            service_account_annotations: annotations(worker_service_account_annotations)?,
        };
        let network = network(network_policies, api_server_cidrs, api_server_ports, extra_egress)?;
        let scope = named("--namespaces", namespaces)?;
        Ok(Self {
            namespace: label("--namespace", namespace)?,
            pod_name: filled("--pod-name", pod_name, "the pod's name, by the environment variable POD_NAME")?,
            scope: if scope.is_empty() {
                Scope::Cluster
            } else {
                Scope::Namespaces(scope.into_iter().collect())
            },
            worker,
            network,
            leader: LeaderSettings {
                lease: label("--leader-lease", leader_lease)?,
                duration: Duration::from_secs(leader_seconds.into()),
            },
            concurrency: concurrency.into(),
            reconcile_timeout: Duration::from_secs(reconcile_seconds.into()),
            http_address,
            log,
        })
    }

    /// Whether a namespace is looked after.
    pub fn looks_after(&self, namespace: &str) -> bool {
        match &self.scope {
            Scope::Cluster => true,
            Scope::Namespaces(names) => names.contains(namespace),
        }
    }
}

fn network(
    policies: bool,
    cidrs: Vec<String>,
    api_server_ports: Vec<u16>,
    extra: Vec<String>,
) -> Result<NetworkSettings, SettingsError> {
    let api_server_cidrs = given(cidrs).map(|text| cidr("--api-server-cidrs", text));
    Ok(NetworkSettings {
        policies,
        api_server_cidrs: api_server_cidrs.collect::<Result<_, _>>()?,
        api_server_ports,
        extra: given(extra).map(egress).collect::<Result<_, _>>()?,
    })
}

/// The values of a list that are not empty: a chart writes an empty list as an empty text.
fn given(values: Vec<String>) -> impl Iterator<Item = String> {
    values.into_iter().filter(|value| !value.is_empty())
}

fn wrong(argument: &'static str, value: String, expected: &'static str) -> SettingsError {
    SettingsError::Value { argument, value, expected }
}

fn filled(argument: &'static str, value: String, expected: &'static str) -> Result<String, SettingsError> {
    if value.is_empty() { Err(wrong(argument, value, expected)) } else { Ok(value) }
}

fn label(argument: &'static str, value: String) -> Result<String, SettingsError> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=63).contains(&value.len())
        && value.chars().all(inner)
        && !value.starts_with('-')
        && !value.ends_with('-');
    if fits { Ok(value) } else { Err(wrong(argument, value, LABEL)) }
}

fn named(argument: &'static str, values: Vec<String>) -> Result<Vec<String>, SettingsError> {
    given(values).map(|value| label(argument, value)).collect()
}

/// Amounts with the units the API knows.
fn amounts(
    argument: &'static str,
    cpu: Option<String>,
    memory: String,
) -> Result<ResourceAmounts, SettingsError> {
    let cpu = cpu.filter(|text| !text.is_empty());
    if let Some(text) = &cpu
        && !quantity(text, &["", "m"], true)
    {
        return Err(wrong(argument, text.clone(), CPU));
    }
    if !quantity(&memory, &["", "Ki", "Mi", "Gi", "k", "M", "G"], false) {
        let argument = if argument == "--worker-cpu-request" {
            "--worker-memory-request"
        } else {
            "--worker-memory-limit"
        };
        return Err(wrong(argument, memory, MEMORY));
    }
    Ok(ResourceAmounts { cpu: cpu.map(CpuQuantity), memory: Some(MemoryQuantity(memory)) })
}

/// Digits and one of the units; with a fraction where that is allowed and there is no unit.
fn quantity(text: &str, units: &[&str], fraction: bool) -> bool {
    let digits = |text: &str| (1..=12).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    match number.split_once('.') {
        None => digits(number) && units.contains(&unit),
        Some((whole, rest)) => {
            fraction && unit.is_empty() && digits(whole) && digits(rest) && rest.len() <= 3
        }
    }
}

fn cidr(argument: &'static str, text: String) -> Result<String, SettingsError> {
    let fits = text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    });
    if fits { Ok(text) } else { Err(wrong(argument, text, CIDR)) }
}

fn egress(text: String) -> Result<Egress, SettingsError> {
    const EXPECTED: &str = "CIDR:port, such as 10.0.0.0/8:3306";
    let Some((range, port)) = text.rsplit_once(':') else {
        return Err(wrong("--extra-egress", text, EXPECTED));
    };
    let range = range.trim_start_matches('[').trim_end_matches(']').to_owned();
    match (cidr("--extra-egress", range), port.parse()) {
        (Ok(cidr), Ok(port)) if port > 0 => Ok(Egress { cidr, port }),
        _ => Err(wrong("--extra-egress", text, EXPECTED)),
    }
}

fn annotations(values: Vec<String>) -> Result<BTreeMap<String, String>, SettingsError> {
    given(values)
        .map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(wrong(
                "--worker-service-account-annotations",
                text,
                "name=value, such as example.com/role=trader",
            )),
        })
        .collect()
}

impl Default for WorkerSettings {
    /// The defaults of the arguments, with a placeholder image: for tests.
    fn default() -> Self {
        let amounts = |cpu: Option<&str>, memory: &str| ResourceAmounts {
            cpu: cpu.map(|text| CpuQuantity(text.to_owned())),
            memory: Some(MemoryQuantity(memory.to_owned())),
        };
        Self {
            image: "tradewind-worker:test".to_owned(),
            image_pull_policy: "IfNotPresent".to_owned(),
            image_pull_secrets: Vec::new(),
            resources: Resources {
                requests: Some(amounts(Some("50m"), "64Mi")),
                limits: Some(amounts(None, "512Mi")),
            },
            log: "info".to_owned(),
            priority_class: None,
            service_account_annotations: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
