//! Those who make calls.

mod balanced;
mod builder;
mod call;
mod channel;
mod connector;
mod key;
mod lines;
mod member;
mod resume;
mod times;

pub use self::{
    balanced::{BalancedChannel, BalancedConfig, EndpointStats},
    builder::ChannelBuilder,
    call::{Call, CallResponse, Caller, Response, start_call, start_items},
    channel::{Channel, ChannelCall, PeerCaller},
    connector::Connector,
    key::Key,
};
pub(crate) use self::{builder::default_connections, times::Times};
