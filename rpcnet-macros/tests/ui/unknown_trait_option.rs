use rpcnet::rpc_trait;

#[rpc_trait(version = 2)]
pub trait WordCount {
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
}

#[rpc_trait("text.v1.LineCount")]
pub trait LineCount {
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
}

fn main() {}
