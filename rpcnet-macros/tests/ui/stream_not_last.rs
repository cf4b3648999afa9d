use rpcnet::{Context, Streaming, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    async fn load(&self, cx: &Context, lines: Streaming<String>, into: u64) -> rpcnet::Result<u64>;
}

fn main() {}
