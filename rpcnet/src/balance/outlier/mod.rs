//! Ejection of endpoints at which calls fail.
//!
//! [`Outlier`] is the state of one endpoint, behind the caller's lock. [`Detector`] is shared by all endpoints of a
//! set, and has no lock: a call touches only its own endpoint's state.
//!
//! Consecutive failures eject an endpoint at once. Its share of failed calls ejects it at the next
//! [`sweep`](Detector::sweep). The duration grows with each consecutive ejection. After it, one call at a time is tried
//! at the endpoint. When one has succeeded, the endpoint's weight grows back to its full value within seconds. Only a
//! share of a set is ejected, and never the last endpoint: if all fail, the reason lies elsewhere, and the remaining
//! ones would get the whole load.
//!
//! Sources:
//!
//! - gRPC A50, "Outlier Detection Support": both statistics with their factors and minimums, and the growing durations.
//! - Envoy's outlier detection: consecutive failures. Its slow start mode: the weight.
//! - Nygard, *Release It!*: the circuit breaker that is half open.
//!
//! There are two differences to A50. The statistics are over an endpoint's last calls rather than intervals of 10 s. An
//! outlier by success rate also needs a minimum distance: of five hosts or more, the only one that differs at all is
//! more than 1.9 standard deviations away from the mean.

mod config;
mod detector;
mod ejection_slots;
mod endpoint;
mod window;

pub use self::{
    config::OutlierConfig,
    detector::Detector,
    endpoint::{CallOutcome, Cause, Ejected, Outlier, TrialState},
};
