use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn types<T: ToString>(&self, text: T) -> rpcnet::Result<u64>;
    async fn lifetimes<'a>(&self, text: String) -> rpcnet::Result<u64>;
    async fn constants<const N: usize>(&self, text: [u8; N]) -> rpcnet::Result<u64>;
    async fn clause(&self, text: String) -> rpcnet::Result<u64>
    where
        Self: Sized;
}

fn main() {}
