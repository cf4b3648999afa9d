//! Finds out from a host whether anybody listens at one of its ports.
//!
//! quinn's socket is not connected to a peer, so the kernel does not report ICMP errors on it. A connected socket gets
//! them: a host answers a datagram to a closed port with *port unreachable* (RFC 1122, section 4.1.3.1), and the next
//! operation on the socket fails with `ConnectionRefused`. The kernel accepts only an answer that quotes this socket's
//! ports.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};

/// The interval between probes. Answers are rare: Linux sends a host at most six in a row and then one a second
/// (`icmp_ratelimit`), including the answers to QUIC's own packets. So an answer counts however late it comes and
/// however many probes were sent since.
const AGAIN: Duration = Duration::from_millis(200);
/// The content of a probe. It is no QUIC packet, so a listening endpoint drops it.
const NOTHING: [u8; 1] = [0];

/// Probes this address until its host reports that nobody listens there. Returns false if something else is answered,
/// or if nothing can be sent. Cancel-safe.
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
