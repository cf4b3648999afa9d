use rpcnet::{rpc_impl, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
    async fn lines(&self, text: String) -> rpcnet::Result<u64>;
}

struct Worker;

#[rpc_impl]
impl WordCount for Worker {
    fn count(&self, text: String) -> rpcnet::Result<u64> {
        Ok(text.len() as u64)
    }

    fn lines(&self, text: String) -> impl Future<Output = rpcnet::Result<u64>> + Send {
        async move { Ok(text.lines().count() as u64) }
    }
}

fn main() {}
