//! Two applications, told apart by what they answer.

use std::time::Duration;

use rpcnet::{Context, Server, Streaming, rpc_impl, rpc_trait};

/// One application.
#[rpc_trait(name = "tests.v1.Count")]
pub(crate) trait Count {
    #[rpc(idempotent)]
    async fn count(&self) -> rpcnet::Result<String>;
    #[rpc(key = user)]
    async fn keyed(&self, user: u64) -> rpcnet::Result<String>;
    /// Takes a tenth of a second.
    #[rpc(key = user)]
    async fn slow(&self, user: u64) -> rpcnet::Result<String>;
    /// Numbers from one on, each with the server's name, until the server's end.
    #[rpc(resumable)]
    async fn numbers(&self, cx: &Context) -> rpcnet::Result<Streaming<(u64, String)>>;
}

/// Another one.
#[rpc_trait(name = "tests.v1.Infer")]
pub(crate) trait Infer {
    async fn infer(&self) -> rpcnet::Result<String>;
}

/// A third one, which no server has.
#[rpc_trait(name = "tests.v1.Nothing")]
pub(crate) trait Nothing {
    async fn nothing(&self) -> rpcnet::Result<()>;
}

/// Serves both, by the name of its server.
#[derive(Clone)]
pub(crate) struct Named(pub(crate) String);

#[rpc_impl]
impl Count for Named {
    async fn count(&self) -> rpcnet::Result<String> {
        Ok(self.0.clone())
    }

    async fn keyed(&self, _: u64) -> rpcnet::Result<String> {
        Ok(self.0.clone())
    }

    async fn slow(&self, _: u64) -> rpcnet::Result<String> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(self.0.clone())
    }

    async fn numbers(&self, cx: &Context) -> rpcnet::Result<Streaming<(u64, String)>> {
        let name = self.0.clone();
        Ok(Streaming::iter((cx.resume_after() + 1..).map(move |number| (number, name.clone()))))
    }
}

#[rpc_impl]
impl Infer for Named {
    async fn infer(&self) -> rpcnet::Result<String> {
        Ok(self.0.clone())
    }
}

pub(crate) const COUNT: &str = "tests.v1.Count";
pub(crate) const INFER: &str = "tests.v1.Infer";

/// Registers those of these services that exist.
pub(crate) fn register(server: &Server, name: &str, services: &[&str]) {
    let named = Named(name.to_owned());
    for service in services {
        let registered = match *service {
            COUNT => server.register(CountServer::new(named.clone())),
            INFER => server.register(InferServer::new(named.clone())),
            other => panic!("there is no {other}"),
        };
        registered.expect("the first of its name");
    }
}
