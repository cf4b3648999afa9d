//! Stand-ins for crates of others that the listings use, as far as they use them.

pub(crate) mod aws_config;
pub(crate) mod aws_sdk_secretsmanager;
pub(crate) mod config;
pub(crate) mod warp;
