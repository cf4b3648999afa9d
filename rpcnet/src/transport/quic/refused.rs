//! Whether anybody listens at an address, as its host says.
//!
//! quinn's socket is not connected to any peer, so the kernel does not tell it of ICMP errors. A connected one is told: a
//! host answers a datagram to a port on which nobody listens with *port unreachable* (RFC 1122, section 4.1.3.1), which its
//! next operation gives as `ConnectionRefused`. The kernel believes only an answer that quotes this socket's ports.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};

/// When it is asked again. Answers are rare: Linux sends a host at most six in a row and then one a second (`icmp_ratelimit`),
/// those to QUIC's own packets included. So one that comes late counts too, however often it was asked since.
const AGAIN: Duration = Duration::from_millis(200);
/// No QUIC packet: whoever listens drops it.
const NOTHING: [u8; 1] = [0];

/// Asks the host of this address until it says that nobody listens there. False where something else is answered, and
/// where nothing can be sent. Cancel-safe.
pub(super) async fn is_refused(addr: SocketAddr) -> bool {
    let any = match addr.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let asked = async {
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(addr).await?;
        loop {
            socket.send(&NOTHING).await?;
            if let Ok(answer) = timeout(AGAIN, socket.recv(&mut [0; 1])).await {
                return answer;
            }
        }
    };
    let answer: io::Result<usize> = asked.await;
    matches!(answer, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_without_a_socket_is_refused_and_one_with_is_not() {
        for ip in ["127.0.0.1", "::1"] {
            let Ok(socket) = UdpSocket::bind((ip, 0)).await else { continue };
            let addr = socket.local_addr().expect("it is bound");
            timeout(3 * AGAIN, is_refused(addr)).await.expect_err("nobody says so");
            drop(socket);
            assert!(is_refused(addr).await, "{addr}");
        }
    }
}
