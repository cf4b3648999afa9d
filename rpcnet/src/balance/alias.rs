//! Random numbers in proportion to weights, at a cost that does not depend on how many there are.
//!
//! Source: Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution", IEEE Transactions on
//! Software Engineering, 1991.

use rand::{Rng, RngExt};

/// Each column is an index that keeps this share of it, and another that has the rest.
#[derive(Debug, Clone, Default)]
pub(super) struct AliasTable {
    columns: Vec<(f64, u32)>,
    weights: Vec<f64>,
}

impl AliasTable {
    /// Weights that are not finite or negative are taken as 0. Where all are 0, all are alike.
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
        // What is left is 1 but for rounding.
        Self { columns, weights }
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The weight that it was built with.
    pub(super) fn weight(&self, index: usize) -> f64 {
        self.weights[index]
    }

    /// One of them. There must be some.
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
        /// The chance of each is what its own column keeps and what others give it.
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
