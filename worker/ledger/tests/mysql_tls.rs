//! TLS to the database server: who is believed, and who is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::Arc;

use common::mariadb::{Database, Server};
use common::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use sqlx::Row;
use tempfile::TempDir;
use tradewind_core::event::Record;
use tradewind_ledger::mysql::Tls;
use tradewind_ledger::{Ledger, LedgerError, MysqlLedger, MysqlOptions, MysqlServer};

/// An authority of our own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server that shows a certificate for that name, valid until that year.
    fn server(&self, name: &str, until: i32) -> (Arc<Server>, TempDir) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let dir = TempDir::new().unwrap();
        let file = |name: &str, text: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            format!("--ssl-{name}={}", path.display())
        };
        let extra =
            [file("cert", certificate.pem()), file("key", key.serialize_pem()), file("ca", self.pem.clone())];
        let server = Server::start(&extra.each_ref().map(String::as_str));
        (Arc::new(server), dir)
    }
}

fn options(database: &Database) -> MysqlOptions {
    MysqlOptions { server: MysqlServer { tls: Tls::Required, ..database.impatient() }, ..database.options() }
}

fn trust(database: &Database, authority: &Authority) {
    std::fs::write(database.secret.path().join("ca.crt"), &authority.pem).unwrap();
}

async fn insecure(database: &Database) -> String {
    let error = MysqlLedger::open(&options(database)).await.map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::Insecure { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_certificate_of_the_authority_in_the_secret_is_believed() {
    let authority = Authority::new("desk");
    let (server, _files) = authority.server("127.0.0.1", 2099);
    let database = server.database().await;
    let user = format!("ALTER USER '{}'@'127.0.0.1' REQUIRE SSL", database.name);
    server.admin(user).await;
    trust(&database, &authority);
    let mut ledger = MysqlLedger::open(&options(&database)).await.unwrap();
    commit(&mut ledger, &[Record::Intent(intent(1, 1))]).await.unwrap();
    let mut conn = database.by_hand().await;
    let sql = "SELECT CAST(COUNT(*) AS SIGNED) FROM information_schema.processlist WHERE user = ?";
    let sessions = sqlx::query(sql).bind(&database.name).fetch_one(&mut conn).await.unwrap();
    assert_eq!(sessions.get::<i64, _>(0), 1, "the server lets this user in over TLS alone, and he is in");
    assert_eq!(ledger.identity(), identity(1));
}

#[tokio::test]
async fn a_certificate_of_anybody_else_is_not_believed() {
    let (authority, other) = (Authority::new("desk"), Authority::new("somebody"));
    let (server, _files) = other.server("127.0.0.1", 2099);
    let database = server.database().await;
    let text = insecure(&database).await;
    assert!(text.contains("come from the authority in ca.crt"), "public authorities do not know it: {text}");
    trust(&database, &authority);
    insecure(&database).await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_or_names_another_host_is_not_believed() {
    let authority = Authority::new("desk");
    for (name, until) in [("127.0.0.1", 2021), ("db.example", 2099)] {
        let (server, _files) = authority.server(name, until);
        let database = server.database().await;
        trust(&database, &authority);
        insecure(&database).await;
    }
}
