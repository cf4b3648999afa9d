//! The workers of a cluster, and the filters that choose among them.

mod filter;
mod registry;

pub use filter::{FilterError, TagFilter};
pub use registry::{SelectError, WorkerRegistry, WorkerStatus};
