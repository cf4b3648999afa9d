use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn count(&self, text: impl Into<String>) -> rpcnet::Result<u64>;
}

fn main() {}
