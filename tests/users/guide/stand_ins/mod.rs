//! What the listings use of crates of others, as far as they use it.

pub(crate) mod aws_config;
pub(crate) mod aws_sdk_secretsmanager;
pub(crate) mod config;
pub(crate) mod warp;
