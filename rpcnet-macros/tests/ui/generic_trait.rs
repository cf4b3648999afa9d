use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount<T> {
    async fn count(&self, text: T) -> rpcnet::Result<u64>;
}

fn main() {}
