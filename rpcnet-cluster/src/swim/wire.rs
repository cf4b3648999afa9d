//! Reading and writing the bytes of membership packets.
//!
//! Every read is checked against the bytes that are left. No count from the wire is used to allocate.

use std::net::{IpAddr, SocketAddr};

use bytes::BufMut;
use thiserror::Error;

use super::identity::{Identity, MAX_GENERATION, NodeId};

/// The largest packet, in bytes, that a [`Node`](super::Node) produces or accepts on a stream.
pub(crate) const MAX_FRAME: usize = 1 << 20;

/// The most members that a [`Node`](super::Node) keeps, including members that are down. News of further members is
/// refused.
pub const MAX_MEMBERS: usize = 16_384;

/// The kind of a packet: its first byte. The upper four bits are a version, 0 so far.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum PacketKind {
    Gossip = 0,
    Digest = 1,
    Delta = 2,
    LeaveNotice = 3,
    LeaveAck = 4,
    Groups = 5,
    Broadcasts = 6,
}

impl PacketKind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Gossip),
            1 => Some(Self::Digest),
            2 => Some(Self::Delta),
            3 => Some(Self::LeaveNotice),
            4 => Some(Self::LeaveAck),
            5 => Some(Self::Groups),
            6 => Some(Self::Broadcasts),
            _ => None,
        }
    }
}

/// The name of a packet's kind in metrics.
pub(crate) fn packet_kind(packet: &[u8]) -> &'static str {
    match packet.first().and_then(|first| PacketKind::from_byte(*first)) {
        Some(PacketKind::Gossip) => "gossip",
        Some(PacketKind::Digest) => "digest",
        Some(PacketKind::Delta) => "delta",
        Some(PacketKind::LeaveNotice) => "leave_notice",
        Some(PacketKind::LeaveAck) => "leave_ack",
        Some(PacketKind::Groups) => "groups",
        Some(PacketKind::Broadcasts) => "broadcasts",
        None => "unknown",
    }
}

/// The error for bytes that do not follow their layout.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
pub(super) enum WireError {
    #[error("packet ends early")]
    Truncated,
    #[error("packet holds an invalid value")]
    Invalid,
    #[error("no room left in the packet")]
    NoRoom,
}

/// A cursor over bytes from a peer.
#[derive(Copy, Clone, Debug)]
pub(super) struct PacketReader<'a>(&'a [u8]);

impl<'a> PacketReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireError::Invalid);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Invalid)
    }

    pub(super) fn node_id(&mut self) -> Result<NodeId, WireError> {
        Ok(NodeId::from_u128(u128::from_be_bytes(self.array()?)))
    }

    pub(super) fn generation(&mut self) -> Result<u64, WireError> {
        let generation = self.u64()?;
        if generation > MAX_GENERATION {
            return Err(WireError::Invalid);
        }
        Ok(generation)
    }

    pub(super) fn identity(&mut self) -> Result<Identity, WireError> {
        let form = self.u8()?;
        if form & !(FORM_V6 | FORM_SHORT) != 0 {
            return Err(WireError::Invalid);
        }
        let ip = if form & FORM_V6 != 0 {
            IpAddr::from(self.array::<16>()?)
        } else {
            IpAddr::from(self.array::<4>()?)
        };
        let port = self.u16()?;
        let id = self.node_id()?;
        let generation = if form & FORM_SHORT != 0 {
            let mut bytes = [0; 8];
            bytes[3..].copy_from_slice(&self.array::<5>()?);
            SHORT_BASE + u64::from_be_bytes(bytes)
        } else {
            self.generation()?
        };
        let addr = SocketAddr::new(ip, port);
        let identity = Identity::new(addr, id, generation);
        // A mapped IPv4 address would become a plain IPv4 address, which would be a second encoding of one node's name.
        if identity.addr() != addr {
            return Err(WireError::Invalid);
        }
        Ok(identity)
    }
}

const FORM_V6: u8 = 1;
const FORM_SHORT: u8 = 2;

/// The base of short generations: 2024-01-01 in Unix milliseconds. Generations that a clock makes in the 34 years after
/// it take five bytes, which keeps an identity within 40 bytes even over IPv6.
const SHORT_BASE: u64 = 1_704_067_200_000;
const SHORT_RANGE: u64 = 1 << 40;

/// The longest encoding of an identity in bytes: IPv6, and a generation that no clock made.
pub(super) const IDENTITY_MAX: usize = 1 + 16 + 2 + 16 + 8;

fn short_generation(generation: u64) -> Option<u64> {
    generation.checked_sub(SHORT_BASE).filter(|&offset| offset < SHORT_RANGE)
}

pub(super) fn identity_len(identity: &Identity) -> usize {
    let ip = if identity.addr().is_ipv6() { 16 } else { 4 };
    let generation = if short_generation(identity.generation()).is_some() { 5 } else { 8 };
    1 + ip + 2 + 16 + generation
}

/// Writes [`identity_len`] bytes. Panics if there is less room, as every `put` of `bytes` does.
pub(super) fn put_identity(buf: &mut impl BufMut, identity: &Identity) {
    let short = short_generation(identity.generation());
    let mut form = 0;
    if identity.addr().is_ipv6() {
        form |= FORM_V6;
    }
    if short.is_some() {
        form |= FORM_SHORT;
    }
    buf.put_u8(form);
    match identity.addr().ip() {
        IpAddr::V4(ip) => buf.put_slice(&ip.octets()),
        IpAddr::V6(ip) => buf.put_slice(&ip.octets()),
    }
    buf.put_u16(identity.addr().port());
    buf.put_u128(identity.id().as_u128());
    match short {
        Some(offset) => buf.put_slice(&offset.to_be_bytes()[3..]),
        None => buf.put_u64(identity.generation()),
    }
}

pub(super) fn put_varint(buf: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        buf.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    buf.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut buf = Vec::new();
            put_varint(&mut buf, value);
            let mut reader = PacketReader::new(&buf);
            assert_eq!(reader.varint(), Ok(value));
            assert!(reader.is_empty());
        }
        assert_eq!(PacketReader::new(&[0xff; 10]).varint(), Err(WireError::Invalid), "more than 64 bits");
    }

    #[test]
    fn identities_round_trip_within_forty_bytes() {
        let id = NodeId::from_u128(u128::MAX);
        for addr in ["10.0.0.1:7946", "[2001:db8::1]:65535"] {
            for generation in [0, 7, SHORT_BASE, SHORT_BASE + SHORT_RANGE - 1, MAX_GENERATION] {
                let identity = Identity::new(addr.parse().unwrap(), id, generation);
                let mut buf = Vec::new();
                put_identity(&mut buf, &identity);
                assert_eq!(buf.len(), identity_len(&identity));
                assert!(buf.len() <= IDENTITY_MAX);
                assert_eq!(PacketReader::new(&buf).identity(), Ok(identity));
                if short_generation(generation).is_some() {
                    assert!(buf.len() <= 40);
                }
            }
        }
    }
}
