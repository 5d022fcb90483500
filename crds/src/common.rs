//! What the kinds share: numbers, durations, names and references as people write them, each with its bounds in the
//! schema and one exact conversion to the engine's type.
//!
//! Nothing here rounds: a value the engine cannot hold exactly is an error.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use tradewind_core::halt::HaltAction as CoreHaltAction;
use tradewind_core::money::{BasisPoints, Cash, MoneyError, Percent};
use tradewind_core::name::{Asset, NameError, Symbol};
use tradewind_core::time::{Millis, Timestamp};

/// The group of all four kinds.
pub const GROUP: &str = "tradewind.dev";
/// The version they are served in.
pub const VERSION: &str = "v1alpha1";
/// Most characters of the names of accounts, strategies and policies: what we add to them still fits a DNS label.
pub const MAX_NAME: usize = 52;

/// A DNS label, as namespaces are named.
pub(crate) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A DNS name: labels joined by dots.
pub(crate) const DNS_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

const DECIMAL: &str = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,18})?$";
const GO_DURATION: &str = r"^([0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h)){1,4}$";
const OBJECT_NAME: &str = r"^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$";
const SYMBOL: &str = r"^[A-Z0-9]{1,12}-[A-Z0-9]{1,12}$";
const ASSET: &str = r"^[A-Z0-9]{1,12}$";
const UID: &str = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
const KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// What a pattern of a schema asks for, in words, and how to satisfy it.
pub(crate) const PATTERN_WORDS: &[(&str, &str, &str)] = &[
    (DECIMAL, "must be a decimal number, zero or more", "write it like \"12.5\""),
    (GO_DURATION, "must be a duration", "write it like 150ms, 10s, 60m or 1h30m"),
    (OBJECT_NAME, "must be a lower-case DNS label that starts with a letter", "write it like btc-trend"),
    (SYMBOL, "must be a symbol of base and quote asset", "write it in capitals, like BTC-USD"),
    (ASSET, "must be the code of an asset", "write it in capitals, like USD"),
    (UID, "must be a uid", "copy it from the object's metadata.uid"),
    (
        KEY,
        "must be the name of an object",
        "write it like btc-trend or, of another namespace, desk/btc-trend",
    ),
    (DNS_LABEL, "must be a lower-case DNS label", "write it like desk-1"),
    (DNS_NAME, "must be a lower-case DNS name", "write it like btc-trend"),
];

/// Why a duration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not in Go's syntax.
    #[error("{text:?} is not a duration; write it like 150ms, 10s, 60m or 1h30m")]
    Syntax {
        /// What was given.
        text: String,
    },
    /// Finer than a millisecond.
    #[error("{text:?} is finer than a millisecond; use whole milliseconds")]
    TooFine {
        /// What was given.
        text: String,
    },
    /// More than the engine can count.
    #[error("{text:?} is too long; use fewer hours")]
    TooLong {
        /// What was given.
        text: String,
    },
}

/// Text newtypes: a string with a pattern and a length in the schema.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $pattern:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "maxLength": $max})
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_type!(
    /// An exact amount, zero or more, as decimal text: up to 15 digits before the point and 18 after it.
    Decimal,
    DECIMAL,
    34
);
text_type!(
    /// A span of time in Go's syntax, in whole milliseconds.
    GoDuration,
    GO_DURATION,
    48
);
text_type!(
    /// The name of another object: a DNS label of at most 52 characters.
    ObjectName,
    OBJECT_NAME,
    52
);
text_type!(
    /// An instrument as base and quote asset.
    SymbolText,
    SYMBOL,
    25
);
text_type!(
    /// The code of an asset.
    AssetText,
    ASSET,
    12
);
text_type!(
    /// The uid of an object.
    UidText,
    UID,
    36
);
text_type!(
    /// The name of an object, with its namespace before a slash where that is another.
    KeyText,
    KEY,
    317
);

impl Decimal {
    /// The amount, exact.
    pub fn exact(&self) -> Result<Cash, MoneyError> {
        Cash::parse(&self.0)
    }
}

impl From<Cash> for Decimal {
    fn from(cash: Cash) -> Self {
        Self(cash.to_string())
    }
}

impl SymbolText {
    /// The symbol.
    pub fn exact(&self) -> Result<Symbol, NameError> {
        self.0.parse()
    }
}

impl AssetText {
    /// The asset.
    pub fn exact(&self) -> Result<Asset, NameError> {
        self.0.parse()
    }
}

impl GoDuration {
    /// The span in milliseconds.
    pub fn exact(&self) -> Result<Millis, DurationError> {
        let text = || self.0.chars().take(48).collect::<String>();
        let syntax = || DurationError::Syntax { text: text() };
        let too_long = || DurationError::TooLong { text: text() };
        if self.0.is_empty() {
            return Err(syntax());
        }
        let mut rest = self.0.as_str();
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let number = leading(rest, |c| c.is_ascii_digit() || c == '.');
            let after = rest.get(number.len()..).unwrap_or_default();
            let unit = leading(after, |c| c.is_ascii_alphabetic());
            rest = after.get(unit.len()..).unwrap_or_default();
            let unit_ms: i64 = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(syntax()),
            };
            let micros = tradewind_core::money::parse_fixed(number, 3).map_err(|error| match error {
                MoneyError::TooPrecise { .. } => DurationError::TooFine { text: text() },
                _ => syntax(),
            })?;
            let micros = i64::try_from(micros).map_err(|_| too_long())?;
            let micros = micros.checked_mul(unit_ms).ok_or_else(too_long)?;
            if micros % 1_000 != 0 {
                return Err(DurationError::TooFine { text: text() });
            }
            total = total.checked_add(micros / 1_000).ok_or_else(too_long)?;
        }
        Ok(Millis(total))
    }

    /// The shortest way to write that many milliseconds: `90m` becomes `1h30m`.
    pub fn of(span: Millis) -> Self {
        let mut text = String::new();
        let mut rest = span.0.max(0);
        for (unit, unit_ms) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if rest >= unit_ms {
                let _ = write!(text, "{}{unit}", rest / unit_ms);
                rest %= unit_ms;
            }
        }
        if text.is_empty() { Self::from("0s") } else { Self(text) }
    }
}

/// The longest start of `text` whose characters all fit.
fn leading(text: &str, fits: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Number newtypes: a plain JSON number of at most four decimals. The float is only the wire form: its shortest text
/// is what the person wrote, and that text is converted exactly.
macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident => $exact:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub f64);

        impl $name {
            /// The number, exact; more than four decimals are an error.
            pub fn exact(self) -> Result<$exact, MoneyError> {
                <$exact>::parse(&self.0.to_string())
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "number"})
            }
        }
    };
}

number_type!(
    /// A percentage as a JSON number: 2.5 is 2.5 %.
    PercentNumber => Percent
);
number_type!(
    /// Hundredths of a percent as a JSON number: 40 is 0.4 %.
    BpsNumber => BasisPoints
);

/// Names an object of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Name of the object, in the same namespace: a DNS label of at most 52 characters.
    pub name: ObjectName,
}

impl From<&str> for ObjectRef {
    fn from(name: &str) -> Self {
        Self { name: name.into() }
    }
}

/// A variant without settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// What a halt does beside stopping entries, in rising severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum HaltAction {
    /// No new entries; entries already open stay.
    StopEntries,
    /// No new entries; open entries are cancelled.
    #[default]
    CancelEntries,
    /// As `CancelEntries`, and what is held is sold.
    Liquidate,
}

impl From<HaltAction> for CoreHaltAction {
    fn from(action: HaltAction) -> Self {
        match action {
            HaltAction::StopEntries => Self::StopEntries,
            HaltAction::CancelEntries => Self::CancelEntries,
            HaltAction::Liquidate => Self::Liquidate,
        }
    }
}

impl From<CoreHaltAction> for HaltAction {
    fn from(action: CoreHaltAction) -> Self {
        match action {
            CoreHaltAction::StopEntries => Self::StopEntries,
            CoreHaltAction::CancelEntries => Self::CancelEntries,
            CoreHaltAction::Liquidate => Self::Liquidate,
        }
    }
}

/// At most that many bytes of a text, cut between characters; an ellipsis says that there was more.
pub fn cut(text: &str, most: usize) -> String {
    const DOTS: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(DOTS.len());
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= room).last().unwrap_or_default();
    format!("{}{DOTS}", text.get(..end).unwrap_or_default())
}

/// The moment an object was made, as the engine counts time.
pub(crate) fn timestamp(time: &Time) -> Timestamp {
    Timestamp(time.0.as_millisecond())
}

/// Which halts hold and what they do together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HaltStatus {
    /// True while any halt holds: no entries are made, exits go on.
    pub active: bool,
    /// The severest action of all halts that hold; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<HaltAction>,
    /// The names of the halts that hold, in one line for people; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub by: Option<String>,
    /// Each halt that holds, with who, why and when; at most 64 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 64))]
    pub sources: Vec<HaltSource>,
}

/// One halt that holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HaltSource {
    /// Name of the TradingHalt, or spec.halted before it is latched.
    #[schemars(length(max = 317))]
    pub name: String,
    /// Uid of the TradingHalt: what spec.resume.haltID must say to resume it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<UidText>,
    /// What this halt does by itself.
    pub action: HaltAction,
    /// Why, in the words of whoever made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// Who made it, as the halt says; empty when it does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub requested_by: String,
    /// When the halt was made; absent while it is not latched yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The one command that resumes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub resume_command: String,
}

/// What the worker has in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The metadata.generation of the spec in force; behind metadata.generation while an invalid edit is held back.
    pub generation: i64,
    /// Digest of the resolved configuration in force, as the operator published it.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// Uids of the TradingHalts in force; at most 64 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 64))]
    pub halts: Vec<UidText>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_number_of_four_decimals_survives_its_way_through_a_float(units in 0_i64..=10_000_000) {
            let text = format!("{}.{:04}", units / 10_000, units % 10_000);
            let wire: PercentNumber = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(wire.exact(), Ok(Percent(units)));
            let again: PercentNumber = serde_json::from_str(&serde_json::to_string(&wire).unwrap()).unwrap();
            prop_assert_eq!(again, wire);
        }

        #[test]
        fn a_duration_is_what_its_text_says(span in 0_i64..=31_536_000_000) {
            prop_assert_eq!(GoDuration::of(Millis(span)).exact(), Ok(Millis(span)));
        }
    }

    fn millis(text: &str) -> Result<i64, DurationError> {
        GoDuration::from(text).exact().map(|span| span.0)
    }

    #[test]
    fn durations_follow_go_and_are_whole_milliseconds() {
        let known =
            [("150ms", 150), ("10s", 10_000), ("60m", 3_600_000), ("1h30m", 5_400_000), ("1.5h", 5_400_000)];
        for (text, expected) in known.into_iter().chain([("0s", 0), ("0.5s", 500), ("1h1m1s1ms", 3_661_001)])
        {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        assert!(matches!(millis("0.5ms"), Err(DurationError::TooFine { .. })));
        assert!(matches!(millis("9999999999999h"), Err(DurationError::TooLong { .. })));
        for wrong in ["", "10", "h", "1d", "-1s", "1 h", "1..5s", "1h-30m", "ms10"] {
            assert!(matches!(millis(wrong), Err(DurationError::Syntax { .. })), "{wrong}");
        }
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (span, text) in
            [(5_400_000, "1h30m"), (3_600_000, "1h"), (150, "150ms"), (0, "0s"), (61_000, "1m1s")]
        {
            assert_eq!(GoDuration::of(Millis(span)).0, text);
        }
    }

    #[test]
    fn percents_are_what_the_person_wrote_to_the_last_digit() {
        let exact = |number| PercentNumber(number).exact().map(|p| p.0);
        assert_eq!(exact(2.5), Ok(25_000));
        assert_eq!(exact(0.1), Ok(1_000), "one tenth is no binary fraction, its shortest text is");
        assert_eq!(exact(33.3333), Ok(333_333));
        assert_eq!(exact(100.0), Ok(1_000_000));
        assert!(matches!(exact(0.00001), Err(MoneyError::TooPrecise { .. })));
        assert!(exact(f64::NAN).is_err() && exact(f64::INFINITY).is_err());
        assert_eq!(BpsNumber(40.0).exact().map(|b| b.0), Ok(400_000));
    }
}
