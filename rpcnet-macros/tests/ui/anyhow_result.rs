use rpcnet::rpc_trait;

#[rpc_trait]
pub trait Orders {
    async fn put(&self, id: u64) -> anyhow::Result<u64>;
}

fn main() {}
