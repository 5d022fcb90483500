//! A row being read. A value that cannot be what was written is reported as tampered, never guessed.

use blake3::Hash;
use smol_str::SmolStr;
use tradewind_core::money::Cash;
use tradewind_core::name::Uid;
use tradewind_core::order::ClientOrderId;
use tradewind_core::time::Timestamp;

use super::Dialect;
use crate::error::LedgerError;
use crate::place::Place;
use crate::rows::uid;

/// A row being read; its first column is the number it is called by.
pub(crate) struct Cells<'r, D: Dialect> {
    row: &'r D::Row,
    place: &'r Place,
    table: &'static str,
}

impl<'r, D: Dialect> Cells<'r, D> {
    pub(crate) fn new(row: &'r D::Row, place: &'r Place, table: &'static str) -> Self {
        Self { row, place, table }
    }

    /// The error for a row that is not as written.
    pub(crate) fn tampered(&self) -> LedgerError {
        let seq = D::int(self.row, 0).ok().flatten().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        LedgerError::Tampered { place: self.place.clone(), table: self.table, seq }
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, LedgerError> {
        self.optional_int(column)?.ok_or_else(|| self.tampered())
    }

    pub(crate) fn optional_int(&self, column: usize) -> Result<Option<i64>, LedgerError> {
        D::int(self.row, column).map_err(|_| self.tampered())
    }

    pub(crate) fn text(&self, column: usize) -> Result<&'r str, LedgerError> {
        self.optional_text(column)?.ok_or_else(|| self.tampered())
    }

    pub(crate) fn optional_text(&self, column: usize) -> Result<Option<&'r str>, LedgerError> {
        D::text(self.row, column).map_err(|_| self.tampered())
    }

    pub(crate) fn smol(&self, column: usize) -> Result<SmolStr, LedgerError> {
        self.text(column).map(SmolStr::new)
    }

    pub(crate) fn number<T: TryFrom<i64>>(&self, column: usize) -> Result<T, LedgerError> {
        T::try_from(self.int(column)?).map_err(|_| self.tampered())
    }

    pub(crate) fn time(&self, column: usize) -> Result<Timestamp, LedgerError> {
        self.int(column).map(Timestamp)
    }

    /// A text read by `parse`.
    pub(crate) fn parsed<T>(
        &self,
        column: usize,
        parse: impl FnOnce(&'r str) -> Option<T>,
    ) -> Result<T, LedgerError> {
        parse(self.text(column)?).ok_or_else(|| self.tampered())
    }

    pub(crate) fn cash(&self, column: usize) -> Result<Cash, LedgerError> {
        self.parsed(column, |text| Cash::parse(text).ok())
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, LedgerError> {
        self.parsed(column, |text| serde_json::from_str(text).ok())
    }

    pub(crate) fn optional_uid(&self, column: usize) -> Result<Option<Uid>, LedgerError> {
        match self.optional_text(column)? {
            None | Some("") => Ok(None),
            Some(text) => uid(text).map(Some).ok_or_else(|| self.tampered()),
        }
    }

    pub(crate) fn client_order_id(&self, column: usize) -> Result<ClientOrderId, LedgerError> {
        self.parsed(column, |text| uid(text).map(|uid| ClientOrderId(uid.0)))
    }

    pub(crate) fn hash(&self, column: usize) -> Result<Hash, LedgerError> {
        self.parsed(column, |text| Hash::from_hex(text).ok())
    }
}
