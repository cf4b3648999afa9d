//! Writes the seeds of all targets to `corpus/`.

use std::{error::Error, fs, io, path::Path};

use rpcnet::dev::DevCa;
use rustls_pki_types::{CertificateDer, pem::PemObject};

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, name, bytes) in rpcnet::__fuzz::seeds().into_iter().chain(rpcnet_cluster::__fuzz::seeds()) {
        write(&corpus.join(target), name, &bytes)?;
    }
    // New certificates differ each time, so they are written only once.
    let certificates = corpus.join("certificate");
    if !certificates.exists() {
        let ca = DevCa::generate()?;
        write(&certificates, "authority", &der(ca.ca_pem().as_ref())?)?;
        for name in ["node", "server"] {
            write(&certificates, name, &der(ca.issue(name)?.cert.as_ref())?)?;
        }
    }
    Ok(())
}

fn der(pem: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(CertificateDer::from_pem_slice(pem)?.to_vec())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name), bytes)
}
