use rpcnet::{Streaming, rpc_trait};

#[rpc_trait]
pub trait Profiles {
    #[rpc(key = usr)]
    async fn unknown(&self, user: u64, fields: Vec<String>) -> rpcnet::Result<u64>;
    #[rpc(key = user)]
    async fn none(&self) -> rpcnet::Result<u64>;
    #[rpc(key = (user, user))]
    async fn twice(&self, user: u64) -> rpcnet::Result<u64>;
    #[rpc(key = said)]
    async fn stream(&self, user: u64, said: Streaming<String>) -> rpcnet::Result<u64>;
    #[rpc(key = cx)]
    async fn context(&self, cx: &rpcnet::Context, user: u64) -> rpcnet::Result<u64>;
    #[rpc(key = "user")]
    async fn string(&self, user: u64) -> rpcnet::Result<u64>;
    #[rpc(key = user.id)]
    async fn field(&self, user: u64) -> rpcnet::Result<u64>;
    #[rpc(key = ())]
    async fn empty(&self, user: u64) -> rpcnet::Result<u64>;
    #[rpc(key)]
    async fn alone(&self, user: u64) -> rpcnet::Result<u64>;
}

fn main() {}
