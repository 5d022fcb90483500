//! Signals as other programs know them: published on `trading_signals` and `trading_signals_<SYMBOL>`.
//!
//! What a subscriber does not hear, because he is away, is gone for him; the streams keep it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tradewind_core::money::Percent;
use tradewind_core::order::Side;
use tradewind_ledger::outbox::event::Signal;

use crate::http::number::Number;

/// The channel of all signals; each instrument has one besides, with `_` and its symbol at the end.
pub const CHANNEL: &str = "trading_signals";

/// A signal as it is published.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChannelSignal {
    /// The row of the view `trading_signals` of the ledger. The same each time the signal is published.
    pub signal_id: u64,
    /// Such as BTC-USD.
    pub symbol: String,
    /// BUY or SELL.
    #[schemars(with = "String", extend("enum" = ["BUY", "SELL"]))]
    pub signal_type: &'static str,
    /// How sure it was, 0 to 1.
    #[schemars(with = "f64", range(min = 0, max = 1))]
    pub confidence: Number,
    /// How sure a model was; null while there is none.
    #[schemars(with = "Option<f64>")]
    pub xgboost_confidence: Option<Number>,
    /// Close of the bar it was made at.
    #[schemars(with = "f64")]
    pub price: Number,
    /// When it was made, RFC 3339 in UTC.
    pub created_at: String,
    /// Null while there is no model.
    pub model_version: Option<String>,
    /// Null while no signal has one.
    #[schemars(with = "Option<f64>")]
    pub signal_strength: Option<Number>,
    /// The indicators it rests on, by name.
    pub features_used: BTreeMap<String, Option<f64>>,
    /// The same as `created_at`.
    pub timestamp: String,
    /// Name of the strategy.
    pub source: String,
}

impl ChannelSignal {
    /// The signal of an event that happened at that time; none when its numbers are none.
    pub fn new(signal: &Signal, at: &str) -> Option<Self> {
        Some(Self {
            signal_id: signal.signal_id,
            symbol: signal.symbol.clone(),
            signal_type: match signal.side {
                Side::Buy => "BUY",
                Side::Sell => "SELL",
            },
            confidence: Number::ratio_of(Percent::parse(&signal.confidence_percent).ok()?),
            xgboost_confidence: None,
            price: Number::text(&signal.price)?,
            created_at: at.to_owned(),
            model_version: None,
            signal_strength: None,
            features_used: signal.readings.clone(),
            timestamp: at.to_owned(),
            source: signal.strategy.name.clone(),
        })
    }

    /// Where it is published.
    pub fn channels(&self) -> [String; 2] {
        [CHANNEL.to_owned(), format!("{CHANNEL}_{}", self.symbol)]
    }
}

#[cfg(test)]
mod tests {
    use tradewind_ledger::outbox::event::StrategyRef;

    use super::*;

    #[test]
    fn a_signal_has_the_fields_and_numbers_that_subscribers_know() {
        let signal = Signal {
            signal_id: 42,
            strategy: StrategyRef { uid: String::new(), name: "btc-trend".to_owned() },
            symbol: "BTC-USD".to_owned(),
            side: Side::Sell,
            confidence_percent: "71.25".to_owned(),
            price: "64123.10".to_owned(),
            bar: String::new(),
            readings: BTreeMap::from([("fast".to_owned(), Some(1.5)), ("slow".to_owned(), None)]),
        };
        let told = ChannelSignal::new(&signal, "2024-01-01T00:00:00.000Z").unwrap();
        assert_eq!(told.channels(), ["trading_signals", "trading_signals_BTC-USD"]);
        // Digit for digit: no float was in between.
        assert_eq!(
            serde_json::to_string(&told).unwrap(),
            "{\"signal_id\":42,\"symbol\":\"BTC-USD\",\"signal_type\":\"SELL\",\"confidence\":0.7125,\
             \"xgboost_confidence\":null,\"price\":64123.1,\"created_at\":\"2024-01-01T00:00:00.000Z\",\
             \"model_version\":null,\"signal_strength\":null,\"features_used\":{\"fast\":1.5,\"slow\":null},\
             \"timestamp\":\"2024-01-01T00:00:00.000Z\",\"source\":\"btc-trend\"}"
        );
    }
}
