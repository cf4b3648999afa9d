//! Calls that are handed on, undecoded, to a server that this process knows.
//!
//! A [`Server`](crate::Server) that was given a [`Forward`] listens for a further protocol (ALPN `rpcnet-relay/1`). Its
//! frames are those of calls, but every call is forwarded: what is served here is not reachable there, but for
//! `rpcnet.Health`, which tells of this server. Clients reach it with
//! [`ChannelBuilder::with_relay`](crate::ChannelBuilder::with_relay).
//!
//! A call is forwarded as it is: method, fingerprint, arguments, metadata and trace on the way there, with what is left of
//! its deadline; value or error, status, metadata and trailers on the way back. What a method is nobody knows here, so what
//! matters for where the call goes and whether it may be repeated is sent with it by its client.

use std::sync::{Arc, OnceLock};

use crate::{BalancedChannel, Caller, Method, ReplyFuture, Request, proto::Routing};

/// Where calls go that are to be forwarded.
///
/// A [`BalancedChannel`] is one: it forwards to its endpoints, and repeats as it repeats calls of its own process.
pub trait Forward: Send + Sync + 'static {
    /// Whether peers may connect. Asked for each connection; those that stand go on.
    fn is_open(&self) -> bool {
        true
    }

    /// Forwards a call. Dropping the future cancels it. It runs within the call's deadline, which calls made in it
    /// inherit.
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

/// What is known of a call that is forwarded, beside what is known of any.
#[derive(Debug)]
pub(crate) struct Relayed {
    /// Its method's id.
    pub(crate) id: u64,
    /// What its client knows the method as.
    pub(crate) fingerprint: Option<u64>,
    pub(crate) routing: Arc<Routing>,
}

/// Stands for the methods of forwarded calls where their names would stand.
const ANY: Method = Method::new("rpcnet.Relay", "call", "");

/// Of each combination of options one, made when it is first called. The options come from peers, so there must not be
/// more of them than can be kept for ever.
static METHODS: [OnceLock<Method>; 16 << 8] = [const { OnceLock::new() }; 16 << 8];

/// What stands for a method in this process that is called with items, or without.
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

/// What stands for the method of a call whose options are not known.
pub(crate) fn any_method() -> &'static Method {
    method(&Routing::default(), false)
}

/// Whether it stands for others.
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
