//! What whoever forwards a call has to know of it, in the extension of a request's header.
//!
//! An extension is a list of fields: kind (1 byte), varint length, payload. Kinds that are not known are skipped.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BufMut};

use super::{request::wire_micros, varint};
use crate::Hedge;

/// The field that holds it.
const ROUTING: u8 = 1;

const IDEMPOTENT: u8 = 1;
const ANSWERS_ITEMS: u8 = 1 << 1;
const HAS_KEY: u8 = 1 << 2;
const HAS_HEDGE: u8 = 1 << 3;

/// A selector has at most so many bytes.
pub(crate) const MAX_SELECTOR: usize = 512;

/// What is known of a method where its trait is, and not where its calls are forwarded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Routing {
    /// It may be repeated where it may have run.
    pub(crate) idempotent: bool,
    /// Its answer is a stream of items.
    pub(crate) answers_items: bool,
    pub(crate) priority: i8,
    /// What the call is routed by.
    pub(crate) key: Option<u64>,
    /// When it is made a second time.
    pub(crate) hedge: Option<Hedge>,
    /// Among which servers to choose, in words that the two ends of a relay have agreed on.
    pub(crate) selector: Option<Arc<str>>,
}

impl Routing {
    /// Writes it as an extension, with its length before it.
    pub(crate) fn encode(&self, buffer: &mut impl BufMut) {
        let selector = self.selector.as_deref().unwrap_or_default();
        let hedge = self.hedge.map(|hedge| match hedge {
            Hedge::Automatic => 0,
            Hedge::After(delay) => wire_micros(delay),
        });
        let length = 2 + self.key.map_or(0, |_| 8) + hedge.map_or(0, varint::length) + selector.len();
        let header = 1 + varint::length(length as u64);
        varint::put(buffer, (header + length) as u64);
        buffer.put_u8(ROUTING);
        varint::put(buffer, length as u64);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        buffer.put_u8(
            flag(self.idempotent, IDEMPOTENT)
                | flag(self.answers_items, ANSWERS_ITEMS)
                | flag(self.key.is_some(), HAS_KEY)
                | flag(hedge.is_some(), HAS_HEDGE),
        );
        buffer.put_i8(self.priority);
        if let Some(key) = self.key {
            buffer.put_u64(key);
        }
        if let Some(micros) = hedge {
            varint::put(buffer, micros);
        }
        buffer.put_slice(selector.as_bytes());
    }

    /// Finds it in an extension. What can't be understood is as if it were not there.
    pub(crate) fn find(mut extension: &[u8]) -> Option<Self> {
        while extension.has_remaining() {
            let kind = extension.get_u8();
            let length = varint::take(&mut extension).ok()??;
            let length = usize::try_from(length).ok().filter(|length| *length <= extension.len())?;
            let (payload, rest) = extension.split_at(length);
            if kind == ROUTING {
                return Self::decode(payload);
            }
            extension = rest;
        }
        None
    }

    fn decode(mut payload: &[u8]) -> Option<Self> {
        let flags = payload.try_get_u8().ok()?;
        let priority = payload.try_get_i8().ok()?;
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
            priority,
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
        let length = varint::take(&mut buffer).expect("valid").expect("whole");
        assert_eq!(length, buffer.len() as u64);
        buffer
    }

    proptest! {
        #[test]
        fn it_survives_the_wire_behind_what_is_not_known(
            idempotent: bool,
            answers_items: bool,
            priority: i8,
            key in option::of(any::<u64>()),
            hedge in option::of(1..1u64 << 40),
            selector in option::of("[a-zß=,]{1,200}"),
            before in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let hedge = hedge.map(|micros| Hedge::After(Duration::from_micros(micros)));
            let routing =
                Routing { idempotent, answers_items, priority, key, hedge, selector: selector.map(Into::into) };
            let mut extension = BytesMut::from(&[77][..]);
            varint::put(&mut extension, before.len() as u64);
            extension.put_slice(&before);
            extension.extend_from_slice(&encoded(&routing));
            prop_assert_eq!(Routing::find(&extension), Some(routing));
        }

        #[test]
        fn random_bytes_do_not_panic(mut bytes: Vec<u8>) {
            let _ = Routing::find(&bytes);
            bytes.insert(0, ROUTING);
            let _ = Routing::find(&bytes);
        }
    }

    #[test]
    fn a_selector_is_bounded() {
        for (length, known) in [(MAX_SELECTOR, true), (MAX_SELECTOR + 1, false)] {
            let routing = Routing { selector: Some("x".repeat(length).into()), ..Routing::default() };
            assert_eq!(Routing::find(&encoded(&routing)).is_some(), known);
        }
    }
}
