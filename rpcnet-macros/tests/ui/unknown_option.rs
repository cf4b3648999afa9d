use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    #[rpc(idempotent, retries = 3)]
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
}

fn main() {}
