use rpcnet::{Context, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    async fn owned(&self, cx: Context, text: String) -> rpcnet::Result<u64>;
    async fn exclusive(&self, cx: &mut Context, text: String) -> rpcnet::Result<u64>;
}

fn main() {}
