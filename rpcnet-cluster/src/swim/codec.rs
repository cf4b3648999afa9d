//! The encoding of foca's packets.
//!
//! foca chooses the receivers of news at random and offers no way to choose better ones. So this codec writes another
//! destination if there is a nearer one, and [`FocaRuntime`](super::effects::FocaRuntime) sends the packet to the
//! destination in its header.
//!
//! A header holds source, incarnation, destination, a tag, and the fields of the message. A member holds identity,
//! incarnation and state.

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};

use super::{
    foca_state::{FocaStateHandle, ObservedState},
    identity::Peer,
    wire::{IDENTITY_MAX, PacketReader, WireError, identity_len, put_identity},
};

/// The longest header: three identities, an incarnation, a tag and a probe number.
pub(super) const HEADER_MAX: usize = 3 * IDENTITY_MAX + 4;

#[derive(Debug)]
pub(super) struct Codec(pub(super) FocaStateHandle);

impl foca::Codec<Peer> for Codec {
    type Error = WireError;

    fn encode_header(&mut self, header: &Header<Peer>, mut buf: impl BufMut) -> Result<(), WireError> {
        let (tag, named): (u8, _) = match &header.message {
            Message::Ping(number) => (0, Named::View(*number)),
            Message::Ack(number) => (1, Named::View(*number)),
            Message::PingReq { target, probe_number } => (2, Named::Both(*target, *probe_number)),
            Message::IndirectPing { origin, probe_number } => (3, Named::Both(*origin, *probe_number)),
            Message::IndirectAck { target, probe_number } => (4, Named::Both(*target, *probe_number)),
            Message::ForwardedAck { origin, probe_number } => (5, Named::Both(*origin, *probe_number)),
            Message::Announce => (6, Named::Nothing),
            Message::Feed => (7, Named::Nothing),
            Message::Gossip => (8, Named::Nothing),
            Message::Broadcast => (9, Named::Nothing),
            Message::TurnUndead => (10, Named::Nothing),
        };
        // A failure here would end foca's probing. None can happen: a packet has room for more than the longest header.
        if buf.remaining_mut() < HEADER_MAX {
            return Err(WireError::NoRoom);
        }
        let (fingerprint, near) = {
            let mut shared = self.0.lock();
            shared.messages[usize::from(tag)] += 1;
            shared.incarnation = header.src_incarnation;
            let is_news = matches!(header.message, Message::Gossip | Message::Broadcast);
            (shared.fingerprint, if is_news { shared.near.pop() } else { None })
        };
        put_identity(&mut buf, &header.src.0);
        buf.put_u16(header.src_incarnation);
        put_identity(&mut buf, &near.unwrap_or(header.dst.0));
        buf.put_u8(tag);
        match named {
            Named::Nothing => {}
            Named::View(number) => {
                buf.put_u8(number);
                buf.put_u64(fingerprint);
            }
            Named::Both(peer, number) => {
                put_identity(&mut buf, &peer.0);
                buf.put_u8(number);
            }
        }
        Ok(())
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Peer>, WireError> {
        read_from(buf, read_header)
    }

    fn encode_member(&mut self, member: &Member<Peer>, mut buf: impl BufMut) -> Result<(), WireError> {
        let identity = member.id().0;
        self.0.lock().observed.push(ObservedState {
            identity,
            incarnation: member.incarnation(),
            state: member.state(),
        });
        if buf.remaining_mut() < member_len(member) {
            return Err(WireError::NoRoom);
        }
        put_member(&mut buf, member);
        Ok(())
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Peer>, WireError> {
        let member = read_from(buf, read_member)?;
        let mut shared = self.0.lock();
        shared.heard(&member.id().0, member.state() != State::Down);
        // The claim is in doubt. The part that is certain remains: the member was alive in this incarnation.
        if member.state() == State::Down && shared.disbelieved.contains(&member.id().0) {
            return Ok(Member::new(*member.id(), member.incarnation(), State::Alive));
        }
        Ok(member)
    }
}

enum Named {
    Nothing,
    /// The fingerprint of the sender's view.
    View(u8),
    Both(Peer, u8),
}

fn read_from<T>(
    mut buf: impl Buf,
    read: impl FnOnce(&mut PacketReader<'_>) -> Result<T, WireError>,
) -> Result<T, WireError> {
    // foca's buffers are contiguous, so the first chunk holds all bytes.
    let mut reader = PacketReader::new(buf.chunk());
    let value = read(&mut reader)?;
    let left = reader.remaining();
    buf.advance(buf.remaining() - left);
    Ok(value)
}

pub(super) fn read_header(reader: &mut PacketReader<'_>) -> Result<Header<Peer>, WireError> {
    read_header_and_view(reader).map(|(header, _)| header)
}

/// Reads a header, and the fingerprint of its sender's view if it has one.
pub(super) fn read_header_and_view(
    reader: &mut PacketReader<'_>,
) -> Result<(Header<Peer>, Option<u64>), WireError> {
    fn both(reader: &mut PacketReader<'_>) -> Result<(Peer, u8), WireError> {
        Ok((Peer(reader.identity()?), reader.u8()?))
    }

    fn numbered(reader: &mut PacketReader<'_>, view: &mut Option<u64>) -> Result<u8, WireError> {
        let number = reader.u8()?;
        *view = Some(reader.u64()?);
        Ok(number)
    }

    let src = Peer(reader.identity()?);
    let src_incarnation = reader.u16()?;
    let dst = Peer(reader.identity()?);
    let mut view = None;
    let message = match reader.u8()? {
        0 => Message::Ping(numbered(reader, &mut view)?),
        1 => Message::Ack(numbered(reader, &mut view)?),
        2 => {
            let (target, probe_number) = both(reader)?;
            Message::PingReq { target, probe_number }
        }
        3 => {
            let (origin, probe_number) = both(reader)?;
            Message::IndirectPing { origin, probe_number }
        }
        4 => {
            let (target, probe_number) = both(reader)?;
            Message::IndirectAck { target, probe_number }
        }
        5 => {
            let (origin, probe_number) = both(reader)?;
            Message::ForwardedAck { origin, probe_number }
        }
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        _ => return Err(WireError::Invalid),
    };
    Ok((Header { src, src_incarnation, dst, message }, view))
}

pub(super) fn member_len(member: &Member<Peer>) -> usize {
    identity_len(&member.id().0) + 3
}

pub(super) fn put_member(buf: &mut impl BufMut, member: &Member<Peer>) {
    put_identity(buf, &member.id().0);
    buf.put_u16(member.incarnation());
    buf.put_u8(match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
}

pub(super) fn read_member(reader: &mut PacketReader<'_>) -> Result<Member<Peer>, WireError> {
    let peer = Peer(reader.identity()?);
    let incarnation = reader.u16()?;
    let state = match reader.u8()? {
        0 => State::Alive,
        1 => State::Suspect,
        2 => State::Down,
        _ => return Err(WireError::Invalid),
    };
    Ok(Member::new(peer, incarnation, state))
}
