//! Sizing: how much an entry buys, always rounded down to the lot.

use crate::config::SizingConfig;
use crate::denial::Denial;
use crate::instrument::InstrumentRules;
use crate::money::{Cash, Price, Quantity, Rounding};

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
            let amount =
                quantities.iter().find(|(symbol, _)| *symbol == rules.symbol).map(|(_, amount)| *amount);
            let amount = amount.ok_or(Denial::BelowLot)?;
            rules.floor_lot(rules.quantity_of_base(amount).map_err(|_| Denial::Overflow)?)
        }
    };
    if quantity.0 <= 0 { Err(Denial::BelowLot) } else { Ok(quantity) }
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
        assert_eq!(size(&sizing, &rules(), Cash::parse("1000").unwrap(), price), Err(Denial::BelowLot));
        assert_eq!(size(&sizing, &rules(), Cash(0), price), Err(Denial::NoEquity { equity: Cash(0) }));
    }

    #[test]
    fn a_fixed_quantity_is_that_quantity() {
        let quantities = vec![("BTC-USD".parse().unwrap(), Cash::parse("0.1").unwrap())];
        let sizing = SizingConfig::FixedQuantity { quantities };
        assert_eq!(size(&sizing, &rules(), Cash(1), Price(1)), Ok(rules().parse_quantity("0.1").unwrap()));
        let none = SizingConfig::FixedQuantity { quantities: Vec::new() };
        assert_eq!(size(&none, &rules(), Cash(1), Price(1)), Err(Denial::BelowLot));
    }
}
