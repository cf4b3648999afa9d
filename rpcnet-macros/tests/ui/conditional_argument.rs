use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn count(&self, #[cfg(all())] text: String) -> rpcnet::Result<u64>;
}

fn main() {}
