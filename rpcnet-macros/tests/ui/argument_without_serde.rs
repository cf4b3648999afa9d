use rpcnet::rpc_trait;

pub struct Order {
    pub id: u64,
}

#[rpc_trait]
pub trait Orders {
    async fn put(&self, urgent: bool, order: Order) -> rpcnet::Result<u64>;
}

fn main() {}
