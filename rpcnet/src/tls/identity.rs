//! The identity in a certificate.

use std::{fmt, net::IpAddr, str::FromStr};

use x509_parser::{extensions::GeneralName, prelude::FromDer};

/// A peer's identity, as its certificate says.
///
/// ```
/// use rpcnet::{PeerIdentity, Status};
///
/// // To be called in a handler, with `cx.peer()`.
/// fn authorize(peer: &PeerIdentity) -> rpcnet::Result<()> {
///     if peer.name() == "billing" {
///         return Ok(());
///     }
///     Err(Status::permission_denied(format!("{} may not do this", peer.name())))
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = rpcnet::dev::DevCa::generate()?;
/// # for (name, may) in [("billing", true), ("web", false)] {
/// #     let own = ca.issue(name)?;
/// #     let config = rpcnet::ServerConfig::builder().with_cert_and_key(own.cert, own.key)?;
/// #     let server = rpcnet::Server::new(config.with_ca_cert(ca.ca_pem())?.build()?)?;
/// #     assert_eq!(authorize(&server.identity().expect("a certificate")).is_ok(), may);
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerIdentity {
    subject: String,
    spiffe: Option<SpiffeId>,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
}

impl PeerIdentity {
    /// The certificate's subject, such as `CN=worker-1`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The cluster and the node, if the certificate has a URI SAN of the form `spiffe://<cluster>/node/<name>`.
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        self.spiffe.as_ref()
    }

    /// The DNS names in the certificate's SAN.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The IP addresses in the certificate's SAN.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.ip_addresses
    }

    /// The node's name: the one in the URI SAN, else the first DNS name, else the subject.
    pub fn name(&self) -> &str {
        match (&self.spiffe, self.dns_names.first()) {
            (Some(id), _) => id.node(),
            (None, Some(name)) => name,
            (None, None) => &self.subject,
        }
    }

    pub(crate) fn from_der(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) =
            x509_parser::certificate::X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let mut identity = Self { subject: certificate.subject().to_string(), ..Self::default() };
        let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::URI(uri) if identity.spiffe.is_none() => identity.spiffe = uri.parse().ok(),
                GeneralName::DNSName(name) => identity.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    if let Ok(v4) = <[u8; 4]>::try_from(*bytes) {
                        identity.ip_addresses.push(v4.into());
                    } else if let Ok(v6) = <[u8; 16]>::try_from(*bytes) {
                        identity.ip_addresses.push(v6.into());
                    }
                }
                _ => {}
            }
        }
        Ok(identity)
    }
}

/// A cluster's node: `spiffe://<cluster>/node/<name>`.
///
/// ```
/// use rpcnet::SpiffeId;
///
/// let id: SpiffeId = "spiffe://shop/node/worker-1".parse()?;
/// assert_eq!((id.cluster(), id.node()), ("shop", "worker-1"));
/// # Ok::<(), rpcnet::SpiffeIdError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    cluster: String,
    node: String,
}

impl SpiffeId {
    /// The trust domain: the cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
    }
}

/// A text that is no [`SpiffeId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{uri:?} is not the SPIFFE id of a node: write spiffe://<cluster>/node/<name>")]
pub struct SpiffeIdError {
    uri: String,
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(uri: &str) -> Result<Self, SpiffeIdError> {
        let parts = uri.strip_prefix("spiffe://").and_then(|rest| rest.split_once("/node/"));
        match parts {
            Some((cluster, node)) if !cluster.is_empty() && !cluster.contains('/') && !node.is_empty() => {
                Ok(Self { cluster: cluster.to_owned(), node: node.to_owned() })
            }
            _ => Err(SpiffeIdError { uri: uri.to_owned() }),
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/node/{}", self.cluster, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spiffe_ids() {
        let id: SpiffeId = "spiffe://prod/node/worker-1".parse().expect("well formed");
        assert_eq!((id.cluster(), id.node()), ("prod", "worker-1"));
        assert_eq!(id.to_string(), "spiffe://prod/node/worker-1");
        let wrong = [
            "spiffe:///node/a",
            "spiffe://prod/node/",
            "spiffe://prod/pod/a",
            "spiffe://prod/pod/node/a",
            "https://prod/node/a",
        ];
        for wrong in wrong {
            let error = wrong.parse::<SpiffeId>().expect_err(wrong).to_string();
            assert_eq!(
                error,
                format!("{wrong:?} is not the SPIFFE id of a node: write spiffe://<cluster>/node/<name>")
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = PeerIdentity::from_der(&bytes);
        }
    }
}
