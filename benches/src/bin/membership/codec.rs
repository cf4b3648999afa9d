//! A codec for stock foca's packets. They are about as long as with other codecs for identities of an address and a
//! generation.

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};

use super::stock::Peer;

/// The encoded length of a peer in bytes: an IPv4 address, a port, and a generation.
const PEER: usize = 4 + 2 + 8;

#[derive(Debug, Clone, Copy)]
pub(super) struct Codec;

/// The error for bytes that don't follow the layout. None occur in a simulation.
#[derive(Debug, thiserror::Error)]
#[error("packet ends early or has no such message")]
pub(super) struct Malformed;

fn put_peer(buf: &mut impl BufMut, peer: &Peer) {
    buf.put_u32(peer.index as u32);
    buf.put_u16(7946);
    buf.put_u64(peer.generation);
}

fn peer(buf: &mut impl Buf) -> Result<Peer, Malformed> {
    if buf.remaining() < PEER {
        return Err(Malformed);
    }
    let index = buf.get_u32() as usize;
    buf.advance(2);
    Ok(Peer { index, generation: buf.get_u64() })
}

impl foca::Codec<Peer> for Codec {
    type Error = Malformed;

    fn encode_header(&mut self, header: &Header<Peer>, mut buf: impl BufMut) -> Result<(), Malformed> {
        let (tag, number, named) = match &header.message {
            Message::Ping(number) => (0, Some(*number), None),
            Message::Ack(number) => (1, Some(*number), None),
            Message::PingReq { target, probe_number } => (2, Some(*probe_number), Some(target)),
            Message::IndirectPing { origin, probe_number } => (3, Some(*probe_number), Some(origin)),
            Message::IndirectAck { target, probe_number } => (4, Some(*probe_number), Some(target)),
            Message::ForwardedAck { origin, probe_number } => (5, Some(*probe_number), Some(origin)),
            Message::Announce => (6, None, None),
            Message::Feed => (7, None, None),
            Message::Gossip => (8, None, None),
            Message::Broadcast => (9, None, None),
            Message::TurnUndead => (10, None, None),
        };
        if buf.remaining_mut() < 3 * PEER + 4 {
            return Err(Malformed);
        }
        put_peer(&mut buf, &header.src);
        buf.put_u16(header.src_incarnation);
        put_peer(&mut buf, &header.dst);
        buf.put_u8(tag);
        if let Some(number) = number {
            buf.put_u8(number);
        }
        if let Some(named) = named {
            put_peer(&mut buf, named);
        }
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Peer>, Malformed> {
        let src = peer(&mut buf)?;
        let src_incarnation = buf.try_get_u16().map_err(|_| Malformed)?;
        let dst = peer(&mut buf)?;
        let tag = buf.try_get_u8().map_err(|_| Malformed)?;
        let probe_number = if tag < 6 { buf.try_get_u8().map_err(|_| Malformed)? } else { 0 };
        let message = match tag {
            0 => Message::Ping(probe_number),
            1 => Message::Ack(probe_number),
            2 => Message::PingReq { target: peer(&mut buf)?, probe_number },
            3 => Message::IndirectPing { origin: peer(&mut buf)?, probe_number },
            4 => Message::IndirectAck { target: peer(&mut buf)?, probe_number },
            5 => Message::ForwardedAck { origin: peer(&mut buf)?, probe_number },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::Broadcast,
            10 => Message::TurnUndead,
            _ => return Err(Malformed),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &Member<Peer>, mut buf: impl BufMut) -> Result<(), Malformed> {
        if buf.remaining_mut() < PEER + 3 {
            return Err(Malformed);
        }
        put_peer(&mut buf, member.id());
        buf.put_u16(member.incarnation());
        buf.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Peer>, Malformed> {
        let id = peer(&mut buf)?;
        let incarnation = buf.try_get_u16().map_err(|_| Malformed)?;
        let state = match buf.try_get_u8().map_err(|_| Malformed)? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(Malformed),
        };
        Ok(Member::new(id, incarnation, state))
    }
}
