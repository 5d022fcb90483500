//! What the ledgers in a database share: their statements, their rows, and the checks of both.
//!
//! The SQL is a common subset of SQLite, MariaDB and MySQL. Where a database holds many ledgers, every statement is
//! confined to one of them: `OWN(table)` stands for the condition that a row of that table (or alias) is the ledger's
//! own, `OWNER` and `OWNER()` in an insert for the column and value that make it so. What differs otherwise is
//! [`Dialect`]. No statement holds a value; values are bound.

pub(crate) mod cells;
pub(crate) mod commit;
pub(crate) mod counts;
pub(crate) mod dump;
pub(crate) mod ledger;
pub(crate) mod open;
pub(crate) mod outbox;
pub(crate) mod prune;
pub(crate) mod read;
mod tell;
pub(crate) mod verify;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Database, SqlSafeStr, SqlStr, Transaction};

use crate::chain::Value;
use crate::error::LedgerError;
use crate::place::Place;

pub use ledger::{SqlLedger, SqlReader};

/// What differs between databases, and no more.
#[expect(async_fn_in_trait, reason = "only dispatched statically; callers see the concrete futures")]
pub trait Dialect: Database<Connection: std::fmt::Debug> {
    /// What a connection is made by, again if it was lost.
    type Door: std::fmt::Debug;
    /// What keeps other writers away beside the epoch.
    type Lock: std::fmt::Debug;
    /// Whether a connection can be lost, and what was under way with it.
    const REMOTE: bool;

    /// Connects.
    async fn connect(door: &Self::Door, place: &Place) -> Result<Self::Connection, LedgerError>;
    /// How long one attempt may take, and how long attempts are made.
    fn patience(door: &Self::Door) -> Patience;
    /// Begins a transaction that sees one moment.
    async fn begin_reading(conn: &mut Self::Connection) -> Result<Transaction<'_, Self>, sqlx::Error>;
    /// Begins a transaction that writes.
    async fn begin_writing(conn: &mut Self::Connection) -> Result<Transaction<'_, Self>, sqlx::Error>;
    /// Begins a transaction that writes, when no other writer of the ledger is within one.
    async fn begin_alone<'c>(
        conn: &'c mut Self::Connection,
        context: &mut Context,
    ) -> Result<Transaction<'c, Self>, sqlx::Error>;
    /// Rolls back whatever is open, now.
    async fn roll_back(conn: &mut Self::Connection) -> Result<(), sqlx::Error>;
    /// Runs a statement; returns how many rows it met.
    async fn execute(
        conn: &mut Self::Connection,
        sql: SqlStr,
        values: Vec<Value<'_>>,
    ) -> Result<u64, sqlx::Error>;
    /// Asks for rows.
    async fn fetch(
        conn: &mut Self::Connection,
        sql: SqlStr,
        values: Vec<Value<'_>>,
    ) -> Result<Vec<Self::Row>, sqlx::Error>;
    /// A whole number of a row.
    fn int(row: &Self::Row, column: usize) -> Result<Option<i64>, sqlx::Error>;
    /// A text of a row.
    fn text(row: &Self::Row, column: usize) -> Result<Option<&str>, sqlx::Error>;
    /// From the words of the database to ours.
    fn fault(place: &Place, error: sqlx::Error) -> LedgerError;
}

/// The calls of a dialect that read the same for every database but for its types.
macro_rules! calls {
    ($db:ty) => {
        async fn execute(
            conn: &mut Self::Connection,
            sql: sqlx::SqlStr,
            values: Vec<crate::chain::Value<'_>>,
        ) -> Result<u64, sqlx::Error> {
            let query = values.into_iter().fold(sqlx::query::<$db>(sql), |query, value| match value {
                crate::chain::Value::Null => query.bind(None::<String>),
                crate::chain::Value::Int(number) => query.bind(number),
                crate::chain::Value::Text(text) => query.bind(text.into_owned()),
            });
            Ok(query.execute(conn).await?.rows_affected())
        }

        async fn fetch(
            conn: &mut Self::Connection,
            sql: sqlx::SqlStr,
            values: Vec<crate::chain::Value<'_>>,
        ) -> Result<Vec<Self::Row>, sqlx::Error> {
            let query = values.into_iter().fold(sqlx::query::<$db>(sql), |query, value| match value {
                crate::chain::Value::Null => query.bind(None::<String>),
                crate::chain::Value::Int(number) => query.bind(number),
                crate::chain::Value::Text(text) => query.bind(text.into_owned()),
            });
            query.fetch_all(conn).await
        }

        fn int(row: &Self::Row, column: usize) -> Result<Option<i64>, sqlx::Error> {
            sqlx::Row::try_get(row, column)
        }

        fn text(row: &Self::Row, column: usize) -> Result<Option<&str>, sqlx::Error> {
            sqlx::Row::try_get(row, column)
        }
    };
}
pub(crate) use calls;

/// How long a database is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// One attempt; none: as long as it takes.
    pub attempt: Option<Duration>,
    /// All attempts together; after it the last one's error is told.
    pub total: Duration,
}

/// Statements of one ledger and its name in messages.
#[derive(Debug)]
pub struct Context {
    pub(crate) place: Place,
    /// The ledger's number in a database of many; none where the database is the ledger's own.
    number: Option<i64>,
    /// Each statement as the database gets it. There are a few dozen.
    statements: HashMap<&'static str, Arc<str>>,
}

impl Context {
    pub(crate) fn new(place: Place, number: Option<i64>) -> Self {
        Self { place, number, statements: HashMap::new() }
    }

    pub(crate) fn statement(&mut self, sql: &'static str) -> SqlStr {
        let number = self.number;
        let text = self.statements.entry(sql).or_insert_with(|| confined(sql, number).into());
        AssertSqlSafe(Arc::clone(text)).into_sql_str()
    }
}

/// The statement confined to one ledger. The number is one, so it needs no quoting.
fn confined(sql: &str, number: Option<i64>) -> String {
    let (column, value) = match number {
        None => (String::new(), String::new()),
        Some(number) => ("ledger, ".to_owned(), format!("{number}, ")),
    };
    let sql = sql.replace("OWNER(), ", &value).replace("OWNER, ", &column);
    let mut parts = sql.split("OWN(");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (table, rest) = part.split_once(')').unwrap_or((part, ""));
        match number {
            None => text.push_str("TRUE"),
            Some(number) => text.extend([table, ".ledger = ", &number.to_string()]),
        }
        text.push_str(rest);
    }
    text
}

/// A connection and the ledger whose rows are meant.
pub(crate) struct Scope<'a, D: Dialect> {
    pub(crate) conn: &'a mut D::Connection,
    pub(crate) context: &'a mut Context,
}

impl<D: Dialect> Scope<'_, D> {
    pub(crate) fn place(&self) -> &Place {
        &self.context.place
    }

    /// Runs a statement; returns how many rows it met.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        values: Vec<Value<'_>>,
    ) -> Result<u64, LedgerError> {
        let sql = self.context.statement(sql);
        D::execute(self.conn, sql, values).await.map_err(|e| D::fault(&self.context.place, e))
    }

    /// Asks for rows.
    pub(crate) async fn rows(
        &mut self,
        sql: &'static str,
        values: Vec<Value<'_>>,
    ) -> Result<Vec<D::Row>, LedgerError> {
        let sql = self.context.statement(sql);
        D::fetch(self.conn, sql, values).await.map_err(|e| D::fault(&self.context.place, e))
    }

    /// Asks for a row; the first, if there are more.
    pub(crate) async fn row(
        &mut self,
        sql: &'static str,
        values: Vec<Value<'_>>,
    ) -> Result<Option<D::Row>, LedgerError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Asks for one number.
    pub(crate) async fn number(
        &mut self,
        sql: &'static str,
        values: Vec<Value<'_>>,
    ) -> Result<i64, LedgerError> {
        let row = self.row(sql, values).await?;
        let number =
            row.map(|row| D::int(&row, 0)).transpose().map_err(|e| D::fault(&self.context.place, e))?;
        Ok(number.flatten().unwrap_or_default())
    }
}

/// Runs `$body` with `$scope` in a transaction that sees one moment.
macro_rules! in_one_moment {
    ($db:ident, |$scope:ident| $body:expr) => {{
        let context = &mut *$db.context;
        let mut tx = D::begin_reading($db.conn).await.map_err(|e| D::fault(&context.place, e))?;
        let done = {
            let $scope = &mut crate::sql::Scope::<D> { conn: &mut tx, context };
            $body
        };
        tx.commit().await.map_err(|e| D::fault(&context.place, e))?;
        Ok(done)
    }};
}
pub(crate) use in_one_moment;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_confined_to_its_ledger_where_there_are_many() {
        let sql =
            "SELECT 1 FROM fills f JOIN intents i ON OWN(i) AND i.id = f.intent WHERE OWN(f) AND f.seq > ?";
        let many = "SELECT 1 FROM fills f JOIN intents i ON i.ledger = 7 AND i.id = f.intent \
            WHERE f.ledger = 7 AND f.seq > ?";
        assert_eq!(confined(sql, Some(7)), many);
        assert_eq!(confined(sql, None), sql.replace("OWN(i)", "TRUE").replace("OWN(f)", "TRUE"));
        let insert = "INSERT INTO fills (OWNER, seq) VALUES (OWNER(), ?)";
        assert_eq!(confined(insert, Some(7)), "INSERT INTO fills (ledger, seq) VALUES (7, ?)");
        assert_eq!(confined(insert, None), "INSERT INTO fills (seq) VALUES (?)");
    }
}
