//! TLS to the database server: who is believed, and who is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::authority::Authority;
use common::mariadb::Database;
use common::*;
use sqlx::Row;
use tradewind_core::event::Record;
use tradewind_ledger::mysql::Tls;
use tradewind_ledger::{Ledger, LedgerError, MysqlLedger, MysqlOptions, MysqlServer};

fn options(database: &Database) -> MysqlOptions {
    MysqlOptions { server: MysqlServer { tls: Tls::Required, ..database.impatient() }, ..database.options() }
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
    authority.trusted_by(&database);
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
    authority.trusted_by(&database);
    insecure(&database).await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_or_names_another_host_is_not_believed() {
    let authority = Authority::new("desk");
    for (name, until) in [("127.0.0.1", 2021), ("db.example", 2099)] {
        let (server, _files) = authority.server(name, until);
        let database = server.database().await;
        authority.trusted_by(&database);
        insecure(&database).await;
    }
}
