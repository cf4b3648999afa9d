use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn count(&self, text: String) -> u64;
    async fn nothing(&self, text: String);
    async fn pairs(&self) -> (String, Vec<u64>);
}

fn main() {}
