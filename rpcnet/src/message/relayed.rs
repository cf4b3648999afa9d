//! Calls that a relay forwards: the relay does not know their methods, only the options that their clients send.

use std::sync::{Arc, OnceLock};

use crate::{Method, proto::Routing};

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
