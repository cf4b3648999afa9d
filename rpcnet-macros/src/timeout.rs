//! Parses durations: `"250ms"`, `"1.5s"`, `"2m"`, `"1h"`.

use std::time::Duration;

/// The longest time: a year. A longer one is a mistake, and could overflow a clock when it is added.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Returns the duration, or a message that says how to write one.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let duration = parse_exact(text).ok_or_else(|| {
        format!("`{text}` is not a time: write a number and `ms`, `s`, `m` or `h`, for example \"250ms\" or \"2s\"")
    })?;
    if duration.is_zero() {
        return Err("zero leaves no time at all: write a longer time, or leave the option out".into());
    }
    if duration > LONGEST {
        return Err("a time is at most a year: write a shorter one, for example \"1h\"".into());
    }
    Ok(duration)
}

/// Parses in integers, so that `"0.1s"` is exactly a tenth of a second.
fn parse_exact(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit);
    let unit: u128 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if (1..=9).contains(&fraction.len()) => (whole, fraction),
        Some(_) => return None,
        None => (number, "0"),
    };
    let whole = u128::from(whole.parse::<u64>().ok()?);
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = u128::from(fraction.parse::<u32>().ok()?);
    let nanos = whole * unit + fraction * unit / scale;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, millis) in [
            ("250ms", 250),
            ("2s", 2_000),
            ("1.5s", 1_500),
            ("0.1s", 100),
            ("1m", 60_000),
            ("0.5m", 30_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "", "2", "s", "2 s", "-2s", "2sec", "2S", "1.s", ".5s", "1.2.3s", "1e3s", "0s", "0.0ms", "9000h",
            "２s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("{}h", u64::MAX)).is_err());
        assert!(parse(&format!("{}0h", u64::MAX)).is_err());
        assert!(parse("0.1234567890s").is_err());
    }
}
