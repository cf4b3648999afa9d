//! A path that loses packets and takes its time, in user space: UDP datagrams are forwarded, late, or not at all.

mod path;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use rpcnet_benches::Failure;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Instant, sleep_until},
};

use self::path::Path;
use crate::peer::ready;

/// Of each datagram, each way.
const LOSS: f64 = 0.01;
/// Each way: half of the round trip.
const DELAY: Duration = Duration::from_millis(10);
/// Datagrams under way in one direction; more are dropped, as a full queue would.
const CAPACITY: usize = 16 << 10;
/// Larger than any datagram.
const DATAGRAM: usize = 64 << 10;

/// Forwards between one client (the last that was heard of) and this server, until the process ends.
pub(crate) async fn run(server: SocketAddr, seed: u64) -> Result<(), Failure> {
    let near = Arc::new(socket()?);
    let far = Arc::new(socket()?);
    far.connect(server).await?;
    ready(near.local_addr()?)?;
    let (told, client) = watch::channel(None);
    let rng = |direction| StdRng::seed_from_u64(seed.wrapping_mul(2).wrapping_add(direction));
    let there = direction(near.clone(), Some(told), rng(0), |datagram| {
        // A full or broken socket loses packets, as networks do.
        let _ = far.try_send(&datagram);
    });
    let back = direction(far.clone(), None, rng(1), |datagram| {
        if let Some(client) = *client.borrow() {
            let _ = near.try_send_to(&datagram, client);
        }
    });
    tokio::try_join!(there, back)?;
    Ok(())
}

/// Datagrams from this socket, one way.
async fn direction(
    from: Arc<UdpSocket>,
    client: Option<watch::Sender<Option<SocketAddr>>>,
    rng: StdRng,
    send: impl Fn(Bytes),
) -> io::Result<()> {
    let mut path = Path::new(LOSS, DELAY, CAPACITY, rng);
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let due = path.due();
        tokio::select! {
            received = from.recv_from(&mut buffer) => {
                // A connected socket tells of a server that has gone.
                let Ok((length, source)) = received else { continue };
                if let Some(client) = &client {
                    client.send_if_modified(|known| known.replace(source) != Some(source));
                }
                path.enter(Instant::now().into_std(), Bytes::copy_from_slice(&buffer[..length]));
            }
            () = sleep_until(due.map_or_else(Instant::now, Instant::from_std)), if due.is_some() => {}
        }
        let now = Instant::now().into_std();
        while let Some(datagram) = path.leave(now) {
            send(datagram);
        }
    }
}

fn socket() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // What is lost is lost by the dice, not by a small buffer.
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_send_buffer_size(4 << 20)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_has_gone_is_a_lossy_path() {
        // Nobody listens there: a socket was bound and is closed again.
        let gone = socket().expect("a socket").local_addr().expect("it is bound");
        let far = Arc::new(socket().expect("a socket"));
        far.connect(gone).await.expect("an address");
        let path = direction(far.clone(), None, StdRng::seed_from_u64(1), |_| {});
        tokio::select! {
            result = path => panic!("it ended: {result:?}"),
            () = async {
                for _ in 0..8 {
                    let _ = far.send(b"anybody?").await;
                    tokio::task::yield_now().await;
                }
            } => {}
        }
    }
}
