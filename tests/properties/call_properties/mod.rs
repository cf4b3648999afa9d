//! Random sequences of what can happen to calls, on a network in memory under virtual time: each call ends exactly once,
//! in something that what was done explains, and nothing is left of it on either side.
//!
//! `PROPTEST_CASES` says how many sequences are played.

mod client;
mod judge;
mod play;
mod script;
mod service;

use proptest::prelude::*;

proptest! {
    // A case that fails is printed; it is to become a test of its own.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn calls_end_once_and_leave_nothing(script in script::scripts()) {
        play::play(&script).map_err(TestCaseError::fail)?;
    }
}
