//! Addresses of the form `host:port`, as users write them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// A host and a port to dial: `worker-1.example:8081`, `10.0.0.1:8081`, `[fd00::1]:8081`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The name or the IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port. A parsed one is never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The IP address, if the host is one. It needs no resolution.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl From<SocketAddr> for HostPort {
    fn from(addr: SocketAddr) -> Self {
        Self { host: addr.ip().to_string(), port: addr.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |advice| AddressError { text: text.to_owned(), advice };
        if text.contains("://") {
            return Err(wrong("leave out the scheme and write host:port, for example worker-1.example:8081"));
        }
        let no_port = "add the port and write host:port, for example worker-1.example:8081";
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) =
                    rest.split_once(']').ok_or_else(|| wrong("close the bracket: [::1]:8081"))?;
                if host.split('%').next().is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_err()) {
                    return Err(wrong("only an IPv6 address stands in brackets: [::1]:8081"));
                }
                (host, port.strip_prefix(':').ok_or_else(|| wrong(no_port))?)
            }
            None => {
                if text.parse::<std::net::Ipv6Addr>().is_ok() {
                    return Err(wrong("write an IPv6 address in brackets and add the port: [::1]:8081"));
                }
                let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong(no_port))?;
                if host.contains(':') {
                    return Err(wrong("write an IPv6 address in brackets: [::1]:8081"));
                }
                (host, port)
            }
        };
        if host.is_empty() {
            return Err(wrong("the host is missing: write host:port, for example worker-1.example:8081"));
        }
        if host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#,".contains(c)) {
            return Err(wrong("write one host and one port only, for example worker-1.example:8081"));
        }
        match port.parse() {
            Ok(0) => Err(wrong("port 0 can't be dialled: write the port on which the server listens")),
            // `u16::from_str` accepts a sign.
            Ok(port) if !text.ends_with(&format!("+{port}")) => Ok(Self { host: host.to_owned(), port }),
            _ => Err(wrong("the port is not a number from 1 to 65535")),
        }
    }
}

/// A text that is not `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: {advice}")]
pub struct AddressError {
    text: String,
    advice: &'static str,
}

impl AddressError {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The reason, and the text to write instead.
    pub fn advice(&self) -> &'static str {
        self.advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, host, port) in [
            ("worker-1.example:8081", "worker-1.example", 8081),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:8081", "::1", 8081),
            ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
        ] {
            let parsed: HostPort = text.parse().expect(text);
            assert_eq!((parsed.host(), parsed.port()), (host, port));
            assert_eq!(parsed.to_string(), text);
        }
        assert!("[::1]:1".parse::<HostPort>().expect("an address").ip().is_some());
        assert!("localhost:1".parse::<HostPort>().expect("a name").ip().is_none());
    }

    #[test]
    fn other_text_is_refused_with_advice() {
        for (text, advice) in [
            ("http://worker-1.example:8081", "scheme"),
            ("https://worker-1.example", "scheme"),
            ("worker-1.example", "add the port"),
            ("[::1]", "add the port"),
            ("::1", "brackets"),
            ("fd00::1:8081", "brackets"),
            ("fd00:0:0:0:0:0:0:1:8081", "brackets"),
            ("[::1:8081", "bracket"),
            ("[worker-1]:8081", "only an IPv6"),
            (":8081", "host is missing"),
            ("", "add the port"),
            ("worker:port", "not a number"),
            ("worker:99999", "not a number"),
            ("worker:+1", "not a number"),
            ("worker:", "not a number"),
            ("worker:0", "port 0"),
            ("a:1,b:2", "brackets"),
            ("a,b:2", "one host"),
            ("user@worker:80", "one host"),
            ("worker :80", "one host"),
        ] {
            let error = text.parse::<HostPort>().expect_err(text);
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}
