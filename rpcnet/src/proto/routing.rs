//! The facts about a call that a relay needs, in the extension of a request's header.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BufMut};

use super::{request::wire_micros, varint};

const IDEMPOTENT: u8 = 1;
const ANSWERS_ITEMS: u8 = 1 << 1;
const HAS_KEY: u8 = 1 << 2;
const HAS_HEDGE: u8 = 1 << 3;
const RESUMABLE: u8 = 1 << 4;
const HAS_SERVICE: u8 = 1 << 5;

/// A selector has at most so many bytes.
pub(crate) const MAX_SELECTOR: usize = 512;

/// When a call that was not answered is made a second time, elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hedge {
    /// The channel decides, from how long calls take.
    Automatic,
    /// After this time.
    After(Duration),
}

/// The facts about a method that a relay lacks, as it does not have the trait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Routing {
    /// It may be repeated where it may have run.
    pub(crate) idempotent: bool,
    /// Its answer is a stream of items.
    pub(crate) answers_items: bool,
    /// That stream can go on elsewhere.
    pub(crate) resumable: bool,
    pub(crate) priority: i8,
    /// The hash of its service's name: some servers take calls of some services alone.
    pub(crate) service: Option<u64>,
    /// The hash by which the call is routed.
    pub(crate) key: Option<u64>,
    /// When it is made a second time.
    pub(crate) hedge: Option<Hedge>,
    /// Among which servers to choose, in words that the two ends of a relay have agreed on.
    pub(crate) selector: Option<Arc<str>>,
}

impl Routing {
    fn wire_hedge(&self) -> Option<u64> {
        self.hedge.map(|hedge| match hedge {
            Hedge::Automatic => 0,
            Hedge::After(delay) => wire_micros(delay),
        })
    }

    /// The number of bytes of the encoding.
    pub(super) fn length(&self) -> usize {
        let service = self.service.map_or(0, |_| 8);
        let key = self.key.map_or(0, |_| 8);
        let hedge = self.wire_hedge().map_or(0, varint::length);
        2 + service + key + hedge + self.selector.as_deref().unwrap_or_default().len()
    }

    pub(super) fn encode(&self, buffer: &mut impl BufMut) {
        let hedge = self.wire_hedge();
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        buffer.put_u8(
            flag(self.idempotent, IDEMPOTENT)
                | flag(self.answers_items, ANSWERS_ITEMS)
                | flag(self.key.is_some(), HAS_KEY)
                | flag(hedge.is_some(), HAS_HEDGE)
                | flag(self.resumable, RESUMABLE)
                | flag(self.service.is_some(), HAS_SERVICE),
        );
        buffer.put_i8(self.priority);
        if let Some(service) = self.service {
            buffer.put_u64(service);
        }
        if let Some(key) = self.key {
            buffer.put_u64(key);
        }
        if let Some(micros) = hedge {
            varint::put(buffer, micros);
        }
        buffer.put_slice(self.selector.as_deref().unwrap_or_default().as_bytes());
    }

    pub(super) fn decode(mut payload: &[u8]) -> Option<Self> {
        let flags = payload.try_get_u8().ok()?;
        let priority = payload.try_get_i8().ok()?;
        let service = if flags & HAS_SERVICE != 0 { Some(payload.try_get_u64().ok()?) } else { None };
        let key = if flags & HAS_KEY != 0 { Some(payload.try_get_u64().ok()?) } else { None };
        let hedge = if flags & HAS_HEDGE != 0 {
            Some(match varint::take(&mut payload).ok()?? {
                0 => Hedge::Automatic,
                micros => Hedge::After(Duration::from_micros(micros)),
            })
        } else {
            None
        };
        if payload.len() > MAX_SELECTOR {
            return None;
        }
        let selector = std::str::from_utf8(payload).ok()?;
        Some(Self {
            idempotent: flags & IDEMPOTENT != 0,
            answers_items: flags & ANSWERS_ITEMS != 0,
            resumable: flags & RESUMABLE != 0,
            priority,
            service,
            key,
            hedge,
            selector: (!selector.is_empty()).then(|| selector.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::{option, prelude::*};

    use super::*;

    fn encoded(routing: &Routing) -> BytesMut {
        let mut buffer = BytesMut::new();
        routing.encode(&mut buffer);
        assert_eq!(routing.length(), buffer.len());
        buffer
    }

    proptest! {
        #[test]
        fn it_survives_the_wire(
            (idempotent, answers_items, resumable) in any::<(bool, bool, bool)>(),
            priority in any::<i8>(),
            service in option::of(any::<u64>()),
            key in option::of(any::<u64>()),
            hedge in option::of(0..1u64 << 40),
            selector in option::of("[a-zß=,]{1,200}"),
        ) {
            let hedge = hedge.map(|micros| match micros {
                0 => Hedge::Automatic,
                micros => Hedge::After(Duration::from_micros(micros)),
            });
            let selector = selector.map(Into::into);
            let routing =
                Routing { idempotent, answers_items, resumable, priority, service, key, hedge, selector };
            prop_assert_eq!(Routing::decode(&encoded(&routing)), Some(routing));
        }

        #[test]
        fn random_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = Routing::decode(&bytes);
        }
    }

    #[test]
    fn a_selector_is_bounded() {
        for (length, known) in [(MAX_SELECTOR, true), (MAX_SELECTOR + 1, false)] {
            let routing = Routing { selector: Some("x".repeat(length).into()), ..Routing::default() };
            assert_eq!(Routing::decode(&encoded(&routing)).is_some(), known);
        }
    }
}
