use proptest::prelude::*;

use super::*;

#[test]
fn decimals_are_read_and_written_exactly() {
    for (text, units) in
        [("0", 0), ("12.5", 125_000), ("-0.0001", -1), ("7.25000", 72_500), ("100", 1_000_000)]
    {
        assert_eq!(parse_fixed(text, 4), Ok(units), "{text}");
    }
    assert_eq!(format_fixed(125_000, 4), "12.5000");
    assert_eq!(format_trimmed(-1, 4), "-0.0001");
    assert_eq!(format_trimmed(1_000_000, 4), "100");
    assert_eq!(format_fixed(5, 0), "5");
}

#[test]
fn what_is_not_a_plain_decimal_is_refused() {
    for text in ["", "-", ".", "1.", ".5", "1e5", "NaN", "inf", "1,5", " 1", "+1", "1.2.3", "0x10"] {
        assert!(matches!(parse_fixed(text, 4), Err(MoneyError::NotDecimal { .. })), "{text}");
    }
    assert!(matches!(parse_fixed("0.00001", 4), Err(MoneyError::TooPrecise { .. })));
    assert!(matches!(Cash::parse(&"9".repeat(40)), Err(MoneyError::TooLarge { .. })));
}

#[test]
fn rounding_goes_the_way_it_is_named() {
    for (value, down, up) in [(7, 3, 4), (-7, -4, -3), (8, 4, 4), (-8, -4, -4), (0, 0, 0)] {
        assert_eq!(div_round(value, 2, Rounding::Down), Ok(down), "{value}");
        assert_eq!(div_round(value, 2, Rounding::Up), Ok(up), "{value}");
    }
    assert!(matches!(div_round(1, 0, Rounding::Up), Err(MoneyError::DivisionByZero { .. })));
}

#[test]
fn wide_products_do_not_overflow() {
    // 10^12 whole coins times 10^12, divided by 10^12: the product needs more than 128 bits.
    let trillion = Cash::parse("1000000000000").unwrap();
    assert_eq!(trillion.mul_div(trillion.0, trillion.0, Rounding::Down), Ok(trillion));
    assert!(matches!(Cash(i128::MAX).checked_add(Cash(1)), Err(MoneyError::Overflow { .. })));
    assert!(matches!(mul_div(i128::MAX, 2, 1, Rounding::Down), Err(MoneyError::Overflow { .. })));
}

#[test]
fn sums_that_do_not_fit_stop_at_the_largest_amount() {
    assert_eq!(Cash(5).saturating_add(Cash(-7)), Cash(-2));
    assert_eq!(Cash(5).saturating_sub(Cash(7)), Cash(-2));
    let (most, least) = (Cash(i128::MAX), Cash(i128::MIN));
    assert_eq!((most.saturating_add(Cash(1)), most.saturating_sub(Cash(-1))), (most, most));
    assert_eq!((least.saturating_add(Cash(-1)), least.saturating_sub(Cash(1))), (least, least));
}

#[test]
fn text_for_people_is_rounded_to_the_nearest() {
    assert_eq!(Cash::parse("1.005").unwrap().to_text(2), "1.01");
    assert_eq!(Cash::parse("-1.004").unwrap().to_text(2), "-1.00");
    assert_eq!(Percent(41_500).to_string(), "4.15%");
    assert_eq!(BasisPoints(100_000).to_string(), "10 bps");
}

proptest! {
    #[test]
    fn any_amount_survives_its_text(units in any::<i64>(), scale in 0_u8..=18) {
        prop_assert_eq!(parse_fixed(&format_fixed(i128::from(units), scale), scale), Ok(i128::from(units)));
        let cash = Cash(i128::from(units));
        prop_assert_eq!(Cash::parse(&cash.to_string()), Ok(cash));
    }

    #[test]
    fn down_never_exceeds_up_and_both_are_within_one(value in any::<i64>(), num in 1_i128..1 << 100, den in 1_i128..1 << 100) {
        let value = i128::from(value);
        if let (Ok(down), Ok(up)) = (mul_div(value, num, den, Rounding::Down), mul_div(value, num, den, Rounding::Up)) {
            prop_assert!(down <= up && up - down <= 1);
            let exact = I256::from(value) * I256::from(num);
            prop_assert!(I256::from(down) * I256::from(den) <= exact);
            prop_assert!(I256::from(up) * I256::from(den) >= exact);
        }
    }
}
