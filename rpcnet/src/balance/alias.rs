//! Random indices in proportion to weights. The cost of a draw does not depend on the number of weights.
//!
//! Source: Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution", IEEE Transactions on
//! Software Engineering, 1991.

use rand::{Rng, RngExt};

/// The columns of the alias method. Each belongs to one index, which is drawn with the column's share; the rest goes to
/// a second index.
#[derive(Debug, Clone, Default)]
pub(super) struct AliasTable {
    columns: Vec<(f64, u32)>,
    weights: Vec<f64>,
}

impl AliasTable {
    /// Creates a table. Weights that are negative or not finite count as 0. If all are 0, all indices have the same
    /// chance.
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let clean = |weight: f64| if weight.is_finite() { weight.max(0.0) } else { 0.0 };
        let weights: Vec<f64> = weights.map(clean).collect();
        let sum: f64 = weights.iter().sum();
        let count = weights.len();
        if sum <= 0.0 {
            return Self { columns: (0..count).map(|index| (1.0, index as u32)).collect(), weights };
        }
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight * count as f64 / sum).collect();
        let mut columns: Vec<(f64, u32)> = (0..count).map(|index| (1.0, index as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..count).partition(|index| shares[*index] < 1.0);
        while let (Some(&less), Some(&more)) = (small.last(), large.last()) {
            small.pop();
            columns[less] = (shares[less], more as u32);
            shares[more] -= 1.0 - shares[less];
            if shares[more] < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        // The remaining shares are 1, apart from rounding.
        Self { columns, weights }
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Returns the weight that the table was built with.
    pub(super) fn weight(&self, index: usize) -> f64 {
        self.weights[index]
    }

    /// Draws an index. Panics if there is none.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> usize {
        let column = rng.random_range(0..self.columns.len());
        let (share, other) = self.columns[column];
        if rng.random::<f64>() < share { column } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The chance of an index is the share of its own column plus the rest of other columns.
        #[test]
        fn chances_are_in_proportion(weights in prop::collection::vec(0.0..1000.0_f64, 1..60)) {
            let table = AliasTable::new(weights.iter().copied());
            let sum: f64 = weights.iter().sum();
            prop_assume!(sum > 0.0);
            let mut chances = vec![0.0; weights.len()];
            for (column, (share, other)) in table.columns.iter().enumerate() {
                chances[column] += share / weights.len() as f64;
                chances[*other as usize] += (1.0 - share) / weights.len() as f64;
            }
            for (chance, weight) in chances.iter().zip(&weights) {
                prop_assert!((chance - weight / sum).abs() < 1e-9);
            }
        }
    }
}
