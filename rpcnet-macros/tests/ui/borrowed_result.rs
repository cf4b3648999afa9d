use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn longest(&self, text: String) -> rpcnet::Result<&str>;
}

fn main() {}
