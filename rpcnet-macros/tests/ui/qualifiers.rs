use rpcnet::rpc_trait;

#[rpc_trait]
pub unsafe trait WordCount {
    async unsafe fn not_safe(&self) -> rpcnet::Result<u64>;
    async extern "C" fn with_abi(&self) -> rpcnet::Result<u64>;
}

fn main() {}
