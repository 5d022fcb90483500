//! Small texts for people: times.

use tradewind_core::time::Timestamp;

/// `2024-05-01T13:00Z`, with seconds only when there are any.
pub fn time(at: Timestamp) -> String {
    let Ok(stamp) = jiff::Timestamp::from_millisecond(at.0) else { return "-".to_owned() };
    let format = if at.0.rem_euclid(60_000) == 0 { "%Y-%m-%dT%H:%MZ" } else { "%Y-%m-%dT%H:%M:%S%.fZ" };
    stamp.strftime(format).to_string()
}

/// `2024-05-01`.
pub fn day(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| "-".to_owned(), |s| s.strftime("%Y-%m-%d").to_string())
}

/// A UTC date (`2024-05-01`) or time (RFC 3339) as people type it.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(stamp.as_millisecond()));
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_utc() {
        assert_eq!(time(Timestamp(1_714_568_400_000)), "2024-05-01T13:00Z");
        assert_eq!(time(Timestamp(1_714_568_400_150)), "2024-05-01T13:00:00.15Z");
        assert_eq!(day(Timestamp(1_714_568_400_000)), "2024-05-01");
    }

    #[test]
    fn dates_and_times_are_read_as_utc() {
        assert_eq!(parse_time("2024-05-01"), Some(Timestamp(1_714_521_600_000)));
        assert_eq!(parse_time("2024-05-01T13:00:00Z"), Some(Timestamp(1_714_568_400_000)));
        assert_eq!(parse_time("yesterday"), None);
    }
}
