//! Clients that leave: their servers know at once, and what is closed says so.

mod closed;
mod dropped;
mod evicted;
mod metrics;
