//! Certificates from a directory, or from a development CA.

use std::{fs, path::Path};

use anyhow::Context as _;
use rpcnet::dev::DevCa;

use super::{RoleError, say};
use crate::Certificates;

/// The PEM texts of a node.
#[derive(Debug, Clone)]
pub(super) struct Pem {
    pub(super) ca: String,
    pub(super) cert: String,
    pub(super) key: String,
}

impl Pem {
    /// Loads the certificates of the node `name`.
    pub(super) fn load(certificates: &Certificates, name: &str) -> Result<Self, RoleError> {
        match certificates {
            Certificates::Directory(dir) => Self::read(dir).map_err(RoleError::Usage),
            Certificates::Development(dir) => {
                say(format_args!(
                    "using the development CA in {}: anybody who can read it can join",
                    dir.display()
                ));
                let ca = DevCa::load_or_create(dir)
                    .context("no development certificates")
                    .map_err(RoleError::Usage)?;
                let issued = ca.issue(name).context("no development certificate")?;
                Ok(Self { ca: ca.ca_pem().to_owned(), cert: issued.cert, key: issued.key })
            }
        }
    }

    fn read(dir: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).with_context(|| {
                format!(
                    "can't read {} (the certificate directory holds ca.crt, node.crt and node.key)",
                    path.display()
                )
            })
        };
        Ok(Self { ca: read("ca.crt")?, cert: read("node.crt")?, key: read("node.key")? })
    }
}
