use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn new(&self) -> rpcnet::Result<u64>;
    async fn caller(&self) -> rpcnet::Result<u64>;
}

fn main() {}
