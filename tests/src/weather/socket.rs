//! Sockets of proxies.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// The size of a socket's buffers, in bytes. The kernel may grant less.
const BUFFER: usize = 4 << 20;
/// The size of the largest datagram there is, in bytes.
pub const LARGEST: usize = 65_536;

/// Binds an IPv4 socket with as large buffers as a node's own: a proxy loses the packets that it is told to lose, not
/// those of a burst. A `transparent` socket can be bound to an address that is not this host's (and needs privileges).
///
/// # Errors
///
/// When the address is taken, or not permitted.
pub fn bind(addr: SocketAddr, transparent: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    if transparent {
        #[cfg(target_os = "linux")]
        socket.set_ip_transparent_v4(true)?;
        #[cfg(not(target_os = "linux"))]
        return Err(io::ErrorKind::Unsupported.into());
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}
