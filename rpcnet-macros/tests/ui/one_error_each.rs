//! Uses of a trait with mistakes raise no further errors.

use std::sync::Arc;

use rpcnet::{Channel, Context, Service, Streaming, rpc_impl, rpc_trait};

#[rpc_trait(nmae = "text.v1.WordCount")]
pub trait WordCount {
    async fn fine(&self, text: String) -> Result<u64, String>;
    #[rpc(timeout = "soon")]
    async fn option(&self, text: String) -> Result<u64, String>;
    async fn borrowed(&self, text: &str) -> Result<u64, String>;
    async fn generic<T: ToString + Send>(&self, text: T) -> Result<u64, String>;
    async fn implied(&self, text: impl ToString + Send) -> Result<u64, String>;
    async fn pattern(&self, (a, b): (u8, u8)) -> Result<u64, String>;
    async fn plain(&self) -> u64;
    async fn late(&self, text: String, cx: &Context) -> Result<u64, String>;
    fn blocking(&self, text: String) -> Result<u64, String>;
    async fn defaulted(&self, (a, b): (u8, u8)) -> Result<u8, String> {
        Ok(a + b)
    }
    async fn early(&self, lines: Streaming<String>, more: u8) -> Result<u64, String>;
    async fn nested(&self, files: Vec<Streaming<String>>) -> Result<u64, String>;
    async fn bare(&self) -> Streaming<String>;
}

struct Worker;

#[rpc_impl]
impl WordCount for Worker {
    async fn fine(&self, text: String) -> Result<u64, String> {
        Ok(text.len() as u64)
    }
    async fn option(&self, text: String) -> Result<u64, String> {
        Ok(text.len() as u64)
    }
    async fn borrowed(&self, text: &str) -> Result<u64, String> {
        Ok(text.len() as u64)
    }
    async fn generic<T: ToString + Send>(&self, text: T) -> Result<u64, String> {
        Ok(text.to_string().len() as u64)
    }
    async fn implied(&self, text: impl ToString + Send) -> Result<u64, String> {
        Ok(text.to_string().len() as u64)
    }
    async fn pattern(&self, (a, b): (u8, u8)) -> Result<u64, String> {
        Ok(u64::from(a + b))
    }
    async fn plain(&self) -> u64 {
        1
    }
    async fn late(&self, text: String, _: &Context) -> Result<u64, String> {
        Ok(text.len() as u64)
    }
    async fn blocking(&self, text: String) -> Result<u64, String> {
        Ok(text.len() as u64)
    }
    async fn early(&self, lines: Streaming<String>, more: u8) -> Result<u64, String> {
        Ok(lines.collect().await.map_err(|status| status.to_string())?.len() as u64 + u64::from(more))
    }
    async fn nested(&self, files: Vec<Streaming<String>>) -> Result<u64, String> {
        Ok(files.len() as u64)
    }
    async fn bare(&self) -> Streaming<String> {
        Streaming::empty()
    }
}

async fn calls(channel: Channel) -> Result<u64, Box<dyn std::error::Error>> {
    let words = WordCountClient::new(channel);
    Ok(words.fine("a".into()).await?
        + words.option("a".into()).await?
        + words.borrowed("a").await?
        + words.generic(1).await?
        + words.implied(1).await?
        + words.pattern((1, 2)).await?
        + words.plain().await?
        + words.blocking("a".into()).await?
        + u64::from(words.defaulted((1, 2)).await?)
        + words.early(Streaming::empty(), 1).await?
        + words.nested(vec![Streaming::empty()]).await?
        + words.bare().await?.collect().await?.len() as u64)
}

fn main() {
    let server = WordCountServer::from_arc(Arc::new(Worker));
    let _ = (server.descriptor(), calls);
}
