use rpcnet::rpc_trait;

#[rpc_trait(name = "text.v1.WordCount")]
pub trait WordCount {
    #[rpc(name = "count")]
    async fn count_words(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(name = "count")]
    async fn count_lines(&self, text: String) -> rpcnet::Result<u64>;
}

#[rpc_trait]
pub trait LineCount {
    #[rpc(name = "lines")]
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
    async fn lines(&self, text: String) -> rpcnet::Result<u64>;
}

#[rpc_trait]
pub trait Twice {
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
    async fn count(&self, text: Vec<u8>) -> rpcnet::Result<u64>;
}

fn main() {}
