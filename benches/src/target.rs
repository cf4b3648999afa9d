//! Targets of figures: `>=2.0`, `<=1.15`.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A comparison with a bound, written as in the issues: `>=`, `<=`, `>`, `<` or `==`, then a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The target as it was written: `2.0` stays `2.0`.
    text: String,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    More,
    Less,
    Equal,
}

/// Longer signs come first, because `>=` begins with `>`.
const SIGNS: [(&str, Comparison); 5] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("==", Comparison::Equal),
    (">", Comparison::More),
    ("<", Comparison::Less),
];

/// The error for text that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no target: write one of >=, <=, >, <, == and a finite number, as in \">=2.0\"")]
pub struct TargetError(String);

impl Target {
    /// Returns whether this value reaches the target. NaN reaches none.
    pub fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::AtLeast => value >= self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::More => value > self.bound,
            Comparison::Less => value < self.bound,
            Comparison::Equal => value == self.bound,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError(text.to_owned());
        let text = text.trim();
        let (comparison, number) = SIGNS
            .iter()
            .find_map(|&(sign, comparison)| Some((comparison, text.strip_prefix(sign)?)))
            .ok_or_else(wrong)?;
        let bound = number.trim().parse().ok().filter(|bound: &f64| bound.is_finite()).ok_or_else(wrong)?;
        Ok(Self { text: text.to_owned(), comparison, bound })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sign_holds_at_below_and_above_its_bound_as_it_says() {
        for (text, below, at, above) in [
            (">=2.0", false, true, true),
            ("<=2.0", true, true, false),
            (">2.0", false, false, true),
            ("<2.0", true, false, false),
            ("==2.0", false, true, false),
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!(
                [target.holds(1.99), target.holds(2.0), target.holds(2.01)],
                [below, at, above],
                "{text}"
            );
            assert!(!target.holds(f64::NAN), "{text}");
        }
    }

    #[test]
    fn a_target_stays_as_it_was_written() {
        for text in [">=2.0", "<=1.15", "<1000", "== 0", ">=-1.5e3"] {
            assert_eq!(text.parse::<Target>().expect(text).to_string(), text);
        }
        assert_eq!(" <=1.15 ".parse::<Target>().expect("spaces around it").to_string(), "<=1.15");
    }

    #[test]
    fn what_is_no_target_is_named() {
        for text in ["", "2.0", ">=", "=2", ">= two", "=>2", ">=inf", "<NaN", "<=1.15x"] {
            let error = text.parse::<Target>().expect_err(text);
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
