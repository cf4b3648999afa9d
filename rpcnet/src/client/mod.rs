//! Channels and the calls made on them.

mod balanced;
mod builder;
mod call;
mod channel;
mod connector;
mod key;
mod resume;

pub(crate) use self::builder::default_connections;
pub use self::{
    balanced::{
        BalancedCall, BalancedChannel, BalancedConfig, EndpointCaller, EndpointReply, EndpointStats,
        QuorumError, Replies,
    },
    builder::ChannelBuilder,
    call::{Call, CallResponse, Response, start_call, start_items},
    channel::{Channel, ChannelCall},
    connector::Connector,
    key::Key,
};
