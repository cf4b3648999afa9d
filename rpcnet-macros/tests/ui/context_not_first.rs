use rpcnet::{Context, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    async fn second(&self, text: String, cx: &Context) -> rpcnet::Result<u64>;
    async fn twice(&self, cx: &Context, again: &Context) -> rpcnet::Result<u64>;
}

fn main() {}
