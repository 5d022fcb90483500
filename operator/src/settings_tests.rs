use super::*;

const LEAST: [&str; 4] =
    ["tradewind-operator", "--namespace=tradewind-system", "--pod-name=op-0", "--worker-image=worker:1"];

fn read(more: &[&str]) -> Result<Settings, String> {
    let args = Args::try_parse_from(LEAST.iter().chain(more)).map_err(|error| error.to_string())?;
    Settings::of(args).map_err(|error| error.to_string())
}

#[test]
fn what_is_left_out_has_its_default() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings.scope, Scope::Cluster);
    assert!(settings.looks_after("anything"));
    assert_eq!(settings.worker, WorkerSettings { image: "worker:1".to_owned(), ..WorkerSettings::default() });
    assert_eq!((settings.network.policies, settings.network.api_server_ports), (true, vec![443, 6443]));
    assert_eq!(
        (settings.leader.lease.as_str(), settings.leader.duration.as_secs()),
        ("tradewind-operator", 15)
    );
    assert_eq!((settings.concurrency, settings.reconcile_timeout.as_secs()), (8, 30));
}

#[test]
fn a_list_of_namespaces_is_looked_after_and_nothing_else() {
    let settings = read(&["--namespaces=alpha,beta"]).unwrap();
    assert!(settings.looks_after("alpha") && settings.looks_after("beta"));
    assert!(!settings.looks_after("tradewind-system"));
}

#[test]
fn an_empty_list_of_a_chart_is_no_list() {
    let settings =
        read(&["--namespaces=", "--extra-egress=", "--worker-priority-class=", "--worker-cpu-limit="])
            .unwrap();
    assert_eq!(settings.scope, Scope::Cluster);
    assert!(settings.network.extra.is_empty());
    assert_eq!((settings.worker.priority_class, settings.worker.resources.limits.unwrap().cpu), (None, None));
}

#[test]
fn what_is_given_is_read() {
    let settings = read(&[
        "--worker-cpu-request=1.5",
        "--worker-memory-limit=1Gi",
        "--worker-service-account-annotations=example.com/role=a=b,x=",
        "--api-server-cidrs=10.0.0.1/32,fd00::/8",
        "--extra-egress=10.0.0.0/8:3306,fd00::/8:6379",
        "--leader-seconds=6",
    ])
    .unwrap();
    let resources = settings.worker.resources;
    assert_eq!(resources.requests.unwrap().cpu, Some(CpuQuantity("1.5".to_owned())));
    assert_eq!(resources.limits.unwrap().memory, Some(MemoryQuantity("1Gi".to_owned())));
    let annotations = settings.worker.service_account_annotations;
    assert_eq!(annotations.get("example.com/role").map(String::as_str), Some("a=b"));
    assert_eq!(settings.network.api_server_cidrs, ["10.0.0.1/32", "fd00::/8"]);
    let egress = |cidr: &str, port| Egress { cidr: cidr.to_owned(), port };
    assert_eq!(settings.network.extra, [egress("10.0.0.0/8", 3306), egress("fd00::/8", 6379)]);
    assert_eq!(settings.leader.duration.as_secs(), 6);
}

#[test]
fn what_is_wrong_is_named_with_its_value_and_what_it_should_be() {
    let cases = [
        ("--namespaces=Alpha", "--namespaces is \"Alpha\"; use lower-case"),
        ("--worker-cpu-request=1 core", "--worker-cpu-request is \"1 core\""),
        ("--worker-memory-request=64MB", "--worker-memory-request is \"64MB\"; use a Kubernetes quantity"),
        ("--worker-memory-limit=-1", "--worker-memory-limit is \"-1\""),
        ("--worker-image=", "--worker-image is \"\""),
        ("--pod-name=", "--pod-name is \"\""),
        ("--api-server-cidrs=10.0.0.0", "--api-server-cidrs is \"10.0.0.0\"; use an address range"),
        ("--api-server-cidrs=10.0.0.0/33", "10.0.0.0/33"),
        ("--extra-egress=10.0.0.0/8", "--extra-egress is \"10.0.0.0/8\"; use CIDR:port"),
        ("--extra-egress=10.0.0.0/8:0", "10.0.0.0/8:0"),
        ("--worker-service-account-annotations=role", "name=value"),
        ("--worker-image-pull-policy=Sometimes", "Always"),
        ("--leader-seconds=1", "3..=300"),
        ("--concurrency=0", "1..=256"),
        ("--http-address=8080", "8080"),
    ];
    for (argument, expected) in cases {
        // The last of two wins in clap only where it may be given twice, so that the least is read without it.
        let name = argument.split('=').next().unwrap();
        let least = LEAST.iter().copied().filter(|given| !given.starts_with(&format!("{name}=")));
        let said = Args::try_parse_from(least.chain([argument]))
            .map_err(|error| error.to_string())
            .and_then(|args| Settings::of(args).map_err(|error| error.to_string()))
            .unwrap_err();
        assert!(said.contains(expected), "{argument}: {said}");
    }
}
