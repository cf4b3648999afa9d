//! Bars and numbers as text.

use std::time::Duration;

use super::line::{Line, Tone};

const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A bar of at most `width` columns, in steps of an eighth of a column. Any share above zero is visible.
pub(super) fn bar(share: f64, width: usize) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let mut eighths = (share * width as f64 * 8.0).round() as usize;
    if share > 0.0 && width > 0 {
        eighths = eighths.max(1);
    }
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar
}

/// A rule of `width` columns, filled from the left.
pub(super) fn progress(share: f64, width: usize) -> Line {
    let share = share.clamp(0.0, 1.0);
    let halves = (share * width as f64 * 2.0) as usize;
    let mut done = "━".repeat(halves / 2);
    if !halves.is_multiple_of(2) {
        done.push('╸');
    }
    let left = width - done.chars().count();
    Line::new().with(done, Tone::Accent).with("─".repeat(left), Tone::Dim)
}

/// The number with commas between thousands.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate in bytes a second, in decimal units.
pub(super) fn bytes_per_second(bytes: f64) -> String {
    match bytes {
        b if b >= 1e9 => format!("{:.1} GB/s", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB/s", b / 1e6),
        b => format!("{:.1} kB/s", b / 1e3),
    }
}

/// A number of microseconds, in the unit that makes it short.
pub(super) fn latency(micros: u64) -> String {
    let millis = micros as f64 / 1e3;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{millis:.1} ms"),
        10_000..1_000_000 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1e3),
    }
}

/// A time in minutes and seconds.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(0.0, 10), "");
        assert_eq!(bar(1e-9, 10), "▏");
        assert_eq!(bar(0.55, 10), "█████▌");
        assert_eq!(bar(7.0, 3), "███");
        assert_eq!(bar(f64::NAN, 3), "");
        assert_eq!(bar(1.0, 0), "");
        assert_eq!(progress(0.45, 5).plain(), "━━───");
        assert_eq!(progress(0.5, 5).plain(), "━━╸──");
        assert_eq!(progress(9.0, 3).plain(), "━━━");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([7, 1_840, 92_400, 1_500_000].map(latency), ["7 µs", "1.8 ms", "92 ms", "1.5 s"]);
        assert_eq!([0.0, 138.4e6, 2.5e9].map(bytes_per_second), ["0.0 kB/s", "138.4 MB/s", "2.5 GB/s"]);
        assert_eq!(clock(Duration::from_secs(75)), "01:15");
    }
}
