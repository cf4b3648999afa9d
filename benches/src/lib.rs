//! What the benchmarks share: rows of figures with their targets, how they are selected and printed, the statistics
//! behind them, the processes that they measure, and bare quinn, which they measure beside.
//!
//! Each benchmark is a binary of its own that prints one row a figure (`--json`: one array; else a Markdown table),
//! and exits 0 when it could measure, whatever the figures are.

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
