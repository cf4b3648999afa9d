//! Latencies in buckets whose width grows with their value, as in Gil Tene's HdrHistogram.
//!
//! Values below 64 have a bucket each; above, every power of two is cut into 32 equal buckets. So a bucket is at most 1/32 of
//! its values wide, and a 64-bit value fits in one of 1920 buckets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The base-two logarithm of the number of buckets for each power of two.
const BITS: u32 = 5;
/// The value below which each value has a bucket of its own.
const EXACT: u64 = 2 << BITS;
/// The number of buckets.
const BUCKETS: u16 = (EXACT + ((64 - BITS as u64 - 1) << BITS)) as u16;

/// A log-bucketed histogram of `u64` values.
///
/// [`quantile`](Self::quantile) is never below the exact quantile and at most 1/32 (3.2 %) above it. Only buckets that
/// have values take memory, at most 1920.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<(u16, u64)>", try_from = "Vec<(u16, u64)>")]
pub struct Histogram {
    buckets: BTreeMap<u16, u64>,
    total: u64,
}

/// The error for a serialized form that is no histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// There is no such bucket.
    #[error("bucket {bucket} is out of range, the last is {}", BUCKETS - 1)]
    NoSuchBucket {
        /// The number.
        bucket: u16,
    },
    /// The counts are too large to be added up.
    #[error("the counts of all buckets exceed 64 bits")]
    Overflow,
}

impl Histogram {
    /// A histogram without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    pub fn record(&mut self, value: u64) {
        if self.total == u64::MAX {
            return;
        }
        *self.buckets.entry(bucket(value)).or_default() += 1;
        self.total += 1;
    }

    /// Adds all values of `other`. Counts saturate.
    pub fn merge(&mut self, other: &Self) {
        for (&bucket, &count) in &other.buckets {
            // Bounded by the remaining range of the total, so that no sum of buckets exceeds it.
            let count = count.min(u64::MAX - self.total);
            *self.buckets.entry(bucket).or_default() += count;
            self.total += count;
        }
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// A bound that a share `q` of the values (0.5 is the median) does not exceed; zero if there are no values. A share
    /// outside of 0 to 1 is taken as the nearer of the two.
    pub fn quantile(&self, q: f64) -> u64 {
        let rank = (q.clamp(0.0, 1.0) * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let mut highest = 0;
        for (&bucket, &count) in &self.buckets {
            seen += count;
            highest = upper_bound(bucket);
            if seen >= rank {
                break;
            }
        }
        highest
    }
}

fn bucket(value: u64) -> u16 {
    if value < EXACT {
        return value as u16;
    }
    // The leading one and the `BITS` bits below it.
    let shift = value.ilog2() - BITS;
    let mantissa = value >> shift;
    (u64::from(shift) * (EXACT / 2) + mantissa) as u16
}

/// The largest value of a bucket below [`BUCKETS`].
fn upper_bound(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < EXACT {
        return bucket;
    }
    let shift = bucket / (EXACT / 2) - 1;
    let mantissa = bucket - shift * (EXACT / 2);
    (mantissa << shift) | ((1 << shift) - 1)
}

impl From<Histogram> for Vec<(u16, u64)> {
    fn from(histogram: Histogram) -> Self {
        histogram.buckets.into_iter().collect()
    }
}

impl TryFrom<Vec<(u16, u64)>> for Histogram {
    type Error = HistogramError;

    fn try_from(buckets: Vec<(u16, u64)>) -> Result<Self, HistogramError> {
        let mut histogram = Self::default();
        for (bucket, count) in buckets {
            if bucket >= BUCKETS {
                return Err(HistogramError::NoSuchBucket { bucket });
            }
            let total = histogram.total.checked_add(count);
            histogram.total = total.ok_or(HistogramError::Overflow)?;
            *histogram.buckets.entry(bucket).or_default() += count;
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Values of all magnitudes.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        vec((any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift), 1..200)
    }

    fn recorded(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        for &value in values {
            histogram.record(value);
        }
        histogram
    }

    proptest! {
        #[test]
        fn quantiles_are_within_their_bound(mut values in values(), q in 0.0_f64..=1.0) {
            let histogram = recorded(&values);
            values.sort_unstable();
            let rank = (q * values.len() as f64).ceil().max(1.0) as usize;
            let exact = values[rank - 1];
            let estimate = histogram.quantile(q);
            prop_assert!(estimate >= exact);
            prop_assert!(estimate - exact <= exact / 32, "{estimate} for {exact}");
        }

        #[test]
        fn merging_is_recording_both(a in values(), b in values()) {
            let mut merged = recorded(&a);
            merged.merge(&recorded(&b));
            prop_assert_eq!(merged, recorded(&[a, b].concat()));
        }

        #[test]
        fn buckets_are_contiguous(bucket_index in 1..BUCKETS) {
            let first = upper_bound(bucket_index - 1) + 1;
            prop_assert_eq!(bucket(first), bucket_index);
            prop_assert_eq!(bucket(upper_bound(bucket_index)), bucket_index);
        }

        #[test]
        fn json_brings_it_back(values in values()) {
            let histogram = recorded(&values);
            let json = serde_json::to_string(&histogram).unwrap();
            prop_assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
        }
    }

    #[test]
    fn the_ends() {
        let histogram = Histogram::new();
        assert_eq!((histogram.count(), histogram.quantile(0.5)), (0, 0));
        let histogram = recorded(&[1, u64::MAX]);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(histogram.quantile(-1.0), 1);
        assert_eq!(histogram.quantile(2.0), u64::MAX);
        assert_eq!(histogram.quantile(f64::NAN), 1);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        let parse = |json: &str| serde_json::from_str::<Histogram>(json).map_err(|e| e.to_string());
        assert!(parse("[[1920,1]]").unwrap_err().contains("out of range, the last is 1919"));
        assert!(parse("[[1,18446744073709551615],[2,1]]").unwrap_err().contains("64 bits"));
        let mut full = parse("[[1,18446744073709551615]]").unwrap();
        full.merge(&recorded(&[5, 6]));
        assert_eq!((full.count(), full.quantile(1.0)), (u64::MAX, 1));
    }
}
