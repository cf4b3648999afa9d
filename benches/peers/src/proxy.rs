//! A lossy path with a delay, in user space: UDP datagrams are forwarded late, or not at all.
//!
//! Each direction has two threads. One receives a datagram, casts the dice, and computes when the datagram is due. The
//! other sleeps until then and sends it. All datagrams have the same delay, so they leave in the order in which they
//! came. The proxy uses threads because tokio's timers count whole milliseconds, which would make the delay up to a
//! tenth longer. A sleeping thread is late by a tenth of a millisecond.

mod path;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use rpcnet_benches::Failure;
use socket2::{Domain, Protocol, Socket, Type};

use self::path::{Arrivals, path};
use crate::peer::ready;

/// The probability with which a datagram is lost, in each direction.
const LOSS: f64 = 0.01;
/// The delay in each direction: half of the round trip.
const DELAY: Duration = Duration::from_millis(10);
/// The most datagrams under way in one direction. Further ones are dropped, as by a full queue.
const CAPACITY: usize = 16 << 10;
/// A buffer size in bytes, larger than any datagram.
const DATAGRAM: usize = 64 << 10;

/// Forwards between one client, the last one heard of, and this server, until the process ends.
pub(crate) fn run(server: SocketAddr, seed: u64) -> Result<(), Failure> {
    let near = Arc::new(socket()?);
    let far = Arc::new(socket()?);
    far.connect(server)?;
    ready(near.local_addr()?)?;
    let client = Arc::new(Mutex::new(None));
    let rng = |direction| StdRng::seed_from_u64(seed.wrapping_mul(2).wrapping_add(direction));

    let (there, mut departures) = path(LOSS, DELAY, CAPACITY, rng(0));
    let (from, known) = (near.clone(), client.clone());
    thread::spawn(move || receive(&from, there, |source| *lock(&known) = Some(source)));
    let to = far.clone();
    // A full or broken socket loses packets, as networks do.
    thread::spawn(move || departures.forward(|datagram| drop(to.send(datagram))));

    let (back, mut departures) = path(LOSS, DELAY, CAPACITY, rng(1));
    thread::spawn(move || receive(&far, back, |_| ()));
    departures.forward(|datagram| {
        if let Some(client) = *lock(&client) {
            let _ = near.send_to(datagram, client);
        }
    });
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes datagrams off a socket until the other end of the path has gone.
fn receive(socket: &UdpSocket, mut arrivals: Arrivals, from: impl Fn(SocketAddr)) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // A connected socket fails if the server has gone. A lossy path reports nothing.
        let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
        from(source);
        if !arrivals.enter(tokio::time::Instant::now().into_std(), &buffer[..length]) {
            return;
        }
    }
}

fn socket() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // The buffers are large, so that only the dice lose packets.
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_send_buffer_size(4 << 20)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_gone_is_a_lossy_path() {
        // No process listens there: the socket was bound and is closed again.
        let gone = socket().expect("a socket").local_addr().expect("it is bound");
        let far = Arc::new(socket().expect("a socket"));
        far.connect(gone).expect("an address");
        let (arrivals, departures) = path(0.0, Duration::ZERO, 8, StdRng::seed_from_u64(1));
        let from = far.clone();
        let receiver = thread::spawn(move || receive(&from, arrivals, |_| ()));
        for _ in 0..8 {
            let _ = far.send(b"anybody?");
        }
        // The thread notices only on the next datagram that the other end has gone.
        drop(departures);
        let other = socket().expect("a socket");
        far.connect(other.local_addr().expect("it is bound")).expect("an address");
        other.send_to(b"here", far.local_addr().expect("it is bound")).expect("loopback takes it");
        receiver.join().expect("it does not panic");
    }
}
