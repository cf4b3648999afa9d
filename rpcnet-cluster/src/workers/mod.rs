//! The workers of a cluster, and the filters that choose among them.

mod filter;
pub(crate) mod registry;

pub use filter::{FilterError, TagFilter};
pub use registry::{WorkerRegistry, WorkerStatus};
