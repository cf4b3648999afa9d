use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn pair(&self, (a, b): (u8, u8)) -> rpcnet::Result<u64>;
    async fn nameless(&self, _: u8) -> rpcnet::Result<u64>;
    async fn mutable(&self, mut text: String) -> rpcnet::Result<u64>;
    async fn mutable_with_body(&self, mut text: String) -> rpcnet::Result<String> {
        text.push('!');
        Ok(text)
    }
}

fn main() {}
