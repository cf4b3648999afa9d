use rpcnet::rpc_trait;

#[rpc_trait]
pub struct WordCount;

#[rpc_trait]
impl WordCount {
    fn count(&self) {}
}

fn main() {
    WordCount.count();
}
