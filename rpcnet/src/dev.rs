//! A certificate authority for development and tests. Do not use it in production: its key lies next to its
//! certificate.

use std::{
    error::Error,
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

/// The reason why development certificates could not be made or loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum DevCaError {
    /// The certificate could not be made.
    Generate(rcgen::Error),
    /// The directory could not be read or written.
    Directory {
        /// The path.
        path: String,
        /// The operating system's error.
        source: io::Error,
    },
}

impl fmt::Display for DevCaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generate(source) => write!(f, "can't make a development certificate: {source}"),
            Self::Directory { path, source } => write!(
                f,
                "the directory of development certificates can't be used: {path}: {source}; give one that this process may \
                 read and write"
            ),
        }
    }
}

impl Error for DevCaError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Generate(source) => source.source(),
            Self::Directory { source, .. } => source.source(),
        }
    }
}

impl From<rcgen::Error> for DevCaError {
    fn from(source: rcgen::Error) -> Self {
        Self::Generate(source)
    }
}

/// A certificate authority for development.
///
/// ```
/// use rpcnet::{Channel, ServerConfig, dev::DevCa};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = DevCa::generate()?;
/// let (server, client) = (ca.issue("server")?, ca.issue("client")?);
/// let config = ServerConfig::builder()
///     .with_cert_and_key(server.cert, server.key)?
///     .with_ca_cert(ca.ca_pem())?
///     .build()?;
/// let channel = Channel::builder().with_cert_and_key(client.cert, client.key)?.with_ca_cert(ca.ca_pem())?;
/// # let _ = (config, channel);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DevCa {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    cluster: String,
}

/// A certificate and its key, as PEM text.
#[derive(Debug, Clone)]
pub struct DevCert {
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

/// The contents of a development certificate.
///
/// ```
/// use rpcnet::dev::{DevCa, DevCertOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = DevCa::generate()?;
/// let hosts = (vec!["10.0.0.1".parse()?], vec!["worker-1.example.org".into()]);
/// let reachable = ca.issue_with(&DevCertOptions::new("worker-1").with_hosts(hosts.0, hosts.1))?;
/// let expired = ca.issue_with(&DevCertOptions::new("worker-1").expired())?;
/// # let _ = (reachable, expired);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DevCertOptions {
    name: String,
    cluster: Option<String>,
    addresses: Vec<IpAddr>,
    dns_names: Vec<String>,
    /// The first year in which it is valid, and the first in which it no longer is. `None`: valid for years.
    years: Option<(i32, i32)>,
}

impl DevCertOptions {
    /// A node of this name in the CA's cluster, with the host name `localhost` and the loopback addresses,
    /// valid for years.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cluster: None,
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            dns_names: vec!["localhost".into()],
            years: None,
        }
    }

    /// Sets another cluster. An empty name leaves the URI SAN out.
    #[must_use]
    pub fn with_cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = Some(cluster.into());
        self
    }

    /// Sets addresses and DNS names, in place of `localhost` and the loopback addresses.
    #[must_use]
    pub fn with_hosts(mut self, addresses: Vec<IpAddr>, dns_names: Vec<String>) -> Self {
        self.addresses = addresses;
        self.dns_names = dns_names;
        self
    }

    /// Makes it a certificate that expired at the beginning of 2020.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.years = Some((2019, 2020));
        self
    }

    /// Makes it a certificate that is not valid before 2100.
    #[must_use]
    pub fn not_yet_valid(mut self) -> Self {
        self.years = Some((2100, 2101));
        self
    }
}

impl DevCa {
    /// Creates a new authority for the cluster `dev`.
    ///
    /// # Errors
    ///
    /// [`DevCaError::Generate`] if the certificate cannot be made.
    pub fn generate() -> Result<Self, DevCaError> {
        Self::generate_for("dev")
    }

    /// Creates a new authority for this cluster.
    ///
    /// # Errors
    ///
    /// [`DevCaError::Generate`] if the certificate cannot be made.
    pub fn generate_for(cluster: &str) -> Result<Self, DevCaError> {
        let key = KeyPair::generate()?;
        let params = Self::params(cluster);
        let ca_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), ca_pem, cluster: cluster.to_owned() })
    }

    /// Loads the authority of the cluster `dev` from this directory, or creates it there if there is none.
    ///
    /// Processes that start at the same time get the same authority: the directory appears whole or not at
    /// all.
    ///
    /// # Errors
    ///
    /// [`DevCaError::Directory`] if the directory cannot be read or written; [`DevCaError::Generate`] if its
    /// key cannot be used or no new one can be made.
    pub fn load_or_create(dir: &Path) -> Result<Self, DevCaError> {
        if !dir.join("ca.key").exists() {
            Self::generate()?.save(dir)?;
        }
        Self::load(dir)
    }

    fn params(cluster: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, format!("rpcnet development CA of {cluster}"));
        params.distinguished_name = subject;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    fn save(&self, dir: &Path) -> Result<(), DevCaError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| DevCaError::Directory { path, source }
        };
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let fresh = parent.join(format!(".{name}.{}", std::process::id()));
        fs::create_dir_all(&fresh).map_err(failed(&fresh))?;
        write_private(&fresh.join("ca.key"), &self.issuer.key().serialize_pem()).map_err(failed(&fresh))?;
        fs::write(fresh.join("ca.crt"), &self.ca_pem).map_err(failed(&fresh))?;
        match fs::rename(&fresh, dir) {
            Ok(()) => Ok(()),
            // Another process was faster: its authority is used.
            Err(_) if dir.join("ca.key").exists() => fs::remove_dir_all(&fresh).map_err(failed(&fresh)),
            Err(source) => {
                let _ = fs::remove_dir_all(&fresh);
                Err(failed(dir)(source))
            }
        }
    }

    fn load(dir: &Path) -> Result<Self, DevCaError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path)
                .map_err(|source| DevCaError::Directory { path: path.display().to_string(), source })
        };
        let key = KeyPair::from_pem(&read("ca.key")?)?;
        let cluster = "dev".to_owned();
        Ok(Self { issuer: Issuer::new(Self::params(&cluster), key), ca_pem: read("ca.crt")?, cluster })
    }

    /// The authority's own certificate, as PEM text.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Issues a certificate for a node of this name on this machine.
    ///
    /// # Errors
    ///
    /// [`DevCaError::Generate`], for example for a name that no certificate can hold.
    pub fn issue(&self, name: &str) -> Result<DevCert, DevCaError> {
        self.issue_with(&DevCertOptions::new(name))
    }

    /// Issues a certificate with these contents.
    ///
    /// # Errors
    ///
    /// [`DevCaError::Generate`], for example for a name that no certificate can hold.
    pub fn issue_with(&self, options: &DevCertOptions) -> Result<DevCert, DevCaError> {
        let mut params = CertificateParams::new(options.dns_names.clone())?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, &options.name);
        params.distinguished_name = subject;
        params.subject_alt_names.extend(options.addresses.iter().copied().map(SanType::IpAddress));
        let cluster = options.cluster.as_deref().unwrap_or(&self.cluster);
        if !cluster.is_empty() {
            let uri = format!("spiffe://{cluster}/node/{}", options.name);
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if let Some((first, end)) = options.years {
            params.not_before = rcgen::date_time_ymd(first, 1, 1);
            params.not_after = rcgen::date_time_ymd(end, 1, 1);
        }
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(DevCert { cert: cert.pem(), key: key.serialize_pem() })
    }
}

#[cfg(unix)]
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};

    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(not(unix))]
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
}
