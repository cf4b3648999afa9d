use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn count(&self, text: String) -> rpcnet::Result<impl Clone>;
}

fn main() {}
