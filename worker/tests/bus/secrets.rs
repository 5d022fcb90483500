//! Passwords, rights and certificates: wrong ones hold up nothing, right ones are taken as soon as they are there.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tradewind_worker::bus::{BusFacts, BusState, Trouble};

use super::desk::{Desk, Told, with_secret};
use super::server::Redis;

/// What it says while it fails like that.
async fn failing(told: &mut Told, trouble: Trouble) -> String {
    let is = |facts: &BusFacts| matches!(&facts.state, BusState::Failing(found, _) if *found == trouble);
    match told.until("the bus fails", is).await.state {
        BusState::Failing(_, message) => message,
        other => panic!("{other:?}"),
    }
}

fn write(folder: &TempDir, name: &str, text: &str) {
    // As the kubelet does it: all at once.
    let new = folder.path().join(format!(".{name}"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, folder.path().join(name)).unwrap();
}

#[tokio::test]
async fn a_wrong_password_holds_up_nothing_and_a_new_one_is_taken_without_a_restart() {
    let redis = Redis::start(&["--requirepass", "battery"]);
    let secret = TempDir::new().unwrap();
    let mut desk = Desk::new().await;
    let mut told = desk.bus(with_secret(redis.port, false, &secret));
    let message = failing(&mut told, Trouble::NoCredentials).await;
    assert!(message.contains("password") && message.contains("Secret"), "{message}");
    desk.trade(5).await;
    write(&secret, "password", "staple\n");
    let message = failing(&mut told, Trouble::Refused).await;
    assert!(message.contains("check") && !message.contains("staple"), "{message}");
    desk.trade(5).await;
    write(&secret, "password", "battery\n");
    desk.all_is_told_by(&mut told, &redis, Some("battery")).await;
    told.stop().await;
}

#[tokio::test]
async fn a_user_needs_no_more_rights_than_the_documentation_says() {
    let redis = Redis::start(&[]);
    let rights = rights();
    let secret = TempDir::new().unwrap();
    write(&secret, "username", "tradewind");
    write(&secret, "password", "horse");
    // Without the right to add.
    let less = rights.replace(" +xadd", "");
    assert_ne!(less, rights);
    redis.ask::<String>(&format!("ACL SETUSER {less}"));
    let mut desk = Desk::new().await;
    let mut told = desk.bus(with_secret(redis.port, false, &secret));
    desk.trade(5).await;
    let message = failing(&mut told, Trouble::Refused).await;
    assert!(message.contains("rights"), "{message}");
    redis.ask::<String>(&format!("ACL SETUSER {rights}"));
    desk.all_is_told(&mut told, &redis).await;
    told.stop().await;
}

/// The command in docs/bus.md, with a password.
fn rights() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bus.md");
    let page = std::fs::read_to_string(page).unwrap();
    let line =
        page.lines().find_map(|line| line.strip_prefix("ACL SETUSER ")).expect("docs/bus.md has the command");
    line.replace("PASSWORD", "horse")
}

struct Authority {
    pem: String,
    certificate: String,
    key: String,
}

/// An authority and a certificate of it for localhost.
fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let server = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let certificate = names.signed_by(&server, &issuer).unwrap();
    Authority { pem: root.pem(), certificate: certificate.pem(), key: server.serialize_pem() }
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_not_trusted_and_the_right_authority_is_taken_when_it_is_there() {
    let (ours, strangers) = (authority(), authority());
    let files = TempDir::new().unwrap();
    for (name, text) in [("server.crt", &ours.certificate), ("server.key", &ours.key), ("ca.crt", &ours.pem)]
    {
        std::fs::write(files.path().join(name), text).unwrap();
    }
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let redis = Redis::start(&[
        "--tls-cert-file",
        &file("server.crt"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &file("ca.crt"),
    ]);
    let secret = TempDir::new().unwrap();
    write(&secret, "ca.crt", &strangers.pem);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(with_secret(redis.port, true, &secret));
    desk.trade(5).await;
    let message = failing(&mut told, Trouble::Unreachable).await;
    assert!(message.to_lowercase().contains("certificate"), "{message}");
    write(&secret, "ca.crt", &ours.pem);
    told.until("all is told", |facts| facts.state == BusState::Relaying && facts.waiting == 0).await;
    assert_eq!(told.facts.borrow().relayed, 50);
    told.stop().await;
}
