//! This host's addresses, as the operating system knows them. Sends no packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Returns the address of the interface by which packets to `peer` leave, or `None` if there is no route.
pub(super) fn towards(peer: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Connecting a UDP socket looks the route up and sends nothing.
    socket.connect(peer).ok()?;
    let ip = socket.local_addr().ok()?.ip().to_canonical();
    (!ip.is_unspecified()).then_some(ip)
}

/// Returns whether this host has the address, which is whether it can be bound.
pub(super) fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_of_this_host() {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(towards((loopback, 9).into()), Some(loopback));
        assert!(is_local(loopback));
        // For documentation alone (RFC 5737).
        assert!(!is_local(Ipv4Addr::new(198, 51, 100, 77).into()));
    }
}
