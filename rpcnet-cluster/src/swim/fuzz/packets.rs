//! A node that hears arbitrary packets from three peers.

use std::time::{Duration, Instant};

use super::{epoch, identity};
use crate::swim::{Config, Delivery, MAX_FRAME, MAX_MEMBERS, Node, PacketError, Transmit};

/// The most operations of an input that are done.
const MOST_OPERATIONS: usize = 256;
/// The number of packets after each operation that a receiver reads.
const READ_ON: usize = 4;

/// An action of a node's driver.
pub(super) enum FuzzOperation<'a> {
    Packet { from: u8, bytes: &'a [u8] },
    Passed { steps: u8 },
    Tag { value: &'a [u8] },
    Announce { to: u8 },
    Leave,
}

const STEP: Duration = Duration::from_millis(50);

impl<'a> FuzzOperation<'a> {
    /// Takes the next operation: a byte, and the bytes that belong to it.
    fn take(input: &mut &'a [u8]) -> Option<Self> {
        let (&first, rest) = input.split_first()?;
        *input = rest;
        let peer = 1 + first % 3;
        Some(match first {
            0..0x60 => Self::Packet { from: peer, bytes: take_bytes(input) },
            0x60..0xc0 => {
                let (&steps, rest) = input.split_first()?;
                *input = rest;
                Self::Passed { steps }
            }
            0xc0..0xe0 => Self::Tag { value: take_bytes(input) },
            0xe0..0xff => Self::Announce { to: peer },
            0xff => Self::Leave,
        })
    }

    /// Writes the operation in the form that [`take`](Self::take) reads.
    pub(super) fn put(&self, input: &mut Vec<u8>) {
        let (first, bytes) = match *self {
            Self::Packet { from, bytes } => (from - 1, bytes),
            Self::Tag { value } => (0xc0, value),
            Self::Passed { steps } => return input.extend([0x60, steps]),
            // A multiple of three, plus the number of the peer.
            Self::Announce { to } => return input.push(0xe1 + to - 1),
            Self::Leave => return input.push(0xff),
        };
        input.push(first);
        input.extend((bytes.len() as u16).to_be_bytes());
        input.extend(bytes);
    }
}

/// Takes a length of two bytes and as many bytes, or all bytes if there are fewer.
fn take_bytes<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, rest)) = input.split_first_chunk() else { return std::mem::take(input) };
    let (bytes, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*length))));
    *input = rest;
    bytes
}

/// Drives a node through operations. Checks that the packets it sends are bounded, and that their receivers understand
/// them.
pub fn gossip_packets(mut input: &[u8]) {
    let mut now = epoch();
    let mut node = Node::new(identity(0), Config::new_lan(), 1, now);
    for _ in 0..MOST_OPERATIONS {
        let Some(operation) = FuzzOperation::take(&mut input) else { break };
        match operation {
            FuzzOperation::Packet { from, bytes } => {
                let _ = node.handle_packet(now, identity(from), bytes);
            }
            FuzzOperation::Passed { steps } => {
                now += STEP * u32::from(steps);
                node.handle_timeout(now);
            }
            FuzzOperation::Tag { value } => {
                let _ = node.set_tag(now, "tag", &String::from_utf8_lossy(value));
            }
            FuzzOperation::Announce { to } => node.announce(now, identity(to)),
            FuzzOperation::Leave => node.leave(now),
        }
        let mut read_on = READ_ON;
        while let Some(transmit) = node.poll_transmit() {
            let limit = match transmit.delivery {
                Delivery::Datagram => Config::new_lan().max_packet_size(),
                Delivery::Stream => MAX_FRAME,
            };
            assert!(transmit.payload.len() <= limit, "a packet of {} bytes", transmit.payload.len());
            if read_on > 0 {
                read_on -= 1;
                receive(now, &node, &transmit);
            }
        }
        while node.poll_event().is_some() {}
        assert!(node.members().count() <= MAX_MEMBERS);
        assert!(node.poll_timeout().is_none_or(|next| next >= now), "a timer that is due was not fired");
    }
}

/// Checks that a node's packets are valid: the node may have received senseless ones, but must not send any.
fn receive(now: Instant, sender: &Node, transmit: &Transmit) {
    let mut receiver = Node::new(transmit.to, Config::new_lan(), 2, now);
    match receiver.handle_packet(now, sender.identity(), &transmit.payload) {
        Ok(()) | Err(PacketError::FromOurselves { .. }) => {}
        Err(PacketError::Malformed(error)) => {
            // A node that is asked to ask the asker does so.
            let harmless = matches!(
                error.downcast_ref::<foca::Error>(),
                Some(foca::Error::IndirectForOurselves | foca::Error::DataFromOurselves)
            );
            assert!(harmless, "{error}: {transmit:?}");
        }
        Err(error) => panic!("{error}: {transmit:?}"),
    }
}
