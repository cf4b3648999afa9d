use rpcnet::rpc_trait;

pub struct Streaming<T>(T);

#[rpc_trait]
pub trait WordCount {
    async fn load(&self, lines: Streaming<String>) -> rpcnet::Result<u64>;
    async fn tail(&self, from: u64) -> rpcnet::Result<Streaming<String>>;
}

fn main() {}
