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

/// Any number, and often one of the first or last thousand.
fn at_the_edges() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), i64::MIN..i64::MIN + 1000, i64::MAX - 1000..=i64::MAX, -1000_i64..1000]
}

/// Whether `part` is the whole number at or next below `units` times `share` of `one`; at or next above for up.
fn is_rounded(part: i128, units: i128, share: i64, one: i64, rounding: Rounding) -> bool {
    let (exact, found) = (I256::from(units) * I256::from(share), I256::from(part) * I256::from(one));
    let off = if rounding == Rounding::Down { exact - found } else { found - exact };
    (I256::from(0)..I256::from(one)).contains(&off)
}

proptest! {
    #[test]
    fn any_amount_survives_its_text(units in any::<i64>(), scale in 0_u8..=18) {
        prop_assert_eq!(parse_fixed(&format_fixed(i128::from(units), scale), scale), Ok(i128::from(units)));
        let cash = Cash(i128::from(units));
        prop_assert_eq!(Cash::parse(&cash.to_string()), Ok(cash));
    }

    #[test]
    fn a_percentage_survives_its_text_up_to_the_ends_of_the_range(units in at_the_edges()) {
        let (percent, bps) = (Percent(units), BasisPoints(units));
        let text = percent.to_string();
        prop_assert_eq!(Percent::parse(text.strip_suffix('%').unwrap()), Ok(percent));
        let text = bps.to_string();
        prop_assert_eq!(BasisPoints::parse(text.strip_suffix(" bps").unwrap()), Ok(bps));
    }

    #[test]
    fn a_percentage_that_does_not_fit_or_is_too_fine_is_refused(beyond in 1_i128..1 << 100, digit in 1_u8..=9) {
        for units in [i128::from(i64::MAX) + beyond, i128::from(i64::MIN) - beyond] {
            let text = format_fixed(units, 4);
            let too_large = Err(MoneyError::TooLarge { text: text.chars().take(40).collect() });
            prop_assert_eq!(Percent::parse(&text).map(|percent| percent.0), too_large.clone());
            prop_assert_eq!(BasisPoints::parse(&text).map(|bps| bps.0), too_large);
        }
        let text = format!("1.0000{digit}");
        let too_fine = Err(MoneyError::TooPrecise { text: text.clone(), scale: 4 });
        prop_assert_eq!(Percent::parse(&text).map(|percent| percent.0), too_fine.clone());
        prop_assert_eq!(BasisPoints::parse(&text).map(|bps| bps.0), too_fine);
    }

    #[test]
    fn a_share_of_an_amount_is_exact_but_for_its_rounding(units in any::<i128>(), share in at_the_edges()) {
        for rounding in [Rounding::Down, Rounding::Up] {
            // What does not fit is an error, never another amount.
            if let Ok(part) = Cash(units).percent(Percent(share), rounding) {
                prop_assert!(is_rounded(part.0, units, share, PERCENT_ONE, rounding), "{part:?}");
            }
            if let Ok(part) = Cash(units).basis_points(BasisPoints(share), rounding) {
                prop_assert!(is_rounded(part.0, units, share, BPS_ONE, rounding), "{part:?}");
            }
        }
    }

    #[test]
    fn a_share_of_at_most_the_whole_always_fits(units in any::<i128>(), share in 0..=PERCENT_ONE) {
        for rounding in [Rounding::Down, Rounding::Up] {
            let part = Cash(units).percent(Percent(share), rounding).unwrap();
            prop_assert!(part.0.unsigned_abs() <= units.unsigned_abs());
        }
    }

    #[test]
    fn the_percentage_an_amount_is_of_another_is_rounded_down_and_stops_at_the_ends(part in any::<i128>(), whole in any::<i128>()) {
        let found = Cash(part).percent_of(Cash(whole)).0;
        if whole <= 0 {
            prop_assert_eq!(found, 0);
        } else {
            let (exact, whole) = (I256::from(part) * I256::from(PERCENT_ONE), I256::from(whole));
            let (found, next) = (I256::from(found) * whole, I256::from(i128::from(found) + 1) * whole);
            prop_assert!(found <= exact || found == I256::from(i64::MIN) * whole);
            prop_assert!(exact < next || found == I256::from(i64::MAX) * whole);
        }
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
