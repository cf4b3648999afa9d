use rpcnet::rpc_trait;

#[rpc_trait(crate = "wire")]
pub trait WordCount {
    #[rpc(idempotent, hedge, key = text)]
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
    async fn lines(&self, texts: rpcnet::Streaming<String>) -> Result<u64, String>;
}

fn main() {}
