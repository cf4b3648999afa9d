//! Tests that search: random sequences of operations, and futures dropped at each of their await points.

mod call_properties;
mod dropped_futures;
