//! Roles without rpcnet: datagrams and names as the operating system has them.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::{Args, Subcommand};
use rpcnet_benches::Failure;
use rpcnet_tests::{role::tell, weather::LARGEST};
use tokio::{
    net::{UdpSocket, lookup_host},
    time::{Instant, timeout_at},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Sends each datagram back, with the sender's address appended. Tells `listening ADDR`.
    Echo { bind: SocketAddr },
    /// Sends numbers, and tells `reply NUMBER AFTER_MS SEEN_AS` for each that comes back. Ends with `done`, or with
    /// `refused` where nobody listens there.
    Send(Send),
    /// Tells the addresses of a name, or that there are none.
    Resolve { name: String },
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// `host:port`.
    to: String,
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Between two of them, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pause: u64,
    /// Time to wait for replies after the last, in milliseconds.
    #[arg(long, default_value_t = 300)]
    wait: u64,
    /// Wait for so many replies only.
    #[arg(long)]
    expect: Option<u32>,
    /// The size of each, in bytes.
    #[arg(long, default_value_t = 16)]
    size: usize,
    #[arg(long, default_value_t = 0)]
    from_port: u16,
}

pub(crate) async fn run(role: Role) -> Result<(), Failure> {
    match role {
        Role::Echo { bind } => echo(bind).await,
        Role::Send(arguments) => send(arguments).await,
        Role::Resolve { name } => {
            let told = match lookup_host((name, 0)).await {
                Ok(addrs) => addrs.map(|addr| addr.ip().to_string()).collect::<Vec<_>>().join(" "),
                Err(_) => "nothing".to_owned(),
            };
            Ok(tell(&format!("resolved {told}"))?)
        }
    }
}

async fn echo(bind: SocketAddr) -> Result<(), Failure> {
    let socket = UdpSocket::bind(bind).await?;
    tell(&format!("listening {}", socket.local_addr()?))?;
    let mut buffer = vec![0; LARGEST];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let mut reply = buffer[..length].to_vec();
        reply.extend_from_slice(format!(" {from}").as_bytes());
        socket.send_to(&reply, from).await?;
    }
}

async fn send(arguments: Send) -> Result<(), Failure> {
    let Send { to, count, pause, wait, expect, size, from_port } = arguments;
    let (pause, wait) = (Duration::from_millis(pause), Duration::from_millis(wait));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, from_port)).await?;
    // Connected, so that a refusal is told.
    socket.connect(to).await?;
    let began = Instant::now();
    let mut buffer = vec![0; LARGEST];
    let mut replies = 0;
    for number in 0..count {
        let mut datagram = number.to_string().into_bytes();
        datagram.resize(size.max(datagram.len()), b' ');
        match socket.send(&datagram).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(tell("refused")?),
            sent => drop(sent?),
        }
        let until = Instant::now() + if number + 1 == count { wait } else { pause };
        while expect.is_none_or(|expected| replies < expected) {
            let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await else { break };
            match received {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(tell("refused")?),
                received => {
                    let reply = String::from_utf8_lossy(&buffer[..received?]).into_owned();
                    let mut words = reply.split_ascii_whitespace();
                    let (Some(number), Some(seen)) = (words.next(), words.next()) else {
                        return Err(format!("no reply of an echo: `{reply}`").into());
                    };
                    replies += 1;
                    tell(&format!("reply {number} {} {seen}", began.elapsed().as_millis()))?;
                }
            }
        }
    }
    Ok(tell("done")?)
}
