//! Clusters and clients on several hosts: namespaces of this machine, with real processes in them.
#![cfg(target_os = "linux")]

mod bed;
mod hosts;
mod names;
mod place;
mod seeds;
mod silence;
