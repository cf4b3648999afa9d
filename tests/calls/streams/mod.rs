//! Streams of items, each way and both.

mod bounds;
mod ends;
mod service;

use rpcnet::{Channel, StreamSender, Streaming};

use self::service::Refused;

#[test]
fn what_users_hold_crosses_threads() {
    fn assert_send<T: Send + 'static>() {}
    assert_send::<Streaming<String>>();
    assert_send::<StreamSender<String>>();
    assert_send::<rpcnet::Call<Channel, Streaming<String>, Refused>>();
}
