//! Sizing: how much an entry buys, always rounded down to the lot.

use crate::config::SizingConfig;
use crate::denial::Denial;
use crate::instrument::InstrumentRules;
use crate::money::{Cash, Price, Quantity, Rounding};
use crate::name::Symbol;

/// The quantity an entry buys at that price, or why there is none.
pub fn size(
    sizing: &SizingConfig,
    rules: &InstrumentRules,
    equity: Cash,
    price: Price,
) -> Result<Quantity, Denial> {
    if equity.0 <= 0 {
        return Err(Denial::NoEquity { equity });
    }
    let quantity = match sizing {
        SizingConfig::FixedPercent { percent } => {
            let cash = equity.percent(*percent, Rounding::Down).map_err(|_| Denial::Overflow)?;
            rules.quantity_for(cash, price).map_err(|_| Denial::Overflow)?
        }
        SizingConfig::FixedQuantity { quantities } => {
            let amount = fixed_amount(quantities, &rules.symbol);
            rules.floor_lot(rules.quantity_of_base(amount).map_err(|_| Denial::Overflow)?)
        }
    };
    if quantity.0 <= 0 { Err(below_lot(sizing, rules, equity, price)) } else { Ok(quantity) }
}

/// Zero when the symbol is not listed.
fn fixed_amount(quantities: &[(Symbol, Cash)], symbol: &Symbol) -> Cash {
    let listed = quantities.iter().find(|(listed, _)| listed == symbol);
    listed.map_or(Cash::ZERO, |(_, amount)| *amount)
}

/// The size before it is rounded to the lot is computed for this sentence alone.
#[cold]
fn below_lot(sizing: &SizingConfig, rules: &InstrumentRules, equity: Cash, price: Price) -> Denial {
    let size = match sizing {
        SizingConfig::FixedPercent { percent } => equity
            .percent(*percent, Rounding::Down)
            .and_then(|cash| rules.base_for(cash, price, Rounding::Down)),
        SizingConfig::FixedQuantity { quantities } => Ok(fixed_amount(quantities, &rules.symbol)),
    };
    match (size, rules.base_amount(rules.lot)) {
        (Ok(size), Ok(lot)) => Denial::BelowLot { size, lot },
        _ => Denial::Overflow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Percent;

    fn rules() -> InstrumentRules {
        InstrumentRules::from_decimals("BTC-USD".parse().unwrap(), "0.01", "0.001", "1").unwrap()
    }

    #[test]
    fn a_percent_of_equity_is_rounded_down_to_the_lot() {
        // 5 % of 10 000 is 500; at 60 000 that is 0.00833…, three decimals: 0.008.
        let sizing = SizingConfig::FixedPercent { percent: Percent(50_000) };
        let price = rules().parse_price("60000").unwrap();
        let equity = Cash::parse("10000").unwrap();
        assert_eq!(
            size(&sizing, &rules(), equity, price).map(|q| rules().quantity_text(q)),
            Ok("0.008".into())
        );
        // 5 % of 1000 is 50; at 60 000 that is 0.00083…
        let [below, lot] = ["0.000833333333333333", "0.001"].map(|text| Cash::parse(text).unwrap());
        let denied = Err(Denial::BelowLot { size: below, lot });
        assert_eq!(size(&sizing, &rules(), Cash::parse("1000").unwrap(), price), denied);
        assert_eq!(size(&sizing, &rules(), Cash(0), price), Err(Denial::NoEquity { equity: Cash(0) }));
    }

    #[test]
    fn a_fixed_quantity_is_that_quantity() {
        let quantities = vec![("BTC-USD".parse().unwrap(), Cash::parse("0.1").unwrap())];
        let sizing = SizingConfig::FixedQuantity { quantities };
        assert_eq!(size(&sizing, &rules(), Cash(1), Price(1)), Ok(rules().parse_quantity("0.1").unwrap()));
        let [tiny, lot] = ["0.0009", "0.001"].map(|text| Cash::parse(text).unwrap());
        let below = SizingConfig::FixedQuantity { quantities: vec![("BTC-USD".parse().unwrap(), tiny)] };
        assert_eq!(size(&below, &rules(), Cash(1), Price(1)), Err(Denial::BelowLot { size: tiny, lot }));
        let none = SizingConfig::FixedQuantity { quantities: Vec::new() };
        let denied = Err(Denial::BelowLot { size: Cash::ZERO, lot });
        assert_eq!(size(&none, &rules(), Cash(1), Price(1)), denied);
    }
}
