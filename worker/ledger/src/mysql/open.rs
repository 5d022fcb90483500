//! Opening: connection, schema, the ledger among the others, a quick check, and the next epoch.

use std::sync::Arc;

use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, MySql};
use tradewind_core::time::Timestamp;

use super::connect::Door;
use super::{MysqlLedger, MysqlOptions, MysqlReader, MysqlServer, connect, fault, schema};
use crate::backup::Backup;
use crate::chain::Value;
use crate::error::LedgerError;
use crate::outbox::Limits;
use crate::place::Place;
use crate::sql::ledger::{Db, Trial};
use crate::sql::open::{Opener, Owner};
use crate::sql::{Context, Dialect, Scope, open};

pub(super) async fn writer(options: &MysqlOptions, owner: Owner) -> Result<MysqlLedger, LedgerError> {
    let place = options.server.place(&options.account_name);
    let opener = Opener {
        account: options.account,
        account_name: options.account_name.clone(),
        owner: options.owner.clone(),
        now: options.now,
        incarnation: options.incarnation,
    };
    let mut trial = Trial::new(options.server.patience);
    loop {
        let tried = within(&options.server, &place, take_over(&options.server, &place, &opener, owner)).await;
        match tried {
            Err(error) if error.is_passing() && trial.goes_on().await => {}
            other => return other,
        }
    }
}

async fn take_over(
    server: &MysqlServer,
    place: &Place,
    opener: &Opener,
    owner: Owner,
) -> Result<MysqlLedger, LedgerError> {
    let door = Door { server: server.clone(), writes: true };
    let mut conn = connect::connect(&door, place).await?;
    schema::bring_up(&mut conn, place).await?;
    let number = match number(&mut conn, place, &opener.account_name).await? {
        Some(number) => number,
        None => found(&mut conn, place, opener).await?,
    };
    let mut context = Context::new(place.clone(), Some(number));
    let mut scope = Scope::<MySql> { conn: &mut conn, context: &mut context };
    let identity = open::adopt(&mut scope, opener, owner).await?;
    Ok(MysqlLedger {
        db: Db::new(conn, door, context),
        identity,
        cache: None,
        tap: Arc::default(),
        limits: Limits::default(),
        failed_attempts: 0,
        lock: (),
    })
}

pub(super) async fn reader(server: &MysqlServer, name: &str) -> Result<MysqlReader, LedgerError> {
    let place = server.place(name);
    let look = async {
        let door = Door { server: server.clone(), writes: false };
        let mut conn = connect::connect(&door, &place).await?;
        let missing = || LedgerError::Missing { place: place.clone() };
        if schema::check(&mut conn, &place).await? < schema::SCHEMA {
            return Err(missing());
        }
        let number = number(&mut conn, &place, name).await?.ok_or_else(missing)?;
        Ok(MysqlReader { db: Db::new(conn, door, Context::new(place.clone(), Some(number))) })
    };
    within(server, &place, look).await
}

async fn within<T>(
    server: &MysqlServer,
    place: &Place,
    work: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, LedgerError> {
    match server.patience.attempt {
        None => work.await,
        Some(within) => tokio::time::timeout(within, work)
            .await
            .unwrap_or_else(|_| Err(LedgerError::Slow { place: place.clone(), within })),
    }
}

/// The number of the ledger of that name, if there is one.
async fn number(conn: &mut MySqlConnection, place: &Place, name: &str) -> Result<Option<i64>, LedgerError> {
    let sql = sqlx::query_scalar("SELECT ledger FROM ledger WHERE account_name = ?").bind(name);
    sql.fetch_optional(conn).await.map_err(|e| fault::sql(place, e))
}

/// Writes the single rows of a new ledger, all or nothing, and returns its number.
async fn found(conn: &mut MySqlConnection, place: &Place, opener: &Opener) -> Result<i64, LedgerError> {
    let mut tx = conn.begin().await.map_err(|e| fault::sql(place, e))?;
    let mut context = Context::new(place.clone(), None);
    let scope = &mut Scope::<MySql> { conn: &mut tx, context: &mut context };
    let (number, new) = insert_identity(scope, opener).await?;
    if new {
        let mut context = Context::new(place.clone(), Some(number));
        open::found(&mut Scope::<MySql> { conn: &mut tx, context: &mut context }, opener).await?;
    }
    tx.commit().await.map_err(|e| fault::sql(place, e))?;
    Ok(number)
}

/// Makes a ledger out of a backup, all or nothing.
pub(super) async fn restore(server: &MysqlServer, backup: Backup, now: Timestamp) -> Result<(), LedgerError> {
    let place = server.place(backup.account_name());
    let sql = |e| fault::sql(&place, e);
    let mut conn = connect::connect(&Door { server: server.clone(), writes: true }, &place).await?;
    schema::bring_up(&mut conn, &place).await?;
    let mut tx = conn.begin().await.map_err(sql)?;
    let mut context = Context::new(place.clone(), None);
    let opener = backup.opener();
    let inserted =
        insert_identity(&mut Scope::<MySql> { conn: &mut tx, context: &mut context }, &opener).await?;
    let (number, true) = inserted else { return Err(LedgerError::Exists { place }) };
    let mut context = Context::new(place.clone(), Some(number));
    backup.write(&mut Scope::<MySql> { conn: &mut tx, context: &mut context }, now).await?;
    tx.commit().await.map_err(sql)?;
    conn.close().await.map_err(sql)
}

/// Makes sure of a row for the ledger of that name; returns its number and whether it is new. Of two at the same time one
/// waits for the other here, and then finds its row.
async fn insert_identity(db: &mut Scope<'_, MySql>, opener: &Opener) -> Result<(i64, bool), LedgerError> {
    let ledger = "INSERT INTO ledger (account, account_name, incarnation, created_at) VALUES (?, ?, ?, ?)";
    let new = match db.execute(ledger, open::identity_row(opener)).await {
        Ok(_) => true,
        Err(error) if error.is_unique_violation() => false,
        Err(error) => return Err(error),
    };
    let find = "SELECT ledger FROM ledger WHERE account_name = ? FOR UPDATE";
    Ok((db.number(find, vec![Value::text(opener.account_name.as_str())]).await?, new))
}

/// Checks that what is committed survives a crash of the server's machine.
pub(super) async fn check_durable(db: &mut Scope<'_, MySql>) -> Result<(), LedgerError> {
    let sql = "SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED), CAST(@@log_bin AS SIGNED), \
        CAST(@@sync_binlog AS SIGNED)";
    let row = db.row(sql, Vec::new()).await?;
    let setting = |column| row.as_ref().and_then(|row| MySql::int(row, column).ok().flatten());
    let what = match (setting(0), setting(1), setting(2)) {
        (Some(1), Some(0), _) | (Some(1), Some(1), Some(1)) => return Ok(()),
        (Some(1), _, sync) => format!("its binary log is on with sync_binlog = {}", sync.unwrap_or(-1)),
        (flush, ..) => format!("its innodb_flush_log_at_trx_commit is {}", flush.unwrap_or(-1)),
    };
    Err(LedgerError::NotDurable { place: db.place().clone(), what })
}
