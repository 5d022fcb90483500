//! Names: assets, symbols, strategies and other things people refer to. Ours, never a venue's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A name that does not follow its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not an asset code.
    #[error("asset {text:?} must be 1 to 12 capital letters or digits, such as BTC")]
    Asset {
        /// What was given.
        text: String,
    },
    /// Not a symbol.
    #[error("symbol {text:?} must be BASE-QUOTE in capitals, such as BTC-USD")]
    Symbol {
        /// What was given.
        text: String,
    },
}

/// The code of an asset, such as `BTC` or `USD`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct Asset(SmolStr);

impl Asset {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Asset {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=12).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Asset { text: text.chars().take(40).collect() })
        }
    }
}

impl TryFrom<SmolStr> for Asset {
    type Error = NameError;

    fn try_from(text: SmolStr) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Asset> for SmolStr {
    fn from(asset: Asset) -> Self {
        asset.0
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Our name of an instrument: base asset, dash, quote asset (`BTC-USD`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct Symbol {
    base: Asset,
    quote: Asset,
}

impl Symbol {
    /// The symbol of that pair.
    pub fn new(base: Asset, quote: Asset) -> Self {
        Self { base, quote }
    }

    /// What is bought and sold.
    pub fn base(&self) -> &Asset {
        &self.base
    }

    /// What it is paid in.
    pub fn quote(&self) -> &Asset {
        &self.quote
    }
}

impl FromStr for Symbol {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NameError::Symbol { text: text.chars().take(40).collect() };
        let (base, quote) = text.split_once('-').ok_or_else(wrong)?;
        let (base, quote): (Asset, Asset) =
            (base.parse().map_err(|_| wrong())?, quote.parse().map_err(|_| wrong())?);
        if base == quote { Err(wrong()) } else { Ok(Self { base, quote }) }
    }
}

impl TryFrom<SmolStr> for Symbol {
    type Error = NameError;

    fn try_from(text: SmolStr) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Symbol> for SmolStr {
    fn from(symbol: Symbol) -> Self {
        smol_str::format_smolstr!("{symbol}")
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.base, self.quote)
    }
}

/// The `metadata.uid` of an object; for objects from files a version-5 UUID of kind, namespace and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub uuid::Uuid);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn symbols_are_base_dash_quote_in_capitals() {
        let symbol: Symbol = "BTC-USD".parse().unwrap();
        assert_eq!((symbol.base().as_str(), symbol.quote().as_str()), ("BTC", "USD"));
        assert_eq!(symbol.to_string(), "BTC-USD");
        for wrong in ["BTCUSD", "btc-usd", "BTC-", "-USD", "BTC-USD-X", "BTC-BTC", "", "BTC/USD", "ÄBC-USD"]
        {
            assert!(wrong.parse::<Symbol>().is_err(), "{wrong}");
        }
    }

    /// The rule in the words of its error, for comparison.
    fn is_code(text: &str) -> bool {
        let length = text.chars().count();
        (1..=12).contains(&length) && text.chars().all(|c| matches!(c, 'A'..='Z' | '0'..='9'))
    }

    proptest! {
        #[test]
        fn an_asset_is_1_to_12_capitals_or_digits_and_nothing_else(
            text in prop_oneof!["[A-Z0-9]{0,14}", "[A-Z0-9]{0,11}[a-z ._/ÄЖ-]", any::<String>()],
        ) {
            match text.parse::<Asset>() {
                Ok(asset) => {
                    prop_assert!(is_code(&text), "{text:?}");
                    prop_assert_eq!(asset.to_string(), text);
                }
                Err(NameError::Asset { text: shown }) => {
                    prop_assert!(!is_code(&text), "{text:?}");
                    prop_assert!(text.starts_with(&shown) && shown.chars().count() <= 40);
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }

        #[test]
        fn a_symbol_is_two_different_assets_with_one_dash_and_nothing_else(
            text in prop_oneof![
                "[A-Z0-9]{0,13}-[A-Z0-9]{0,13}", "[AB]-[AB]", "[A-Z-]{0,8}", "[A-Z]{1,4}-[a-zA-Z/ ]{1,4}", any::<String>(),
            ],
        ) {
            let codes: Vec<&str> = text.split('-').collect();
            let fits = matches!(codes[..], [base, quote] if is_code(base) && is_code(quote) && base != quote);
            match text.parse::<Symbol>() {
                Ok(symbol) => {
                    prop_assert!(fits, "{text:?}");
                    prop_assert_eq!(vec![symbol.base().as_str(), symbol.quote().as_str()], codes);
                    prop_assert_eq!(symbol.to_string(), text);
                }
                Err(NameError::Symbol { text: shown }) => {
                    prop_assert!(!fits, "{text:?}");
                    prop_assert!(text.starts_with(&shown) && shown.chars().count() <= 40);
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
