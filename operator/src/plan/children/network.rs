//! Whom the worker may reach, who may reach it, and its ports under one name.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tradewind_core::config::{BusConfig, RedisConfig, VenueConfig};
use tradewind_crds::names;

use super::{PORTS, Source, metadata, selector};
use crate::settings::Egress;

const DNS_PORT: u16 = 53;

/// Names, the API server, and what the venue needs; nothing else. In come only connections to the ports it serves.
pub(super) fn policy(source: &Source<'_>) -> NetworkPolicy {
    let network = &source.settings.network;
    let api_server: Vec<_> = network.api_server_ports.iter().map(|number| port("TCP", *number)).collect();
    let dns = vec![port("UDP", DNS_PORT), port("TCP", DNS_PORT)];
    let mut egress = vec![to(&[], dns), to(&network.api_server_cidrs, api_server)];
    for place in network.extra.iter().chain(venue(&source.account.venue)) {
        egress.push(to(std::slice::from_ref(&place.cidr), vec![port("TCP", place.port)]));
    }
    egress
        .extend(source.account.bus.as_ref().map(|BusConfig::Redis(redis)| bus(redis, &source.key.namespace)));
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
fn venue(venue: &VenueConfig) -> &'static [Egress] {
    match venue {
        VenueConfig::Paper(_) => &[],
    }
}

/// Where the bus is: an address as it is, a Service by its namespace. What another name stands for no policy can say: the
/// port is open to everywhere. A Service whose pods listen at another port needs the chart's `networkPolicy.workersExtraEgress`.
fn bus(redis: &RedisConfig, own: &str) -> NetworkPolicyEgressRule {
    let ports = vec![port("TCP", redis.port)];
    if redis.host.parse::<std::net::Ipv4Addr>().is_ok() {
        return to(&[format!("{}/32", redis.host)], ports);
    }
    let labels: Vec<&str> = redis.host.split('.').collect();
    let namespace = match labels.as_slice() {
        [_] => Some(own),
        [_, namespace, "svc", ..] | [_, _, namespace, "svc", ..] => Some(*namespace),
        _ => None,
    };
    let peer = namespace.map(|namespace| NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    });
    NetworkPolicyEgressRule { to: peer.map(|peer| vec![peer]), ports: Some(ports) }
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
