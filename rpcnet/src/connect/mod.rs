//! Dialling servers and keeping connections to them.
//!
//! - [`Dialer`] makes one attempt to connect.
//! - [`Reconnecting`] keeps one connection to an address and dials again when the connection is lost.
//! - [`ConnectionPool`] adds [extra connections](ExtraConnection) to the same server while one cannot carry
//!   all calls.
//! - [`Closing`] is the scope of a channel or a connector: closing it ends all sessions in it.

mod closing;
mod dialer;
mod error;
mod extra;
mod local_port;
mod pool;
mod reconnect;

pub use self::error::ConnectError;
pub(crate) use self::{
    closing::{Closing, FAREWELL, channel_closed, wait_close_sent},
    dialer::{Dialer, Target},
    local_port::LocalPort,
    pool::ConnectionPool,
};
use self::{
    extra::ExtraConnection,
    reconnect::{PoolShared, Reconnecting},
};
