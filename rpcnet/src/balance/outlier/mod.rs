//! Endpoints that are taken out because calls fail there.
//!
//! [`Outlier`] is what is remembered of one endpoint, behind whatever lock it has; [`Detector`] is for all of a set, and has
//! none: a call touches its own endpoint alone.
//!
//! An endpoint is out after failures in a row at once, and by the shares of its calls that failed at the next
//! [`sweep`](Detector::sweep). It is out for a time that grows with each ejection that follows another. Then one call at a
//! time is tried there, and when one has succeeded its weight grows to its own again within seconds. Of a set only a
//! share is out, and never the last one: where all fail, the reason lies elsewhere, and those left would get the load of all.
//!
//! Sources: gRPC A50, "Outlier Detection Support", for both statistics, with their factors and minimums, and for the
//! growing times; Envoy's outlier detection for failures in a row and its slow start mode for the weight; Nygard, *Release
//! It!*, for the circuit breaker that is half open. Unlike A50, statistics are of an endpoint's last calls rather than of
//! intervals of 10 s, and an outlier by success rate is so by a least distance as well: of five hosts or more, one that
//! differs by anything at all is more than 1.9 standard deviations away from the mean.

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
