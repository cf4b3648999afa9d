use rpcnet::{rpc_impl, rpc_trait};

#[rpc_trait(crate = "my-rpcnet")]
pub trait Hyphen {
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
}

#[rpc_trait(crate = rpcnet)]
pub trait NoString {
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
}

#[rpc_trait(crate)]
pub trait NoValue {
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
}

#[rpc_trait(crate = "rpcnet", crate = "rpcnet")]
pub trait Twice {
    async fn count(&self, text: String) -> rpcnet::Result<u64>;
}

struct Worker;

#[rpc_impl(crate = "")]
impl Hyphen for Worker {
    async fn count(&self, text: String) -> rpcnet::Result<u64> {
        Ok(text.len() as u64)
    }
}

#[rpc_impl(crate = "rpcnet", crate = "rpcnet")]
impl Twice for Worker {
    async fn count(&self, text: String) -> rpcnet::Result<u64> {
        Ok(text.len() as u64)
    }
}

fn main() {}
