use rpcnet::{Streaming, rpc_trait};

pub struct Order {
    pub id: u64,
}

#[rpc_trait]
pub trait Orders {
    async fn all(&self) -> rpcnet::Result<Streaming<Order>>;
}

fn main() {}
