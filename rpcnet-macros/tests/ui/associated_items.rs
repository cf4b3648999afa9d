use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    type Text;
    const LONGEST: usize;
    async fn count(&self, text: Self::Text) -> rpcnet::Result<u64>;
}

fn main() {}
