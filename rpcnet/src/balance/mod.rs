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

pub(crate) use self::{
    candidates::Candidates,
    layout::Layout,
    outlier::{CallOutcome, Detector, Ejected, Outlier, TrialState},
    peak_ewma::PeakEwma,
    picker::Picker,
};
pub use self::{
    layout::HashOptions,
    outlier::OutlierConfig,
    policy::{Policy, UnknownPolicy},
};

/// The state machines behind the policies, for benches. Not part of the public API: it may change in any release.
#[doc(hidden)]
pub mod core {
    pub use super::{
        candidates::Candidates,
        hash::hash_key,
        layout::Layout,
        outlier::{CallOutcome, Cause, Detector, Ejected, Outlier, TrialState},
        peak_ewma::PeakEwma,
        picker::Picker,
    };
}

#[cfg(test)]
mod tests;
