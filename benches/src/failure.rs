//! Errors of a measurement.

use std::error::Error;

/// Any error: a benchmark reports it and ends.
pub type Failure = Box<dyn Error + Send + Sync>;

/// An error and its causes. A cause whose text its error contains already is left out.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut chain = error.to_string();
    for error in std::iter::successors(error.source(), |&error| error.source()) {
        let cause = error.to_string();
        if !chain.ends_with(&cause) {
            chain.push_str(": ");
            chain.push_str(&cause);
        }
    }
    chain
}
