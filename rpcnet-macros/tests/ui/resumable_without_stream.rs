use rpcnet::rpc_trait;

#[rpc_trait]
pub trait Inference {
    #[rpc(resumable)]
    async fn generate(&self, prompt: String) -> rpcnet::Result<Vec<u64>>;
}

fn main() {}
