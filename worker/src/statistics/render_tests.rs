use super::super::book::tests::small_book;
use super::*;

#[test]
fn books_stand_side_by_side_with_holding_and_a_summary_line_each() {
    let statistics = small_book().statistics();
    let table = render_table(&[("account", &statistics), ("btc-trend", &statistics)]);
    for line in [
        "                             account         btc-trend",
        "from                2024-04-19 00:00  2024-04-19 00:00",
        "equity at end                1018.00           1018.00",
        "return                        +1.80%            +1.80%",
        "  buy and hold               +10.00%           +10.00%",
        "Sharpe                           n/a               n/a",
        "max drawdown                   1.10%             1.10%",
        "  buy and hold                15.38%            15.38%",
        "  peak              2024-04-19 01:00  2024-04-19 01:00",
        "  recovery          2024-04-19 03:00  2024-04-19 03:00",
        "win rate                     100.00%           100.00%",
        "profit factor                    n/a               n/a",
        "fees                            2.00              2.00",
        "exposure time                 50.00%            50.00%",
        "  BelowLot                         1                 1",
        "account: equity 1018.00 (+1.80%, buy and hold +10.00%), fills 2, denied 1",
        "btc-trend: equity 1018.00 (+1.80%, buy and hold +10.00%), fills 2, denied 1",
    ] {
        let same = |row: &str| row.split_whitespace().eq(line.split_whitespace());
        assert!(table.lines().any(same), "{line} is not in\n{table}");
    }
    assert!(table.lines().all(|line| line == line.trim_end() && line.chars().count() <= 80), "{table}");
    assert!(!table.contains("NaN") && !table.contains("inf"), "{table}");
}

#[test]
fn values_end_in_one_column_whatever_their_length() {
    let statistics = small_book().statistics();
    let table = render_table(&[("a", &statistics)]);
    let widths: Vec<usize> = table
        .lines()
        .take_while(|line| !line.starts_with("nothing done"))
        .map(|line| line.chars().count())
        .collect();
    assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
}

#[test]
fn reasons_are_listed_by_falling_count() {
    let (mut first, mut second) = (small_book().statistics(), small_book().statistics());
    first.denials = BTreeMap::from([("NoSignal", 5), ("Cooldown", 70)]);
    second.denials = BTreeMap::from([("Halted", 6)]);
    let table = render_table(&[("account", &first), ("other", &second)]);
    let place = |reason: &str| table.find(reason).unwrap();
    assert!(place("Cooldown") < place("Halted") && place("Halted") < place("NoSignal"), "{table}");
}
