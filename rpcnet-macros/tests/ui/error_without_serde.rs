use rpcnet::rpc_trait;

pub enum Refused {
    Late,
}

#[rpc_trait]
pub trait Orders {
    async fn put(&self, id: u64) -> Result<u64, Refused>;
}

fn main() {}
