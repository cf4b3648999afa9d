use rpcnet::{rpc_impl, rpc_trait};

pub struct Order {
    pub id: u64,
}

#[rpc_trait]
pub trait Orders {
    async fn put(&self, orders: Vec<Option<Order>>) -> rpcnet::Result<u64>;
}

pub struct Shop;

#[rpc_impl]
impl Orders for Shop {
    async fn put(&self, orders: Vec<Option<Order>>) -> rpcnet::Result<u64> {
        Ok(orders.len() as u64)
    }
}

pub async fn call(channel: rpcnet::Channel) {
    let _ = OrdersClient::new(channel).put(vec![Some(Order { id: 1 })]).await;
}

fn main() {}
