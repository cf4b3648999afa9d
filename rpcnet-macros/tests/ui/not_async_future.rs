use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    fn count(&self, text: String) -> impl Future<Output = rpcnet::Result<u64>> + Send;
}

fn main() {}
