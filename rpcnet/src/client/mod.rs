//! Those who make calls.

mod balanced;
mod builder;
mod call;
mod channel;
mod connector;
mod member;
mod times;

pub(crate) use self::times::Times;
pub use self::{
    balanced::{BalancedChannel, BalancedConfig, EndpointStats},
    builder::ChannelBuilder,
    call::{Call, CallResponse, Caller, Response, start_call, start_items},
    channel::{Channel, PeerCaller},
    connector::Connector,
};
