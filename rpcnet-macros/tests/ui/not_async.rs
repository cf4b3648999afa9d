use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    fn count(&self, text: String) -> rpcnet::Result<u64>;
}

fn main() {}
