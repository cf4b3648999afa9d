use rpcnet::{Streaming, rpc_trait};

#[rpc_trait]
pub trait WordCount {
    async fn many(&self, files: Vec<Streaming<String>>) -> rpcnet::Result<u64>;
    async fn perhaps(&self, lines: Option<rpcnet::Streaming<String>>) -> rpcnet::Result<u64>;
    async fn streams(&self, files: Streaming<Streaming<String>>) -> rpcnet::Result<u64>;
    async fn borrowed(&self, lines: &mut Streaming<String>) -> rpcnet::Result<u64>;
    async fn implied(&self, lines: impl Stream<Item = String>) -> rpcnet::Result<u64>;
    async fn pair(&self) -> rpcnet::Result<(u64, Streaming<String>)>;
    async fn maybe(&self) -> Option<Streaming<String>>;
    async fn error(&self) -> Result<u64, Streaming<String>>;
}

fn main() {}
