//! Security: TLS configuration.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rpcnet::{Channel, Server, ServerConfig, dev::DevCa};
use rpcnet_tests::{shared_ca, until, within};
use tokio::time::interval;

use super::place::{ComputeClient, Result, certificates, channel, connect, start, store};

/// Production certificates. In the guide `build()` has no `?`: it returns a `Result`.
#[tokio::test]
async fn production_certificates() -> Result<()> {
    let certs = certificates()?;
    let cert = std::fs::read(certs.path().join("server.crt"))?;
    let key = std::fs::read(certs.path().join("server.key"))?;
    let ca = std::fs::read(certs.path().join("ca.crt"))?;

    let config = ServerConfig::builder()
        .with_bind_addr("127.0.0.1:0".parse()?)
        .with_cert_and_key(cert, key)?
        .with_ca_cert(ca)?
        .build()?;

    let (_server, address) = start(config)?;
    let compute = ComputeClient::new(connect(&address).await?);
    assert_eq!(compute.compute(vec![1, 2]).await?, [2, 1]);
    // Clients are verified: one of another CA does not get in.
    let stranger = channel(&DevCa::generate()?)?.connect(&address).await;
    assert!(stranger.is_err(), "{stranger:?}");
    Ok(())
}

/// Certificate rotation. In the guide the task uses `?` and returns nothing: it needs a `Result`.
/// `certificate_expires_soon` is left out until there is one; here a new certificate is taken up when it lies there.
async fn rotate_certificates(server: Arc<Server>, certs: PathBuf, period: Duration) -> Result<()> {
    let mut check_interval = interval(period);

    loop {
        check_interval.tick().await;

        if certs.join("server.key.new").exists() {
            let new_cert = std::fs::read(certs.join("server.crt.new"))?;
            let new_key = std::fs::read(certs.join("server.key.new"))?;
            std::fs::remove_file(certs.join("server.key.new"))?;

            server.reload_certificate(new_cert, new_key).await?;
        }
    }
}

#[tokio::test]
async fn certificate_rotation() -> Result<()> {
    let certs = certificates()?;
    let directory = certs.path().to_owned();
    let config = ServerConfig::builder()
        .with_bind_addr("127.0.0.1:0".parse()?)
        .with_cert_and_key(
            std::fs::read(directory.join("server.crt"))?,
            std::fs::read(directory.join("server.key"))?,
        )?
        .with_ca_cert(std::fs::read(directory.join("ca.crt"))?)?
        .build()?;
    let (server, address) = start(config)?;
    let server = Arc::new(server);
    let rotation =
        tokio::spawn(rotate_certificates(server.clone(), directory.clone(), Duration::from_millis(20)));

    let before = ComputeClient::new(connect(&address).await?);
    let at_work = tokio::spawn(before.wait(200));
    assert_eq!(server.identity().map(|identity| identity.name().to_owned()), Some("server".into()));
    store(&directory, ".new", &shared_ca().issue("rotated")?)?;
    until(|| server.identity().is_some_and(|identity| identity.name() == "rotated")).await;
    // No call fails, and no connection is cut.
    within(at_work).await??;
    assert_eq!(before.compute(vec![1, 2]).await?, [2, 1]);
    let after: Channel = connect(&address).await?;
    assert_eq!(ComputeClient::new(after).compute(vec![3]).await?, [3]);
    assert!(!rotation.is_finished());
    rotation.abort();
    Ok(())
}
