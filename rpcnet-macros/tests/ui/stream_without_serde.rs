use rpcnet::{Streaming, rpc_trait};

pub struct Order {
    pub id: u64,
}

#[rpc_trait]
pub trait Orders {
    async fn load(&self, orders: Streaming<Order>) -> rpcnet::Result<u64>;
}

fn main() {}
