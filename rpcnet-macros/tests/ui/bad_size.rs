use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    #[rpc(max_message = "16 megabytes")]
    async fn words(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(max_message = "1GiB")]
    async fn large(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(max_message = 268_435_457)]
    async fn large_number(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(max_message = 0)]
    async fn zero(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(max_message = LIMIT)]
    async fn name(&self, text: String) -> rpcnet::Result<u64>;
    #[rpc(max_message)]
    async fn nothing(&self, text: String) -> rpcnet::Result<u64>;
}

fn main() {}
