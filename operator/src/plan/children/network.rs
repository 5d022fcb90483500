//! Whom the worker may reach, who may reach it, and its ports under one name.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tradewind_core::config::{BusConfig, LedgerConfig, VenueConfig};
use tradewind_crds::names;

use super::{PORTS, Source, metadata, selector};

const DNS_PORT: u16 = 53;

/// Names, the API server, and what the venue needs; nothing else. In come only connections to the ports it serves.
pub(super) fn policy(source: &Source<'_>) -> NetworkPolicy {
    let network = &source.settings.network;
    let api_server: Vec<_> = network.api_server_ports.iter().map(|number| port("TCP", *number)).collect();
    let dns = vec![port("UDP", DNS_PORT), port("TCP", DNS_PORT)];
    let mut egress = vec![to(&[], dns), to(&network.api_server_cidrs, api_server)];
    for place in &network.extra {
        egress.push(to(std::slice::from_ref(&place.cidr), vec![port("TCP", place.port)]));
    }
    egress.extend(venue(&source.account.venue));
    egress.extend(source.account.bus.as_ref().and_then(|bus| to_bus(bus, &source.key.namespace)));
    if let LedgerConfig::Mysql(server) = &source.account.ledger {
        egress.extend(place(&server.host, server.port));
    }
    NetworkPolicy {
        metadata: metadata(source, names::worker(&source.key.name)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector(&source.key.name)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                ports: Some(PORTS.into_iter().map(|(_, number)| port("TCP", number)).collect()),
                ..NetworkPolicyIngressRule::default()
            }]),
            egress: Some(egress),
        }),
    }
}

/// Where the venue is. Paper is inside the worker.
fn venue(venue: &VenueConfig) -> Option<NetworkPolicyEgressRule> {
    match venue {
        VenueConfig::Paper(_) => None,
        VenueConfig::BinanceUs(venue) => server(&venue.endpoint),
    }
}

/// Where a URL leads: its port, at any address, for addresses behind a name change; or in the namespace of a Service of
/// the cluster, whose pods must listen on the same port. None on the machine itself.
fn server(url: &str) -> Option<NetworkPolicyEgressRule> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, number) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (rest, if scheme == "http" { 80 } else { 443 }),
    };
    place(host, number)
}

/// As [`server`], of a host and a port.
fn place(host: &str, number: u16) -> Option<NetworkPolicyEgressRule> {
    if host == "localhost" || host.starts_with("127.") || host.trim_matches(['[', ']']) == "::1" {
        return None;
    }
    let short = host.strip_suffix(".cluster.local").unwrap_or(host);
    let mut rule = to(&[], vec![port("TCP", number)]);
    if let Some((_, namespace)) = short.strip_suffix(".svc").and_then(|name| name.split_once('.')) {
        let labels = [("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())];
        rule.to = Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(LabelSelector {
                match_labels: Some(labels.into()),
                ..LabelSelector::default()
            }),
            ..NetworkPolicyPeer::default()
        }]);
    }
    Some(rule)
}

/// Where the bus is. A name alone is a Service of the account's own namespace, as the pod resolves it.
fn to_bus(BusConfig::Redis(redis): &BusConfig, own: &str) -> Option<NetworkPolicyEgressRule> {
    let host = redis.host.as_str();
    let is_address = host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| !address.is_loopback());
    if is_address {
        return Some(to(&[format!("{host}/32")], vec![port("TCP", redis.port)]));
    }
    let short = host.strip_suffix(".cluster.local").unwrap_or(host);
    // The pod of a Service has a name before the Service's.
    let namespace = short.strip_suffix(".svc").and_then(|name| name.rsplit('.').next());
    let alone = (!host.contains('.') && host != "localhost").then_some(own);
    match namespace.or(alone) {
        Some(namespace) => place(&format!("redis.{namespace}.svc"), redis.port),
        None => place(host, redis.port),
    }
}

/// Those ports at those address ranges; no range means anywhere.
fn to(cidrs: &[String], ports: Vec<NetworkPolicyPort>) -> NetworkPolicyEgressRule {
    let peer = |cidr: &String| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.clone(), ..IPBlock::default() }),
        ..NetworkPolicyPeer::default()
    };
    let peers: Vec<_> = cidrs.iter().map(peer).collect();
    NetworkPolicyEgressRule { to: if peers.is_empty() { None } else { Some(peers) }, ports: Some(ports) }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number.into())),
        ..NetworkPolicyPort::default()
    }
}

pub(super) fn service(source: &Source<'_>) -> Service {
    let port = |(name, number): (&str, u16)| ServicePort {
        name: Some(name.to_owned()),
        port: number.into(),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    };
    Service {
        metadata: metadata(source, names::worker(&source.key.name)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(selector(&source.key.name)),
            ports: Some(PORTS.into_iter().map(port).collect()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(url: &str) -> Option<(Option<String>, i32)> {
        let rule = server(url)?;
        let Some(IntOrString::Int(number)) = rule.ports.unwrap().remove(0).port else { panic!("{url}") };
        let labels = rule.to.map(|mut peers| peers.remove(0).namespace_selector.unwrap().match_labels);
        Some((labels.map(|labels| labels.unwrap()["kubernetes.io/metadata.name"].clone()), number))
    }

    #[test]
    fn a_worker_may_go_where_its_venue_is_and_nowhere_else() {
        assert_eq!(led("https://api.binance.us"), Some((None, 443)));
        assert_eq!(led("https://venue.example:8443"), Some((None, 8443)));
        assert_eq!(led("http://sim.desk.svc:9000"), Some((Some("desk".to_owned()), 9000)));
        assert_eq!(led("http://sim.desk.svc.cluster.local"), Some((Some("desk".to_owned()), 80)));
        for local in ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:80", "http://[::1]"] {
            assert_eq!(led(local), None, "{local}");
        }
    }
}
