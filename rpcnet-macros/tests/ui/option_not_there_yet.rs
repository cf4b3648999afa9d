use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    #[rpc(idempotent, key = user)]
    async fn key(&self, user: u64) -> rpcnet::Result<u64>;
    #[rpc(idempotent, hedge)]
    async fn hedge(&self) -> rpcnet::Result<u64>;
    #[rpc(resumable)]
    async fn resumable(&self) -> rpcnet::Result<u64>;
}

fn main() {}
