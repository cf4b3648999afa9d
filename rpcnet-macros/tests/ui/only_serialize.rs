use rpcnet::rpc_trait;

#[derive(serde::Serialize)]
pub struct Order {
    pub id: u64,
}

#[rpc_trait]
pub trait Orders {
    async fn put(&self, order: Order) -> rpcnet::Result<u64>;
}

fn main() {}
