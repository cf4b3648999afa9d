use rpcnet::{Streaming, rpc_trait};

#[rpc_trait]
pub trait Inference {
    #[rpc(resumable = true)]
    async fn value(&self) -> rpcnet::Result<Streaming<u64>>;
    #[rpc(resumable)]
    async fn both(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<u64>>;
}

fn main() {}
