use rpcnet::rpc_trait;

#[rpc_trait(name = "text.v1.WordCount", name = "text.v2.WordCount")]
pub trait WordCount {
    #[rpc(timeout = "1s", timeout = "2s")]
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(idempotent)]
    #[rpc(idempotent)]
    async fn lines(&self, text: String) -> rpcnet::Result<u64>;
}

fn main() {}
