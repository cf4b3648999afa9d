use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    #[rpc(priority = 101)]
    async fn high(&self) -> rpcnet::Result<u64>;
    #[rpc(priority = -101)]
    async fn low(&self) -> rpcnet::Result<u64>;
    #[rpc(priority = "high")]
    async fn word(&self) -> rpcnet::Result<u64>;
    #[rpc(priority = 0.5)]
    async fn fraction(&self) -> rpcnet::Result<u64>;
    #[rpc(priority)]
    async fn nothing(&self) -> rpcnet::Result<u64>;
}

fn main() {}
