//! The paper venue's own tables (`paper_*`) in a SQLite file: WAL, synchronous FULL, one transaction a change.
//!
//! It promises that a change is on stable storage, whole, when [`Store::write`] returns, and that a book changed by
//! somebody else meanwhile is noticed. The file may be the ledger's or another; nothing here reads other tables.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tradewind_core::money::Cash;
use tradewind_core::name::{Asset, Symbol};
use tradewind_core::order::ClientOrderId;

use super::book::Book;
use super::order::{Change, Counters, Holding, Order, Trade};
use super::rows::{Fields, kind_text, liquidity_text};

/// The version of the tables this code writes.
const SCHEMA_VERSION: i64 = 1;
/// How long to wait for another writer of the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// KiB of pages the connection keeps (negative is SQLite's way to say KiB): the book is small and written at its ends.
const CACHE_KIB: &str = "-512";

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened.
    #[error(
        "the paper book {path} cannot be opened: {source}; check that the folder exists and can be written"
    )]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: sqlx::Error,
    },
    /// A table cannot be read.
    #[error("table {table} of the paper book cannot be read: {source}; check the file and its disk")]
    Read {
        /// Which.
        table: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// A change did not become durable, as far as is known.
    #[error(
        "a change of the paper book cannot be written: {0}; free the disk or the lock, then look the order up"
    )]
    Write(#[source] sqlx::Error),
    /// A venue in memory was asked for trades of long ago.
    #[error(
        "the trades after number {number} are no longer all in memory; read fills as they come, or keep the book in a file"
    )]
    Forgotten {
        /// After which.
        number: u64,
    },
    /// Written by newer code.
    #[error(
        "the paper book has tables of version {found}, this program knows {SCHEMA_VERSION}; use a newer program"
    )]
    Newer {
        /// Its version.
        found: i64,
    },
    /// A value that nobody wrote so, or that today's rules cannot hold.
    #[error(
        "{table}.{column} of the paper book is {value:?}, which today's instrument rules cannot hold; restore the file or the rules"
    )]
    Value {
        /// Which table.
        table: &'static str,
        /// Which column.
        column: &'static str,
        /// What is in it.
        value: String,
    },
    /// A row of an instrument that has no rules today.
    #[error("{table} of the paper book has {symbol}, which the market data lacks; add it to the market data")]
    UnknownSymbol {
        /// Which table.
        table: &'static str,
        /// Which instrument.
        symbol: Symbol,
    },
    /// Another process writes the same book.
    #[error("the paper book was changed by another process since version {version}; stop that one")]
    ChangedElsewhere {
        /// The version known here.
        version: u64,
    },
    /// A number beyond what a table holds.
    #[error("{what} of the paper book is too large to be stored; start a new one")]
    TooLarge {
        /// Which number.
        what: &'static str,
    },
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Store {
    connection: SqliteConnection,
}

impl Store {
    /// Opens the file, or makes it with the book as it stands.
    pub(crate) async fn open(
        path: &Path,
        template: &Book,
        balances: &[(Asset, Cash)],
    ) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { path: path.display().to_string(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", CACHE_KIB)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        // Made by us first, so that nobody else may read what the account holds.
        let made =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|e| failed(sqlx::Error::Io(e)))?;
        let mut store = Self { connection: options.connect().await.map_err(failed)? };
        match store.schema_version().await? {
            None => store.create(template, balances).await?,
            Some(found) if found > SCHEMA_VERSION => return Err(StoreError::Newer { found }),
            Some(_) => {}
        }
        Ok(store)
    }

    /// Ends the connection, so that the file can be removed.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(StoreError::Write)
    }

    async fn schema_version(&mut self) -> Result<Option<i64>, StoreError> {
        let read = |source| StoreError::Read { table: "paper_book", source };
        let exists = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'paper_book'";
        let exists: i64 = sqlx::query_scalar(exists).fetch_one(&mut self.connection).await.map_err(read)?;
        if exists == 0 {
            return Ok(None);
        }
        let version = "SELECT schema_version FROM paper_book WHERE id = 1";
        sqlx::query_scalar(version).fetch_optional(&mut self.connection).await.map_err(read)
    }

    async fn create(&mut self, template: &Book, balances: &[(Asset, Cash)]) -> Result<(), StoreError> {
        let started = serde_json::to_string(balances);
        let started = started.map_err(|e| StoreError::Write(sqlx::Error::Encode(e.into())))?;
        let mut tx = self.connection.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::Write)?;
        sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *tx).await.map_err(StoreError::Write)?;
        let row = "INSERT INTO paper_book (id, schema_version, created_with, version, orders, trades) \
                   VALUES (1, ?, ?, 0, 0, 0)";
        let row = sqlx::query(row).bind(SCHEMA_VERSION).bind(started);
        row.execute(&mut *tx).await.map_err(StoreError::Write)?;
        for (asset, holding) in template.assets.iter().zip(&template.holdings) {
            write_holding(&mut tx, asset, *holding).await?;
        }
        tx.commit().await.map_err(StoreError::Write)
    }

    /// The balances the book was made with.
    pub(crate) async fn created_with(&mut self) -> Result<Vec<(Asset, Cash)>, StoreError> {
        let table = "paper_book";
        let row =
            sqlx::query("SELECT created_with FROM paper_book WHERE id = 1").fetch_one(&mut self.connection);
        let row = row.await.map_err(|source| StoreError::Read { table, source })?;
        Fields { table, row: &row }.parse("created_with", |text| serde_json::from_str(text))
    }

    /// The book as it was last written; settings and rules are the template's.
    pub(crate) async fn load(&mut self, template: &Book) -> Result<Book, StoreError> {
        let mut book = template.clone();
        let table = "paper_book";
        let row = sqlx::query("SELECT version, orders, trades FROM paper_book WHERE id = 1");
        let row = row.fetch_one(&mut self.connection).await;
        let row = row.map_err(|source| StoreError::Read { table, source })?;
        let fields = Fields { table, row: &row };
        book.counters = Counters {
            version: fields.count("version")?,
            orders: fields.count("orders")?,
            trades: fields.count("trades")?,
        };
        self.load_holdings(&mut book).await?;
        self.load_instruments(&mut book).await?;
        let table = "paper_orders";
        let open =
            "SELECT * FROM paper_orders WHERE state IN ('Accepted', 'PartiallyFilled') ORDER BY number";
        let rows = sqlx::query(open).fetch_all(&mut self.connection).await;
        for row in &rows.map_err(|source| StoreError::Read { table, source })? {
            let order = Fields { table, row }.order(&book)?;
            book.restore(order);
        }
        Ok(book)
    }

    async fn load_holdings(&mut self, book: &mut Book) -> Result<(), StoreError> {
        let table = "paper_balances";
        let rows =
            sqlx::query("SELECT * FROM paper_balances ORDER BY asset").fetch_all(&mut self.connection).await;
        book.holdings.fill(Holding::default());
        for row in &rows.map_err(|source| StoreError::Read { table, source })? {
            let fields = Fields { table, row };
            let asset: Asset = fields.parse("asset", str::parse)?;
            let (total, reserved) =
                (fields.parse("total", Cash::parse)?, fields.parse("reserved", Cash::parse)?);
            let index = book.asset_index(&asset);
            if let Some(slot) = book.holdings.get_mut(index.0) {
                *slot = Holding { total, reserved };
            }
        }
        Ok(())
    }

    async fn load_instruments(&mut self, book: &mut Book) -> Result<(), StoreError> {
        let table = "paper_instruments";
        let rows = sqlx::query("SELECT * FROM paper_instruments").fetch_all(&mut self.connection).await;
        for row in &rows.map_err(|source| StoreError::Read { table, source })? {
            let fields = Fields { table, row };
            // An instrument that is gone and has no open order does not stop the others.
            let Some(id) = book.instrument_of(&fields.symbol()?) else { continue };
            if let Some(instrument) = book.instruments.get_mut(id.index()) {
                instrument.marks = fields.marks(&instrument.rules)?;
            }
        }
        Ok(())
    }

    /// Whether an order of that id was ever accepted.
    pub(crate) async fn knows(&mut self, id: ClientOrderId) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar("SELECT count(*) FROM paper_orders WHERE client_order_id = ?");
        let found: Result<i64, _> = found.bind(id.to_string()).fetch_one(&mut self.connection).await;
        found.map(|n| n > 0).map_err(|source| StoreError::Read { table: "paper_orders", source })
    }

    /// The order of that id, open or ended.
    pub(crate) async fn order(
        &mut self,
        id: ClientOrderId,
        book: &Book,
    ) -> Result<Option<Order>, StoreError> {
        let table = "paper_orders";
        let row = sqlx::query("SELECT * FROM paper_orders WHERE client_order_id = ?").bind(id.to_string());
        let row = row.fetch_optional(&mut self.connection).await;
        let row = row.map_err(|source| StoreError::Read { table, source })?;
        row.map(|row| Fields { table, row: &row }.order(book)).transpose()
    }

    /// At most `limit` trades after that number, oldest first.
    pub(crate) async fn trades_after(
        &mut self,
        number: u64,
        limit: u32,
        book: &mut Book,
    ) -> Result<Vec<Trade>, StoreError> {
        let table = "paper_trades";
        let rows = sqlx::query("SELECT * FROM paper_trades WHERE number > ? ORDER BY number LIMIT ?");
        // A cursor beyond the largest number has nothing after it.
        let rows = rows.bind(i64::try_from(number).unwrap_or(i64::MAX)).bind(limit);
        let rows = rows.fetch_all(&mut self.connection).await;
        let rows = rows.map_err(|source| StoreError::Read { table, source })?;
        rows.iter().map(|row| Fields { table, row }.trade(book)).collect()
    }

    /// Makes the change durable, whole, if the stored book is the one it was made from.
    pub(crate) async fn write(&mut self, book: &Book, change: &Change) -> Result<(), StoreError> {
        let mut tx = self.connection.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::Write)?;
        let Counters { version, orders, trades } = change.counters;
        let row = sqlx::query(
            "UPDATE paper_book SET version = ?, orders = ?, trades = ? WHERE id = 1 AND version = ?",
        );
        let row = row.bind(integer(version, "the version")?).bind(integer(orders, "the order count")?);
        let row = row.bind(integer(trades, "the trade count")?);
        let row = row.bind(integer(change.from_version, "the version")?);
        let done = row.execute(&mut *tx).await.map_err(StoreError::Write)?;
        if done.rows_affected() != 1 {
            return Err(StoreError::ChangedElsewhere { version: change.from_version });
        }
        for order in &change.orders {
            write_order(&mut tx, book, order).await?;
        }
        for trade in &change.trades {
            write_trade(&mut tx, book, trade).await?;
        }
        for (index, holding) in &change.holdings {
            if let Some(asset) = book.assets.get(index.0) {
                write_holding(&mut tx, asset, *holding).await?;
            }
        }
        write_marks(&mut tx, book, change).await?;
        tx.commit().await.map_err(StoreError::Write)
    }
}

async fn write_holding(tx: &mut SqliteConnection, asset: &Asset, holding: Holding) -> Result<(), StoreError> {
    let row = "INSERT INTO paper_balances (asset, total, reserved) VALUES (?, ?, ?) \
               ON CONFLICT (asset) DO UPDATE SET total = excluded.total, reserved = excluded.reserved";
    let row = sqlx::query(row).bind(asset.as_str()).bind(holding.total.to_string());
    row.bind(holding.reserved.to_string()).execute(tx).await.map(drop).map_err(StoreError::Write)
}

async fn write_order(tx: &mut SqliteConnection, book: &Book, order: &Order) -> Result<(), StoreError> {
    let Some(instrument) = book.instrument(order.instrument) else { return Ok(()) };
    let rules = &instrument.rules;
    let (kind, price) = kind_text(order.kind, rules);
    let row = "INSERT INTO paper_orders (number, client_order_id, symbol, side, kind, price, quantity, filled, state, \
                   placed_at, bound, reserved, triggered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
               ON CONFLICT (number) DO UPDATE SET filled = excluded.filled, state = excluded.state, \
                   reserved = excluded.reserved, triggered = excluded.triggered";
    let row = sqlx::query(row)
        .bind(integer(order.number, "an order's number")?)
        .bind(order.client_order_id.to_string())
        .bind(rules.symbol.to_string())
        .bind(order.side.to_string())
        .bind(kind)
        .bind(price)
        .bind(rules.quantity_text(order.quantity))
        .bind(rules.quantity_text(order.filled))
        .bind(order.state.to_string())
        .bind(order.placed_at.0)
        .bind(rules.price_text(order.bound))
        .bind(order.reserved.to_string())
        .bind(order.triggered);
    row.execute(tx).await.map(drop).map_err(StoreError::Write)
}

async fn write_trade(tx: &mut SqliteConnection, book: &Book, trade: &Trade) -> Result<(), StoreError> {
    let Some(instrument) = book.instrument(trade.instrument) else { return Ok(()) };
    let Some(fee_asset) = book.assets.get(trade.fee_asset.0) else { return Ok(()) };
    let rules = &instrument.rules;
    let row = "INSERT INTO paper_trades (number, client_order_id, symbol, side, price, quantity, fee_asset, fee, \
               liquidity, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let row = sqlx::query(row)
        .bind(integer(trade.number, "a trade's number")?)
        .bind(trade.client_order_id.to_string())
        .bind(rules.symbol.to_string())
        .bind(trade.side.to_string())
        .bind(rules.price_text(trade.price))
        .bind(rules.quantity_text(trade.quantity))
        .bind(fee_asset.as_str())
        .bind(trade.fee.to_string())
        .bind(liquidity_text(trade.liquidity))
        .bind(trade.at.0);
    row.execute(tx).await.map(drop).map_err(StoreError::Write)
}

async fn write_marks(tx: &mut SqliteConnection, book: &Book, change: &Change) -> Result<(), StoreError> {
    let Some(instrument) = book.instrument(change.instrument) else { return Ok(()) };
    let (rules, marks) = (&instrument.rules, change.marks);
    let row = "INSERT INTO paper_instruments (symbol, open_mark, range_mark, used, close) VALUES (?, ?, ?, ?, ?) \
               ON CONFLICT (symbol) DO UPDATE SET open_mark = excluded.open_mark, range_mark = excluded.range_mark, \
                   used = excluded.used, close = excluded.close";
    let row = sqlx::query(row)
        .bind(rules.symbol.to_string())
        .bind(marks.open.0)
        .bind(marks.range.0)
        .bind(rules.quantity_text(marks.used))
        .bind(marks.close.map(|close| rules.price_text(close)));
    row.execute(tx).await.map(drop).map_err(StoreError::Write)
}

fn integer(number: u64, what: &'static str) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::TooLarge { what })
}
