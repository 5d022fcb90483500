//! Amounts and shares as short texts.

use tradewind_core::decision::Stage;
use tradewind_core::money::{Cash, Percent, format_fixed};

use crate::snapshot::Totals;

/// Two decimals, no mark between thousands: `-12.50`.
pub(super) fn money(cash: Cash) -> String {
    cash.to_text(2)
}

/// Two decimals with a sign, but none on zero: `+12.50`.
pub(super) fn signed_money(cash: Cash) -> String {
    let text = money(cash);
    if cash.0 > 0 && text != "0.00" { format!("+{text}") } else { text.replace("-0.00", "0.00") }
}

/// Two decimals, half away from zero: `2.50%`.
pub(super) fn percent(percent: Percent) -> String {
    format!("{}%", hundredths(percent))
}

/// As [`percent`], with a sign, but none on zero.
pub(super) fn signed_percent(percent: Percent) -> String {
    let text = hundredths(percent);
    let plus = percent.0 > 0 && text != "0.00";
    format!("{}{}%", if plus { "+" } else { "" }, text)
}

/// A number without its sign of percent: `2.50`.
pub(super) fn hundredths(percent: Percent) -> String {
    let half = if percent.0 < 0 { -50 } else { 50 };
    format_fixed(i128::from(percent.0.saturating_add(half)) / 100, 2)
}

/// What was made on `invested`: `+12.50 (+0.13%)`.
pub(super) fn profit(equity: Cash, invested: Cash) -> String {
    let profit = difference(equity, invested);
    format!("{} ({})", signed_money(profit), signed_percent(profit.percent_of(invested)))
}

/// The difference, at its largest where it does not fit.
pub(super) fn difference(left: Cash, right: Cash) -> Cash {
    Cash(left.0.saturating_sub(right.0))
}

/// Signals that asked for a trade and were refused by us.
pub(super) fn denied(totals: &Totals) -> u64 {
    let (data, signal, order): (&str, &str, &str) =
        (Stage::Data.into(), Stage::Signal.into(), Stage::Order.into());
    let refused = totals.decisions.iter().filter(|((stage, _), _)| ![data, signal, order].contains(stage));
    refused.map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cash(text: &str) -> Cash {
        Cash::parse(text).unwrap()
    }

    #[test]
    fn gains_have_a_plus_and_nothing_has_none() {
        assert_eq!(signed_money(cash("123.455")), "+123.46");
        assert_eq!(signed_money(cash("-123.455")), "-123.46");
        assert_eq!([signed_money(cash("0.001")), signed_money(cash("-0.001"))], ["0.00", "0.00"]);
    }

    #[test]
    fn percents_are_rounded_to_hundredths() {
        // 1.2345 % and 1.2355 %.
        assert_eq!([percent(Percent(12_345)), percent(Percent(12_355))], ["1.23%", "1.24%"]);
        assert_eq!(signed_percent(Percent(-12_355)), "-1.24%");
        assert_eq!(signed_percent(Percent(12_355)), "+1.24%");
        assert_eq!(signed_percent(Percent(0)), "0.00%");
    }

    #[test]
    fn profit_is_amount_and_share_of_what_was_put_in() {
        // 123.45 of 10000 are 1.2345 %.
        assert_eq!(profit(cash("10123.45"), cash("10000")), "+123.45 (+1.23%)");
        assert_eq!(profit(cash("9000"), cash("10000")), "-1000.00 (-10.00%)");
    }

    #[test]
    fn only_refused_signals_count_as_denied() {
        let mut totals = Totals::default();
        let counts = [
            ("data", "WarmingUp", 1),
            ("signal", "NoSignal", 2),
            ("order", "Enter", 4),
            ("risk", "Cooldown", 8),
            ("threshold", "BelowConfidence", 16),
            ("halt", "Halted", 32),
            ("sizing", "BelowLot", 64),
        ];
        for (stage, outcome, count) in counts {
            totals.decisions.insert((stage, outcome), count);
        }
        assert_eq!(denied(&totals), 8 + 16 + 32 + 64);
    }
}
