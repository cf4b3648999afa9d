//! Methods that take streams, return them, or both. Run this page with `cargo run --bin streams`.

use rpcnet::{Channel, Server, ServerConfig, Streaming, dev::DevCa, rpc_impl, rpc_trait};

#[rpc_trait(name = "text.v1.Lines")]
trait Lines {
    /// The server sends items.
    async fn tail(&self, from: u64) -> rpcnet::Result<Streaming<String>>;
    /// The client sends items: the stream is the last argument.
    async fn load(&self, book: String, lines: Streaming<String>) -> rpcnet::Result<u64>;
    /// Both send items, at the same time.
    async fn chat(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<String>>;
}

struct Library;

#[rpc_impl]
impl Lines for Library {
    async fn tail(&self, from: u64) -> rpcnet::Result<Streaming<String>> {
        Ok(Streaming::iter((from..=9).map(|number| format!("line {number}"))))
    }

    async fn load(&self, _book: String, mut lines: Streaming<String>) -> rpcnet::Result<u64> {
        let mut count = 0;
        while let Some(line) = lines.next().await {
            line?; // a stream that breaks off ends in an error, never as if it were complete
            count += 1;
        }
        Ok(count)
    }

    async fn chat(&self, mut said: Streaming<String>) -> rpcnet::Result<Streaming<String>> {
        let (sender, answers) = Streaming::channel(16);
        tokio::spawn(async move {
            while let Some(text) = said.next().await {
                match text {
                    // `send` waits while the client reads slowly. It fails when the client no longer listens.
                    Ok(text) if sender.send(text.to_uppercase()).await.is_ok() => {}
                    Ok(_) => return,
                    Err(status) => return sender.fail(status).await,
                }
            }
            sender.finish();
        });
        Ok(answers)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ca = DevCa::generate()?;
    let (server_cert, client_cert) = (ca.issue("server")?, ca.issue("client")?);
    let config = ServerConfig::builder().with_bind_addr("127.0.0.1:0".parse()?);
    let config = config.with_cert_and_key(&server_cert.cert, &server_cert.key)?.with_ca_cert(ca.ca_pem())?;
    let server = Server::new(config.build()?)?;
    server.register(LinesServer::new(Library))?;
    let address = server.local_addr().to_string();
    tokio::spawn(async move { server.run().await });
    let channel = Channel::builder().with_cert_and_key(&client_cert.cert, &client_cert.key)?;
    let channel = channel.with_ca_cert(ca.ca_pem())?.connect(address).await?;
    let client = LinesClient::new(channel.clone());

    let mut tail = client.tail(8).await?;
    while let Some(line) = tail.next().await {
        println!("{}", line?);
    }
    let lines = Streaming::iter(["to be".to_owned(), "or not to be".to_owned()]);
    println!("{} lines loaded", client.load("Hamlet".into(), lines).await?);

    let (sender, said) = Streaming::channel(16);
    let mut answers = client.chat(said).await?;
    sender.send("hello".into()).await?;
    println!("{:?}", answers.next().await.transpose()?);
    sender.finish();
    println!("{:?}", answers.next().await.transpose()?);
    channel.close().await;
    Ok(())
}
