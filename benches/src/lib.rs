//! Shared parts of the benchmarks: rows of figures with their targets, their selection and printing, statistics,
//! measured processes, and bare quinn for comparison.
//!
//! Each benchmark is a binary of its own. It prints one row for each figure, as a Markdown table or with `--json` as
//! one array. It exits 0 if it could measure, whatever the figures are.

pub mod bare;
mod credentials;
mod failure;
mod memory;
mod options;
mod process;
mod report;
mod row;
mod statistics;
mod target;

pub use credentials::Credentials;
pub use failure::{Failure, chain};
pub use memory::Memory;
pub use options::Options;
pub use process::{ProcessError, ServerProcess, cpu_time, exit_with_parent};
pub use report::Report;
pub use row::Row;
pub use statistics::{median, percentile};
pub use target::{Target, TargetError};
