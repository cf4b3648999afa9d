use std::sync::Arc;

use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn none(text: String) -> rpcnet::Result<u64>;
    async fn exclusive(&mut self, text: String) -> rpcnet::Result<u64>;
    async fn owned(self, text: String) -> rpcnet::Result<u64>;
    async fn typed(self: Arc<Self>, text: String) -> rpcnet::Result<u64>;
}

fn main() {}
