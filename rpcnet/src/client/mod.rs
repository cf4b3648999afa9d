//! Those who make calls.

mod balanced;
mod builder;
mod call;
mod channel;
mod connector;
mod items;
mod member;

pub use self::{
    balanced::{BalancedChannel, BalancedConfig, EndpointStats},
    builder::ChannelBuilder,
    call::{Call, Caller, Request, start_call},
    channel::{Channel, PeerCaller},
    connector::Connector,
    items::ReplyStream,
};
