//! Calls go to the servers that serve them.

mod applications;
mod endpoints;
mod records;
mod service;
