//! Relays: servers that forward calls, undecoded, to a server that this process knows.
//!
//! A [`Server`](crate::Server) with a [`Forward`] listens for another protocol (ALPN `rpcnet-relay/1`). Its
//! frames are those of calls, but every call is forwarded. The relay's own services cannot be reached there,
//! except `rpcnet.Health`, which reports on the relay itself. Clients use
//! [`ChannelBuilder::with_relay`](crate::ChannelBuilder::with_relay).
//!
//! A relay passes on, unchanged:
//!
//! - in the request: method, fingerprint, arguments, metadata, trace, and the time that is left of its
//!   deadline;
//! - in the reply: value or error, status, metadata and trailers.
//!
//! A relay does not know the methods. So the client sends the options that matter for routing and retries
//! with each call.

use std::sync::{Arc, OnceLock};

use crate::{BalancedChannel, Caller, Method, ReplyFuture, Request, proto::Routing};

/// The target of forwarded calls.
///
/// Implemented by [`BalancedChannel`]: it forwards to its endpoints, with the same retries as for calls of
/// its own process.
pub trait Forward: Send + Sync + 'static {
    /// Returns true if peers may connect. Asked for each new connection; open connections are not affected.
    fn is_open(&self) -> bool {
        true
    }

    /// Forwards a call. Dropping the future cancels the call. The future runs within the call's deadline, and
    /// calls made in it inherit that deadline.
    ///
    /// # Errors
    ///
    /// The status that the call is answered with.
    fn forward(&self, call: Request) -> ReplyFuture;
}

impl<T: Forward + ?Sized> Forward for Arc<T> {
    fn is_open(&self) -> bool {
        (**self).is_open()
    }

    fn forward(&self, call: Request) -> ReplyFuture {
        (**self).forward(call)
    }
}

impl Forward for BalancedChannel {
    fn forward(&self, call: Request) -> ReplyFuture {
        Box::pin(self.call(call))
    }
}

/// The data of a forwarded call that other calls do not have.
#[derive(Debug)]
pub(crate) struct Relayed {
    /// The id of its method.
    pub(crate) id: u64,
    /// The fingerprint of the method at the client.
    pub(crate) fingerprint: Option<u64>,
    pub(crate) routing: Arc<Routing>,
}

/// The method that stands in for those of forwarded calls, whose names are not known.
const ANY: Method = Method::new("rpcnet.Relay", "call", "");

/// One method for each combination of options, created when it is first needed and kept forever. Peers choose
/// the options, so the number of combinations must be bounded.
static METHODS: [OnceLock<Method>; 16 << 8] = [const { OnceLock::new() }; 16 << 8];

/// Returns the method that stands in for one with these options. `items` tells whether it is called with
/// items.
pub(crate) fn method(routing: &Routing, items: bool) -> &'static Method {
    let index = usize::from(routing.priority as u8) << 4
        | usize::from(routing.resumable) << 3
        | usize::from(routing.idempotent) << 2
        | usize::from(items) << 1
        | usize::from(routing.answers_items);
    METHODS[index].get_or_init(|| {
        let method = ANY.with_priority(routing.priority).with_streams(items, routing.answers_items);
        let method = if routing.resumable { method.with_resumable() } else { method };
        if routing.idempotent { method.with_idempotent() } else { method }
    })
}

/// Returns the method that stands in for one whose options are not known.
pub(crate) fn any_method() -> &'static Method {
    method(&Routing::default(), false)
}

/// Returns true if the method stands in for others.
pub(crate) fn stands_for_others(method: &Method) -> bool {
    method.id() == ANY.id()
}

#[cfg(test)]
mod tests {

    use super::*;

    proptest::proptest! {
        #[test]
        fn each_combination_of_options_is_kept(
            flags: [bool; 4], priority: i8,
        ) {
            let [idempotent, answers_items, resumable, items] = flags;
            let routing = Routing { idempotent, answers_items, resumable, priority, ..Routing::default() };
            let method = method(&routing, items);
            assert_eq!(method.idempotent(), idempotent || resumable);
            assert_eq!(method.resumable(), resumable);
            assert_eq!((method.streams_request(), method.streams_reply()), (items, answers_items));
            assert_eq!(method.priority(), priority);
            assert!(stands_for_others(method));
            assert!(std::ptr::eq(method, super::method(&routing, items)));
        }
    }
}
