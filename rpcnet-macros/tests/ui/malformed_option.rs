use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    #[rpc(idempotent = true)]
    async fn a_value_too_many(&self) -> rpcnet::Result<u64>;
    #[rpc(timeout)]
    async fn a_value_too_few(&self) -> rpcnet::Result<u64>;
    #[rpc(name = count)]
    async fn no_string(&self) -> rpcnet::Result<u64>;
    #[rpc = "idempotent"]
    async fn no_parentheses(&self) -> rpcnet::Result<u64>;
    #[rpc(timeout("2s"))]
    async fn parentheses(&self) -> rpcnet::Result<u64>;
    #[cfg_attr(all(), rpc(idempotent))]
    async fn conditional(&self) -> rpcnet::Result<u64>;
}

fn main() {}
