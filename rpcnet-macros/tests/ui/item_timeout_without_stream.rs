use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    #[rpc(item_timeout = "10s")]
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
}

fn main() {}
