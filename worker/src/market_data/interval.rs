//! The length of a bar as text.

use tradewind_core::time::{DAY_MS, Millis};

/// Reads the length of a bar, such as `1m`, `15m`, `1h` or `1d`. None when it is no whole number of seconds, minutes,
/// hours or one day, or does not divide a day evenly: bars start with the UTC day.
pub fn parse_interval(text: &str) -> Option<Millis> {
    let unit = match text.bytes().last()? {
        b's' => 1_000,
        b'm' => 60_000,
        b'h' => 3_600_000,
        b'd' => DAY_MS,
        _ => return None,
    };
    let number = text.get(..text.len() - 1)?;
    if number.is_empty() || number.starts_with('0') || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis = number.parse::<i64>().ok()?.checked_mul(unit)?;
    (DAY_MS % millis == 0).then_some(Millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_lengths_are_read_in_millis() {
        for (text, millis) in
            [("30s", 30_000), ("1m", 60_000), ("15m", 900_000), ("1h", 3_600_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse_interval(text), Some(Millis(millis)), "{text}");
        }
    }

    #[test]
    fn bar_lengths_that_do_not_divide_a_day_are_refused() {
        for text in
            ["", "h", "1", "0h", "7m", "2d", "-1h", "1.5h", "1 h", "1ms", "1H", "99999999999999999999h", "1ä"]
        {
            assert_eq!(parse_interval(text), None, "{text}");
        }
    }
}
