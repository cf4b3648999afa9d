use rpcnet::rpc_impl;

struct Worker;

#[rpc_impl]
impl Worker {
    async fn count(&self, text: String) -> rpcnet::Result<u64> {
        Ok(text.len() as u64)
    }
}

#[rpc_impl]
struct Other;

fn main() {
    let _ = Worker.count(String::new());
}
