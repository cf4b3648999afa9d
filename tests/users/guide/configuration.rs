//! Configuration management: settings by environment, secrets.

use rpcnet::ServerConfig;
use rpcnet_tests::shared_ca;
use serde::Deserialize;

use super::{
    place::{ComputeClient, Result, certificates, connect, start},
    stand_ins::{
        aws_config,
        aws_sdk_secretsmanager::Client as SecretsClient,
        config::{Config, Environment, File},
    },
};

#[derive(Debug, Deserialize)]
struct Settings {
    server: ServerSettings,
    cluster: ClusterSettings,
    monitoring: MonitoringSettings,
}

#[derive(Debug, Deserialize)]
struct ServerSettings {
    bind_addr: String,
    cert_path: String,
    key_path: String,
}

#[derive(Debug, Deserialize)]
struct ClusterSettings {
    seeds: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct MonitoringSettings {
    metrics_addr: String,
}

/// Configuration by environment. The guide takes the name of the environment from `env!`, which is read when the program is
/// compiled: it is an argument here. Variables are given as pairs, as a test must not change its process's own.
fn load_config(directory: &str, env: &str, variables: &[(&str, &str)]) -> Result<Settings> {
    let settings = Config::builder()
        .add_source(File::with_name(&format!("{directory}/default")))
        .add_source(File::with_name(&format!("{directory}/{env}")).required(false))
        .add_source(Environment::with_prefix("RPCNET", variables))
        .build()?;

    settings.try_deserialize()
}

#[tokio::test]
async fn environment_based_config() -> Result<()> {
    let certs = certificates()?;
    let directory = certs.path().display();
    let default = serde_json::json!({
        "server": {
            "bind_addr": "0.0.0.0:8080",
            "cert_path": format!("{directory}/server.crt"),
            "key_path": format!("{directory}/missing.key"),
        },
        "cluster": { "seeds": ["director-1:8080"] },
        "monitoring": { "metrics_addr": "0.0.0.0:9090" },
    });
    std::fs::write(certs.path().join("default.json"), default.to_string())?;
    let production = serde_json::json!({ "server": { "key_path": format!("{directory}/server.key") } });
    std::fs::write(certs.path().join("production.json"), production.to_string())?;

    let variables = [("RPCNET_SERVER__BIND_ADDR", "127.0.0.1:0"), ("OTHER", "x")];
    let settings = load_config(&directory.to_string(), "production", &variables)?;
    assert_eq!(settings.cluster.seeds, ["director-1:8080"]);
    assert_eq!(settings.monitoring.metrics_addr, "0.0.0.0:9090");

    let config = ServerConfig::builder()
        .with_bind_addr(settings.server.bind_addr.parse()?)
        .with_cert_and_key(
            std::fs::read(settings.server.cert_path)?,
            std::fs::read(settings.server.key_path)?,
        )?
        .with_ca_cert(shared_ca().ca_pem())?
        .build()?;
    let (_server, address) = start(config)?;
    let compute = ComputeClient::new(connect(&address).await?);
    assert_eq!(compute.compute(vec![1, 2]).await?, [2, 1]);

    let other = load_config(&directory.to_string(), "development", &[])?;
    assert!(other.server.key_path.ends_with("missing.key"));
    Ok(())
}

/// Secrets. The guide unwraps what may be missing; here it is an error that says which.
async fn load_tls_certs_from_secrets() -> Result<(Vec<u8>, Vec<u8>)> {
    let config = aws_config::load_from_env().await;
    let client = SecretsClient::new(&config);

    let mut secrets = Vec::new();
    for id in ["rpcnet/production/tls_cert", "rpcnet/production/tls_key"] {
        let secret = client.get_secret_value().secret_id(id).send().await?;
        let binary =
            secret.secret_binary().ok_or_else(|| anyhow::anyhow!("the secret {id} is not binary"))?;
        secrets.push(binary.as_ref().to_vec());
    }
    let key = secrets.pop().expect("two were pushed");
    let cert = secrets.pop().expect("two were pushed");

    Ok((cert, key))
}

#[tokio::test]
async fn secret_management() -> Result<()> {
    let (cert, key) = load_tls_certs_from_secrets().await?;
    let config = ServerConfig::builder()
        .with_bind_addr("127.0.0.1:0".parse()?)
        .with_cert_and_key(cert, key)?
        .with_ca_cert(shared_ca().ca_pem())?
        .build()?;
    let (server, address) = start(config)?;
    assert_eq!(server.identity().map(|identity| identity.name().to_owned()), Some("from-secrets".into()));
    let compute = ComputeClient::new(connect(&address).await?);
    assert_eq!(compute.compute(vec![1, 2]).await?, [2, 1]);
    Ok(())
}
