//! Credentials as files, for a peer that takes nothing else. They are deleted with their directory.

use std::{fs, io};

use rpcnet_benches::Credentials;
use tempfile::TempDir;

pub(crate) const CA: &str = "ca.pem";
pub(crate) const CERT: &str = "cert.pem";
pub(crate) const KEY: &str = "key.pem";

pub(crate) fn write(credentials: &Credentials) -> io::Result<TempDir> {
    // The directory is readable to its owner alone.
    let directory = TempDir::new()?;
    for (name, content) in [(CA, &credentials.ca), (CERT, &credentials.cert), (KEY, &credentials.key)] {
        fs::write(directory.path().join(name), content)?;
    }
    Ok(directory)
}
