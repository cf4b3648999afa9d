use rpcnet::rpc_trait;

pub struct Order;

mod inner {
    pub use rpcnet as wire;
}

#[rpc_trait(crate = "crate::inner::wire")]
pub trait Orders {
    async fn put(&self, order: Order) -> rpcnet::Result<u64>;
    async fn get(&self, id: u64) -> rpcnet::Result<Order>;
    async fn all(&self) -> rpcnet::Result<rpcnet::Streaming<Order>>;
}

fn main() {}
