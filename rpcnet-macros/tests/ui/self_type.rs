use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn merge(&self, other: Self) -> rpcnet::Result<u64>;
}

fn main() {}
