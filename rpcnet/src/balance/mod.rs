//! Which endpoint gets the next call, and which get none. Sans-io: time, load and randomness are arguments.
//!
//! A [`Picker`] picks by a [`Policy`] from [`Candidates`]: whoever holds the endpoints says what is known of them. What is
//! worth computing once for a set is its [`Layout`]. [`PeakEwma`] estimates what a call to an endpoint costs.

mod alias;
mod candidates;
mod hash;
mod layout;
mod outlier;
mod peak_ewma;
mod picker;
mod policy;
mod ring;
mod search;

pub use self::{
    candidates::Candidates,
    hash::hash_key,
    layout::{HashOptions, Layout},
    outlier::{CallOutcome, Cause, Detector, Ejected, Outlier, OutlierConfig, TrialState},
    peak_ewma::PeakEwma,
    picker::Picker,
    policy::{Policy, UnknownPolicy},
};

#[cfg(test)]
mod tests;
