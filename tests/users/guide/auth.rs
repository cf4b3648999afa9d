//! Security: authentication and authorization.

use anyhow::Context as _;
use rpcnet::{Code, Server, Status, rpc_impl, rpc_trait};
use rpcnet_tests::run;
use serde::{Deserialize, Serialize};

use super::place::{Result, connect, server_config};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Response {
    bytes: usize,
}

/// The guide's methods return `anyhow::Result`: an `anyhow::Error` can't be sent. The trait says `rpcnet::Result`, and `?`
/// makes a `Status` of an `anyhow::Error` in the handler (feature `anyhow`).
#[rpc_trait]
pub(crate) trait SecureService {
    async fn process(&self, auth_token: String, data: Vec<u8>) -> rpcnet::Result<Response>;
}

struct Handler;

struct Claims(Vec<String>);

impl Claims {
    fn has_permission(&self, permission: &str) -> bool {
        self.0.iter().any(|has| has == permission)
    }
}

/// Stands for a library for tokens. What the caller is to know is a `Status`, also inside an `anyhow::Error`.
fn verify_jwt(auth_token: &str) -> Result<Claims> {
    let permissions = auth_token
        .strip_prefix("signed:")
        .ok_or_else(|| Status::unauthenticated("the token is not signed"))
        .context("the call was not let in")?;
    Ok(Claims(permissions.split(' ').map(str::to_owned).collect()))
}

impl Handler {
    async fn do_process(&self, data: Vec<u8>) -> Result<Response> {
        anyhow::ensure!(!data.is_empty(), "there is nothing to process");
        Ok(Response { bytes: data.len() })
    }
}

#[rpc_impl]
impl SecureService for Handler {
    async fn process(&self, auth_token: String, data: Vec<u8>) -> rpcnet::Result<Response> {
        let claims = verify_jwt(&auth_token)?;

        // In the guide an untyped error, which callers would see as `Internal`.
        if !claims.has_permission("compute:execute") {
            return Err(Status::permission_denied("compute:execute is needed"));
        }

        Ok(self.do_process(data).await?)
    }
}

#[tokio::test]
async fn authentication_and_authorization() -> Result<()> {
    let server = Server::new(server_config("server")?.build()?)?;
    server.register(SecureServiceServer::new(Handler))?;
    run(&server);
    let service = SecureServiceClient::new(connect(&server.local_addr().to_string()).await?);

    let answer = service.process("signed:compute:execute".into(), vec![0; 3]).await?;
    assert_eq!(answer, Response { bytes: 3 });
    let cases = [
        ("none", vec![0], Code::Unauthenticated, "the call was not let in: the token is not signed"),
        ("signed:compute:read", vec![0], Code::PermissionDenied, "compute:execute is needed"),
        ("signed:compute:execute", vec![], Code::Internal, "there is nothing to process"),
    ];
    for (token, data, code, message) in cases {
        let error = service.process(token.into(), data).await.expect_err("it is refused");
        let status = error.status().expect("not an error of the method");
        assert_eq!((status.code(), status.message()), (code, message));
    }
    Ok(())
}
