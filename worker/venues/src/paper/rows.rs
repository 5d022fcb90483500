//! Rows of the paper store to records and back: exact decimals as text, scaled by today's instrument rules.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{Cash, Price, Quantity};
use tradewind_core::name::Symbol;
use tradewind_core::order::{ClientOrderId, Liquidity, OrderKind, Side};
use tradewind_core::time::Timestamp;

use super::book::Book;
use super::order::{Marks, Order, Trade};
use super::store::StoreError;

/// One row of one table, read column by column.
pub(crate) struct Fields<'a> {
    pub(crate) table: &'static str,
    pub(crate) row: &'a SqliteRow,
}

impl Fields<'_> {
    pub(crate) fn integer(&self, column: &'static str) -> Result<i64, StoreError> {
        self.row.try_get(column).map_err(|source| StoreError::Read { table: self.table, source })
    }

    pub(crate) fn count(&self, column: &'static str) -> Result<u64, StoreError> {
        let value = self.integer(column)?;
        u64::try_from(value).map_err(|_| self.wrong(column, value.to_string()))
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.row.try_get(column).map_err(|source| StoreError::Read { table: self.table, source })
    }

    pub(crate) fn optional(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.row.try_get(column).map_err(|source| StoreError::Read { table: self.table, source })
    }

    pub(crate) fn parse<T, E>(
        &self,
        column: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        read(&text).map_err(|_| self.wrong(column, text))
    }

    fn wrong(&self, column: &'static str, value: String) -> StoreError {
        StoreError::Value { table: self.table, column, value }
    }

    /// The order in this row.
    pub(crate) fn order(&self, book: &Book) -> Result<Order, StoreError> {
        let (instrument, rules) = self.instrument(book)?;
        let price = |text: &str| rules.parse_price(text);
        let kind = match self.text("kind")?.as_str() {
            "market" => OrderKind::Market,
            "limit" => OrderKind::Limit { price: self.parse("price", price)? },
            "immediateOrCancel" => OrderKind::ImmediateOrCancel { price: self.parse("price", price)? },
            "stop" => OrderKind::Stop { trigger: self.parse("price", price)? },
            other => return Err(self.wrong("kind", other.to_owned())),
        };
        Ok(Order {
            number: self.count("number")?,
            client_order_id: self.client_order_id()?,
            instrument,
            side: self.side()?,
            kind,
            quantity: self.quantity("quantity", rules)?,
            filled: self.quantity("filled", rules)?,
            state: self.parse("state", str::parse)?,
            placed_at: Timestamp(self.integer("placed_at")?),
            bound: self.parse("bound", price)?,
            reserved: self.parse("reserved", Cash::parse)?,
            triggered: self.integer("triggered")? != 0,
        })
    }

    /// The trade in this row.
    pub(crate) fn trade(&self, book: &mut Book) -> Result<Trade, StoreError> {
        let fee_asset = self.parse("fee_asset", str::parse)?;
        let fee_asset = book.asset_index(&fee_asset);
        let (instrument, rules) = self.instrument(book)?;
        let liquidity = match self.text("liquidity")?.as_str() {
            "Maker" => Liquidity::Maker,
            "Taker" => Liquidity::Taker,
            other => return Err(self.wrong("liquidity", other.to_owned())),
        };
        Ok(Trade {
            number: self.count("number")?,
            client_order_id: self.client_order_id()?,
            instrument,
            side: self.side()?,
            price: self.parse("price", |text| rules.parse_price(text))?,
            quantity: self.quantity("quantity", rules)?,
            fee_asset,
            fee: self.parse("fee", Cash::parse)?,
            liquidity,
            at: Timestamp(self.integer("at")?),
        })
    }

    /// The marks in this row.
    pub(crate) fn marks(&self, rules: &InstrumentRules) -> Result<Marks, StoreError> {
        let close = self.optional("close")?.map(|text| {
            let wrong = self.wrong("close", text.clone());
            rules.parse_price(&text).map_err(|_| wrong)
        });
        Ok(Marks {
            open: Timestamp(self.integer("open_mark")?),
            range: Timestamp(self.integer("range_mark")?),
            used: self.quantity("used", rules)?,
            close: close.transpose()?,
        })
    }

    pub(crate) fn symbol(&self) -> Result<Symbol, StoreError> {
        self.parse("symbol", str::parse)
    }

    fn instrument<'b>(
        &self,
        book: &'b Book,
    ) -> Result<(tradewind_core::instrument::InstrumentId, &'b InstrumentRules), StoreError> {
        let symbol = self.symbol()?;
        let id = book.instrument_of(&symbol);
        let found = id.and_then(|id| Some((id, &book.instrument(id)?.rules)));
        found.ok_or(StoreError::UnknownSymbol { table: self.table, symbol })
    }

    fn client_order_id(&self) -> Result<ClientOrderId, StoreError> {
        self.parse("client_order_id", uuid::Uuid::parse_str).map(ClientOrderId)
    }

    fn side(&self) -> Result<Side, StoreError> {
        match self.text("side")?.as_str() {
            "Buy" => Ok(Side::Buy),
            "Sell" => Ok(Side::Sell),
            other => Err(self.wrong("side", other.to_owned())),
        }
    }

    fn quantity(&self, column: &'static str, rules: &InstrumentRules) -> Result<Quantity, StoreError> {
        self.parse(column, |text| rules.parse_quantity(text))
    }
}

/// Name and price of an order's kind.
pub(crate) fn kind_text(kind: OrderKind, rules: &InstrumentRules) -> (&'static str, Option<String>) {
    let text = |price: Price| Some(rules.price_text(price));
    match kind {
        OrderKind::Market => ("market", None),
        OrderKind::Limit { price } => ("limit", text(price)),
        OrderKind::ImmediateOrCancel { price } => ("immediateOrCancel", text(price)),
        OrderKind::Stop { trigger } => ("stop", text(trigger)),
    }
}

/// Maker or taker.
pub(crate) fn liquidity_text(liquidity: Liquidity) -> &'static str {
    match liquidity {
        Liquidity::Maker => "Maker",
        Liquidity::Taker => "Taker",
    }
}
