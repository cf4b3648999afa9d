//! Connections to servers: dialled, dialled again when they are lost, and more than one where one is not enough.
//!
//! A [`Dialer`] dials once. A [`Reconnecting`] keeps one connection to an address, and a [`ConnectionPool`] adds further ones while that
//! has too much to do. [`Closing`] ends all of a scope.

mod closing;
mod dialer;
mod error;
mod extra;
mod local_port;
mod pool;
mod reconnect;

pub use self::error::ConnectError;
pub(crate) use self::{
    closing::{Closing, FAREWELL, closed, tell},
    dialer::{Dialer, Target},
    local_port::LocalPort,
    pool::ConnectionPool,
};
use self::{
    extra::ExtraConnection,
    reconnect::{PoolShared, Reconnecting},
};
