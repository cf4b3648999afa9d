use rpcnet::{rpc_impl, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
}

struct Worker;

#[rpc_impl(name = "text.v1.WordCount")]
impl WordCount for Worker {
    #[rpc(idempotent)]
    async fn count(&self, text: String) -> rpcnet::Result<u64> {
        Ok(text.len() as u64)
    }
}

fn main() {}
