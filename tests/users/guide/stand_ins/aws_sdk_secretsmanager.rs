//! Stands for the crate `aws-sdk-secretsmanager`: knows a certificate and its key.

use std::collections::BTreeMap;

use rpcnet_tests::shared_ca;

use super::aws_config::SdkConfig;

pub(crate) struct Client {
    secrets: BTreeMap<&'static str, Vec<u8>>,
}

impl Client {
    pub(crate) fn new(_: &SdkConfig) -> Self {
        let issued = shared_ca().issue("from-secrets").expect("a certificate");
        let bytes = |pem: &dyn AsRef<[u8]>| pem.as_ref().to_vec();
        Self {
            secrets: BTreeMap::from([
                ("rpcnet/production/tls_cert", bytes(&issued.cert)),
                ("rpcnet/production/tls_key", bytes(&issued.key)),
            ]),
        }
    }

    pub(crate) fn get_secret_value(&self) -> GetSecretValue<'_> {
        GetSecretValue { client: self, id: String::new() }
    }
}

pub(crate) struct GetSecretValue<'a> {
    client: &'a Client,
    id: String,
}

impl GetSecretValue<'_> {
    pub(crate) fn secret_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    pub(crate) async fn send(self) -> Result<Secret, NoSecret> {
        let found = self.client.secrets.get(&*self.id);
        found.map(|bytes| Secret(Blob(bytes.clone()))).ok_or(NoSecret(self.id))
    }
}

#[derive(Debug)]
pub(crate) struct NoSecret(String);

impl std::fmt::Display for NoSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no secret {}", self.0)
    }
}

impl std::error::Error for NoSecret {}

pub(crate) struct Secret(Blob);

impl Secret {
    pub(crate) fn secret_binary(&self) -> Option<&Blob> {
        Some(&self.0)
    }
}

pub(crate) struct Blob(Vec<u8>);

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
