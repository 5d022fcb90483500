use super::*;

fn cash(text: &str) -> Cash {
    Cash::parse(text).unwrap()
}

fn rules() -> InstrumentRules {
    InstrumentRules::from_decimals("BTC-USD".parse().unwrap(), "0.01", "0.001", "1").unwrap()
}

struct Fixture {
    limits: Limits,
    account_limits: AccountLimits,
    rules: InstrumentRules,
}

impl Fixture {
    fn new() -> Self {
        Self { limits: Limits::defaults(), account_limits: AccountLimits::defaults(), rules: rules() }
    }

    /// A strategy of 10 000 that holds nothing: an entry of exactly 5 % passes every check.
    fn context(&self) -> Context<'_> {
        Context {
            limits: &self.limits,
            account_limits: &self.account_limits,
            rules: &self.rules,
            confidence: Percent(650_000),
            in_flight: None,
            since_last_fill: None,
            entries_today: 0,
            open_positions: 0,
            equity: cash("10000"),
            position_value: cash("0"),
            exposure: cash("0"),
            free_cash: cash("10000"),
            account_equity: cash("20000"),
            account_exposure: cash("0"),
            account_free_cash: cash("20000"),
            fee: BasisPoints(600_000),
            slippage: BasisPoints(20_000),
        }
    }
}

fn buy(quantity: &str) -> Draft {
    Draft {
        side: Side::Buy,
        kind: OrderKind::Market,
        quantity: rules().parse_quantity(quantity).unwrap(),
        purpose: Purpose::Entry,
        price: rules().parse_price("100").unwrap(),
    }
}

#[test]
fn an_entry_at_its_limits_passes_and_one_unit_beyond_is_denied() {
    let fixture = Fixture::new();
    assert!(approve_entry(&fixture.context(), buy("5")).is_ok(), "500 is exactly 5 % of 10 000");
    let denial = approve_entry(&fixture.context(), buy("5.001")).unwrap_err();
    assert_eq!(denial, Denial::MaxPosition { notional: cash("500.1"), limit: cash("500") });
    assert!(approve_entry(&fixture.context(), buy("0.25")).is_ok(), "25 is exactly the least notional");
    let denial = approve_entry(&fixture.context(), buy("0.249")).unwrap_err();
    assert_eq!(denial, Denial::BelowMinNotional { notional: cash("24.9"), limit: cash("25") });
}

#[test]
fn each_check_denies_with_its_own_reason_and_values() {
    let fixture = Fixture::new();
    let context = fixture.context();
    let cases: Vec<(Context<'_>, Denial)> = vec![
        (
            Context { confidence: Percent(649_999), ..context },
            Denial::BelowConfidence { confidence: Percent(649_999), limit: Percent(650_000) },
        ),
        (Context { in_flight: Some(IntentId(7)), ..context }, Denial::OrderInFlight { intent: IntentId(7) }),
        (
            Context { since_last_fill: Some(Millis(3_599_999)), ..context },
            Denial::Cooldown { elapsed: Millis(3_599_999), limit: Millis(3_600_000) },
        ),
        (Context { entries_today: 4, ..context }, Denial::MaxTradesPerDay { count: 4, limit: 4 }),
        (Context { open_positions: 10, ..context }, Denial::MaxOpenPositions { count: 10, limit: 10 }),
        (
            Context { position_value: cash("0.01"), ..context },
            Denial::MaxPosition { notional: cash("500.01"), limit: cash("500") },
        ),
        (
            Context { exposure: cash("7500.01"), ..context },
            Denial::MaxExposure { exposure: cash("8000.01"), limit: cash("8000") },
        ),
        (
            Context { account_exposure: cash("15500.01"), ..context },
            Denial::MaxAccountExposure { exposure: cash("16000.01"), limit: cash("16000") },
        ),
        // 500 with 2 bps of slippage is 500.1; 60 bps of that are 3.0006.
        (
            Context { free_cash: cash("503.1"), ..context },
            Denial::InsufficientFunds { needed: cash("503.1006"), available: cash("503.1") },
        ),
        (
            Context { account_free_cash: cash("1"), ..context },
            Denial::InsufficientFunds { needed: cash("503.1006"), available: cash("1") },
        ),
    ];
    for (context, denial) in cases {
        assert_eq!(approve_entry(&context, buy("5")).unwrap_err(), denial);
    }
}

#[test]
fn a_limit_just_reached_still_passes() {
    let fixture = Fixture::new();
    let context = fixture.context();
    for context in [
        Context { since_last_fill: Some(Millis(3_600_000)), ..context },
        Context { entries_today: 3, ..context },
        Context { open_positions: 9, ..context },
        Context { exposure: cash("7500"), ..context },
        Context { account_exposure: cash("15500"), ..context },
        Context { free_cash: cash("503.1006"), ..context },
    ] {
        assert!(approve_entry(&context, buy("5")).is_ok());
    }
}

#[test]
fn a_limit_in_percent_is_rounded_down() {
    let fixture = Fixture::new();
    // 5 % and 80 % of that are 500.00000000000000000005 and 8000.0000000000000000008: 18 decimals leave 500 and 8000.
    let (hair, equity) = (cash("0.000000000000000001"), cash("10000.000000000000000001"));
    let context = Context { equity, position_value: hair, ..fixture.context() };
    let denial = approve_entry(&context, buy("5")).unwrap_err();
    assert_eq!(denial, Denial::MaxPosition { notional: cash("500.000000000000000001"), limit: cash("500") });
    let context = Context { equity, exposure: cash("7500.000000000000000001"), ..fixture.context() };
    let denial = approve_entry(&context, buy("5")).unwrap_err();
    let exposure = cash("8000.000000000000000001");
    assert_eq!(denial, Denial::MaxExposure { exposure, limit: cash("8000") });
}

#[test]
fn what_cannot_be_computed_is_denied() {
    let fixture = Fixture::new();
    let context = Context { exposure: Cash(i128::MAX), ..fixture.context() };
    assert_eq!(approve_entry(&context, buy("5")).unwrap_err(), Denial::Overflow);
}

#[test]
fn an_exit_only_reduces() {
    let held = rules().parse_quantity("1").unwrap();
    let sell = |quantity| Draft { side: Side::Sell, purpose: Purpose::SignalExit, ..buy(quantity) };
    assert!(approve_exit(held, sell("1")).is_some());
    assert!(approve_exit(held, sell("0.001")).is_some(), "no least notional stands in the way");
    assert!(approve_exit(held, sell("1.001")).is_none());
    assert!(approve_exit(held, sell("0")).is_none());
    assert!(approve_exit(held, buy("0.5")).is_none());
    assert!(approve_exit(held, Draft { purpose: Purpose::Entry, ..sell("0.5") }).is_none());
}
