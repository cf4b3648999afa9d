use rpcnet::rpc_trait;

#[rpc_trait(name = "text/WordCount")]
pub trait WordCount {
    #[rpc(name = "")]
    async fn empty(&self) -> rpcnet::Result<u64>;
    #[rpc(name = "count words")]
    async fn spaces(&self) -> rpcnet::Result<u64>;
}

fn main() {}
