//! Reading of single values. An error describes a valid value, and is printed after the value.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::layers::Read;

/// The most bytes of text in a call. With more, a long word at the end would bring the message close to its limit of 4
/// MiB.
const MAX_CHUNK_BYTES: usize = 2 * 1024 * 1024;
const MAX_IN_FLIGHT: usize = 4096;
const MAX_SECONDS: u64 = 24 * 60 * 60;

pub(super) fn socket_addr(text: &str) -> Read<SocketAddr> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:8080".to_owned())
}

/// The port of gossip's own socket if none is given.
const GOSSIP_PORT: u16 = 7946;

pub(super) fn gossip_addr(text: &str) -> Read<SocketAddr> {
    let with_port = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, GOSSIP_PORT));
    let expected = |_| "give an IP address, with or without a port, such as 0.0.0.0:7946".to_owned();
    with_port.or_else(|_| text.parse()).map_err(expected)
}

/// A name or IP address, and a port other than zero. Names are resolved later, and repeatedly.
pub(super) fn host_port(text: &str) -> Read<String> {
    let expected = || "give a host and a port, such as director-1:8080".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let valid_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
        None => {
            let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !host.is_empty() && host.chars().all(part)
        }
    };
    let valid_port = port.parse::<u16>().is_ok_and(|port| port != 0) && !port.starts_with('+');
    if valid_host && valid_port {
        Ok(text.to_owned())
    } else if host.parse::<Ipv6Addr>().is_ok() {
        Err(format!("put the IPv6 address in brackets, as [{host}]:{port}"))
    } else {
        Err(expected())
    }
}

pub(super) fn name(text: &str) -> Read<String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("give a name of one line, such as worker-1".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Read<PathBuf> {
    if text.is_empty() {
        return Err("give a path".to_owned());
    }
    Ok(text.into())
}

pub(super) fn log(text: &str) -> Read<String> {
    match EnvFilter::from_str(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("give a log filter, such as info or warn,rpcnet=debug".to_owned()),
    }
}

pub(super) fn switch(text: &str) -> Read<bool> {
    text.parse().map_err(|_| "give true or false".to_owned())
}

pub(super) fn top(text: &str) -> Read<usize> {
    number(text, 0, 1_000_000)
}

pub(super) fn chunk_bytes(text: &str) -> Read<usize> {
    number(text, 1, MAX_CHUNK_BYTES)
}

pub(super) fn in_flight(text: &str) -> Read<usize> {
    number(text, 1, MAX_IN_FLIGHT)
}

pub(super) fn seconds(text: &str) -> Read<Duration> {
    number(text, 0, MAX_SECONDS).map(Duration::from_secs)
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(text: &str, least: T, most: T) -> Read<T> {
    match text.parse() {
        Ok(number) if (&least..=&most).contains(&&number) => Ok(number),
        _ => Err(format!("give a number from {least} to {most}")),
    }
}
