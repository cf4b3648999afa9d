//! Load balancing and outlier detection: which endpoint gets the next call, and which get none. Sans-io: time, load and
//! randomness are arguments.
//!
//! A [`Picker`] chooses from [`Candidates`] by a [`Policy`]. The owner of the endpoints implements [`Candidates`].
//! [`Layout`] is the part that is computed once for a set of endpoints. [`PeakEwma`] estimates the cost of a call to an
//! endpoint.

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
