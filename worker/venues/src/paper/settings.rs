//! The paper venue's settings, checked once, and what a trade costs under them.
//!
//! Fees are rounded up at the last of the 18 decimals of [`Cash`]: first the fee in the asset it is counted in, then, for
//! a third asset, its conversion.

use tradewind_core::config::{FeeAsset, PaperConfig};
use tradewind_core::money::{BPS_ONE, BasisPoints, CASH_SCALE, Cash, MoneyError, Percent, Rounding, pow10};
use tradewind_core::name::{Asset, Symbol};
use tradewind_core::order::{Liquidity, Side};
use tradewind_core::time::Millis;

use super::order::{AssetIndex, Holding};

/// Why a paper venue cannot be made of its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A rate outside 0 to 100 %.
    #[error("the paper venue's {field} is {value}; set it between 0 and 100 %")]
    Rate {
        /// Which.
        field: &'static str,
        /// What was given.
        value: String,
    },
    /// A latency that would answer before it is asked.
    #[error("the paper venue's latency is {} ms; set it to 0 or more", value.0)]
    Latency {
        /// What was given.
        value: Millis,
    },
    /// A starting balance below zero.
    #[error("the paper venue's balance of {asset} is {amount}; set it to 0 or more")]
    Balance {
        /// Of what.
        asset: Asset,
        /// What was given.
        amount: Cash,
    },
    /// An asset twice in the starting balances.
    #[error("the paper venue's balances list {asset} twice; list it once")]
    DuplicateBalance {
        /// Which.
        asset: Asset,
    },
    /// A fee asset that costs nothing.
    #[error("the price of the fee asset {asset} is {price}; set it above 0")]
    FeePrice {
        /// Which.
        asset: Asset,
        /// What was given.
        price: Cash,
    },
    /// An instrument twice in the rules.
    #[error("the instrument rules list {symbol} twice; list it once")]
    DuplicateSymbol {
        /// Which.
        symbol: Symbol,
    },
    /// More instruments than can be numbered.
    #[error("there are {count} instruments; the paper venue takes at most 65536")]
    TooManyInstruments {
        /// How many.
        count: usize,
    },
}

/// Settings that hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) slippage: BasisPoints,
    pub(crate) latency: Millis,
    pub(crate) volume_share: Percent,
    pub(crate) fees: Fees,
}

/// What trades cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fees {
    pub(crate) maker: BasisPoints,
    pub(crate) taker: BasisPoints,
    pub(crate) paid_in: PaidIn,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PaidIn {
    Quote,
    Received,
    /// `price` is in the asset `counted_in`; instruments with another quote asset pay in that.
    Other {
        asset: AssetIndex,
        price: Cash,
        counted_in: AssetIndex,
    },
}

/// The assets of one instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) base: AssetIndex,
    pub(crate) quote: AssetIndex,
}

/// What changes hands in one trade, before fees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) side: Side,
    pub(crate) pair: Pair,
    pub(crate) base: Cash,
    pub(crate) notional: Cash,
}

/// A fee of one trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) asset: AssetIndex,
    pub(crate) amount: Cash,
}

impl Settings {
    /// Checks the settings; `index` numbers assets.
    pub(crate) fn resolve(
        config: &PaperConfig,
        quote: &Asset,
        mut index: impl FnMut(&Asset) -> AssetIndex,
    ) -> Result<Self, SettingsError> {
        let fees = &config.fees;
        let bps = [("slippage", config.slippage), ("maker fee", fees.maker), ("taker fee", fees.taker)];
        for (field, rate) in bps {
            if !(0..=BPS_ONE).contains(&rate.0) {
                return Err(SettingsError::Rate { field, value: rate.to_string() });
            }
        }
        let share = config.volume_share;
        if !(0..=Percent::ONE_HUNDRED.0).contains(&share.0) {
            return Err(SettingsError::Rate { field: "volume share", value: share.to_string() });
        }
        if config.latency.0 < 0 {
            return Err(SettingsError::Latency { value: config.latency });
        }
        let paid_in = match &fees.paid_in {
            FeeAsset::Quote => PaidIn::Quote,
            FeeAsset::Received => PaidIn::Received,
            FeeAsset::Other { asset, price } if price.0 <= 0 => {
                return Err(SettingsError::FeePrice { asset: asset.clone(), price: *price });
            }
            FeeAsset::Other { asset, price } => {
                PaidIn::Other { asset: index(asset), price: *price, counted_in: index(quote) }
            }
        };
        Ok(Self {
            slippage: config.slippage,
            latency: config.latency,
            volume_share: share,
            fees: Fees { maker: fees.maker, taker: fees.taker, paid_in },
        })
    }
}

impl Fees {
    /// The rate of such a trade.
    pub(crate) fn rate(&self, liquidity: Liquidity) -> BasisPoints {
        match liquidity {
            Liquidity::Maker => self.maker,
            Liquidity::Taker => self.taker,
        }
    }

    /// The rate a buy must have quote for beside its notional, whatever the fee is paid in later.
    pub(crate) fn quote_rate_of_buys(&self, rate: BasisPoints) -> BasisPoints {
        if self.paid_in == PaidIn::Received { BasisPoints(0) } else { rate }
    }

    /// The fee of a trade. A third asset pays when its free balance covers the whole fee; else the quote asset does.
    pub(crate) fn charge(
        &self,
        trade: &Exchange,
        rate: BasisPoints,
        holding: impl FnOnce(AssetIndex) -> Holding,
    ) -> Result<Charge, MoneyError> {
        let quote = trade.pair.quote;
        match self.paid_in {
            PaidIn::Received if trade.side == Side::Buy => {
                Ok(Charge { asset: trade.pair.base, amount: trade.base.basis_points(rate, Rounding::Up)? })
            }
            PaidIn::Other { asset, price, counted_in } if counted_in == quote && asset != quote => {
                let in_quote = trade.notional.basis_points(rate, Rounding::Up)?;
                let amount = in_quote.mul_div(pow10(CASH_SCALE)?, price.0, Rounding::Up)?;
                let covered = holding(asset).free()? >= amount;
                Ok(if covered { Charge { asset, amount } } else { Charge { asset: quote, amount: in_quote } })
            }
            PaidIn::Quote | PaidIn::Received | PaidIn::Other { .. } => {
                Ok(Charge { asset: quote, amount: trade.notional.basis_points(rate, Rounding::Up)? })
            }
        }
    }
}
