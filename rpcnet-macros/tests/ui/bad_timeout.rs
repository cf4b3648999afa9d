use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    #[rpc(timeout = "2 seconds")]
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(timeout = 2)]
    async fn number(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(timeout = "0s")]
    async fn zero(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(timeout = "10000h")]
    async fn for_ever(&self, text: String) -> rpcnet::Result<u64>;
}

fn main() {}
