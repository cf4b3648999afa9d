use rpcnet::rpc_trait;

pub struct Order {
    pub id: u64,
}

#[rpc_trait]
pub trait Orders {
    async fn get(&self, id: u64) -> rpcnet::Result<Order>;
}

fn main() {}
