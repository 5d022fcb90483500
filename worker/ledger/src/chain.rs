//! The hash chain: one canonical form of a row and the hash that links it to the row before. No I/O.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use blake3::{Hash, Hasher};
use serde::{Deserialize, Serialize};

/// The end of a ledger's hash chain. As text it is `number:hash`, the hash in 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Number of the last row; zero on a new ledger.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A text that is no end of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no end of a hash chain; it is written as the number of a row, a colon and 64 hexadecimal digits"
)]
pub struct ChainHeadError {
    /// What was given.
    pub text: String,
}

impl fmt::Display for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash.to_hex())
    }
}

impl FromStr for ChainHead {
    type Err = ChainHeadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |(seq, hash): (&str, &str)| {
            Some(Self { seq: seq.parse().ok()?, hash: Hash::from_hex(hash).ok()? })
        };
        text.split_once(':').and_then(read).ok_or_else(|| ChainHeadError { text: text.to_owned() })
    }
}

/// A value of a column, in the two types all databases agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// A text.
    Text(Cow<'a, str>),
}

impl Value<'_> {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }

    pub(crate) fn optional(text: Option<String>) -> Self {
        text.map_or(Self::Null, |t| Self::Text(Cow::Owned(t)))
    }

    fn hash_into(&self, hasher: &mut Hasher) {
        match self {
            Self::Null => hasher.update(b"-;"),
            Self::Int(number) => hasher.update(b"i").update(number.to_string().as_bytes()).update(b";"),
            Self::Text(text) => {
                let length = text.len().to_string();
                hasher
                    .update(b"t")
                    .update(length.as_bytes())
                    .update(b":")
                    .update(text.as_bytes())
                    .update(b";")
            }
        };
    }
}

/// The hash of a row, given the one before. The form is laid down in the first migration.
pub(crate) fn link(previous: &Hash, seq: i64, table: &str, values: &[Value<'_>]) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(previous.to_hex().as_bytes());
    Value::Int(seq).hash_into(&mut hasher);
    Value::Text(Cow::Borrowed(table)).hash_into(&mut hasher);
    for value in values {
        value.hash_into(&mut hasher);
    }
    hasher.finalize()
}

/// The hash the first row follows on: it ties the chain to the ledger's identity.
pub(crate) fn genesis(account: &str, account_name: &str, incarnation: i64, created_at: i64) -> Hash {
    let values = [
        Value::Text(Cow::Borrowed(account)),
        Value::Text(Cow::Borrowed(account_name)),
        Value::Int(incarnation),
        Value::Int(created_at),
    ];
    link(&Hash::from_bytes([0; 32]), 0, "ledger", &values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_hashes_the_bytes_the_migration_describes() {
        let zeros = "0".repeat(64);
        let bytes = format!("{zeros}i7;t5:halts;-;i-3;t2:é;");
        let values = [Value::Null, Value::Int(-3), Value::text("é")];
        let hash = link(&Hash::from_bytes([0; 32]), 7, "halts", &values);
        assert_eq!(hash, blake3::hash(bytes.as_bytes()));
    }

    #[test]
    fn the_end_of_a_chain_is_read_as_it_is_written() {
        let digits = "0f".repeat(32);
        let head = ChainHead { seq: 42, hash: Hash::from_bytes([0x0f; 32]) };
        assert_eq!(head.to_string(), format!("42:{digits}"));
        assert_eq!(format!("42:{digits}").parse(), Ok(head));
        for wrong in ["", "42", "42:", ":", &format!("-1:{digits}"), &format!("42:{digits}0"), "42:zz"] {
            assert!(wrong.parse::<ChainHead>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_cannot_be_moved_between_columns_unseen() {
        let zero = Hash::from_bytes([0; 32]);
        let hash = |values: &[Value<'_>]| link(&zero, 1, "fills", values);
        assert_ne!(
            hash(&[Value::text("ab"), Value::text("c")]),
            hash(&[Value::text("a"), Value::text("bc")])
        );
        assert_ne!(hash(&[Value::Int(1)]), hash(&[Value::text("1")]));
        assert_ne!(hash(&[Value::Null]), hash(&[Value::text("")]));
    }
}
