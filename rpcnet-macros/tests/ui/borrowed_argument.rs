use std::{borrow::Cow, path::Path};

use rpcnet::rpc_trait;

#[rpc_trait]
pub trait WordCount {
    async fn text(&self, text: &str) -> rpcnet::Result<u64>;
    async fn words(&self, words: &[String]) -> rpcnet::Result<u64>;
    async fn file(&self, path: &Path) -> rpcnet::Result<u64>;
    async fn inside(&self, words: Vec<&'static str>) -> rpcnet::Result<u64>;
    async fn number(&self, number: &mut u64) -> rpcnet::Result<u64>;
    async fn lifetime(&self, text: Cow<'_, str>) -> rpcnet::Result<u64>;
    async fn owned(&self, text: Cow<'static, str>) -> rpcnet::Result<u64>;
}

fn main() {}
