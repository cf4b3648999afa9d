//! Simple statistics: medians are robust on a noisy machine.

/// The median. For an even number of values it is the mean of the two in the middle. `None` without values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some((values[middle - 1] + upper) / 2.0) }
}

/// The smallest value that at least this share (0 to 1) of all values does not exceed. Reorders the values. `None`
/// without values.
pub fn percentile<T: Ord + Copy>(values: &mut [T], share: f64) -> Option<T> {
    let last = values.len().checked_sub(1)?;
    let rank = (share * values.len() as f64).ceil() as usize;
    let (_, value, _) = values.select_nth_unstable(rank.saturating_sub(1).min(last));
    Some(*value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 3.0, 4.0]), Some(3.5));
    }

    #[test]
    fn percentiles_by_nearest_rank() {
        assert_eq!(percentile::<u32>(&mut [], 0.5), None);
        let mut values: Vec<u32> = (1..=100).rev().collect();
        for (share, expected) in [(0.0, 1), (0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100)] {
            assert_eq!(percentile(&mut values, share), Some(expected), "{share}");
        }
        assert_eq!(percentile(&mut [7, 5], 0.5), Some(5));
    }
}
