//! Calls: what is sent and answered, deadlines, refusals, streams, balancing, interceptors.

mod admission;
mod balanced;
mod call_all;
mod context;
mod deadlines;
mod hedging;
mod interceptors;
mod interceptors_given_up;
mod lanes;
mod large_futures;
mod nested_calls;
mod overlooked;
mod readiness;
mod reflection;
mod refused;
mod registration;
mod relay_mode;
mod resumable;
mod silent_streams;
mod streams;
mod tower_layers;
mod unary;
