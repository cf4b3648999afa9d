//! The service of the workers.

use rpcnet::{Streaming, rpc_impl, rpc_trait};

#[rpc_trait(name = "test.v1.Desk")]
pub(crate) trait Desk {
    /// The worker's name.
    #[rpc(idempotent)]
    async fn worker_name(&self) -> rpcnet::Result<String>;

    /// The worker's name once, and then nothing for ever.
    async fn stall(&self) -> rpcnet::Result<Streaming<String>>;
}

#[derive(Debug)]
pub(crate) struct Clerk {
    pub(crate) name: String,
}

#[rpc_impl]
impl Desk for Clerk {
    async fn worker_name(&self) -> rpcnet::Result<String> {
        Ok(self.name.clone())
    }

    async fn stall(&self) -> rpcnet::Result<Streaming<String>> {
        let (sender, items) = Streaming::channel(1);
        let name = self.name.clone();
        // Ends when the caller has gone.
        tokio::spawn(async move {
            if sender.send(name).await.is_ok() {
                sender.closed().await;
            }
        });
        Ok(items)
    }
}
