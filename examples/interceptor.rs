//! Code around every call, on both sides: a token is added and checked. Run it with `cargo run --bin interceptor`.

use std::error::Error;

use rpcnet::{
    Channel, Context, Next, Request, Server, ServerConfig, Status, dev::DevCa, interceptor, rpc_impl,
    rpc_trait,
};

#[rpc_trait(name = "tale.v1.Cave")]
trait Cave {
    async fn enter(&self, cx: &Context) -> rpcnet::Result<String>;
}

struct Treasure;

#[rpc_impl]
impl Cave for Treasure {
    async fn enter(&self, cx: &Context) -> rpcnet::Result<String> {
        // An interceptor hands values to handlers as extensions, by their type.
        let user = cx.extension::<User>().ok_or_else(|| Status::internal("no interceptor has run"))?;
        Ok(format!("welcome, {}", user.0))
    }
}

/// The user that a token belongs to.
struct User(&'static str);

/// On the server: refuses calls without a valid token.
async fn authenticate(mut request: Request, next: Next) -> Result<rpcnet::Reply, Status> {
    match request.metadata().get("x-token") {
        Some("open sesame") => request.insert_extension(User("Ali Baba")),
        _ => return Err(Status::unauthenticated("x-token is missing or wrong")),
    };
    next.run(request).await
}

/// On the client: adds the token to every call.
async fn add_token(mut request: Request, next: Next) -> Result<rpcnet::Reply, Status> {
    let added = request.metadata_mut().insert("x-token", "open sesame");
    // Nothing was sent yet, so that the call may be repeated.
    added.map_err(|error| Status::invalid_argument(error.to_string()).not_executed())?;
    next.run(request).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = DevCa::generate()?;
    let (server_cert, client_cert) = (ca.issue("server")?, ca.issue("client")?);
    let config = ServerConfig::builder()
        .with_bind_addr("127.0.0.1:0".parse()?)
        .with_cert_and_key(&server_cert.cert, &server_cert.key)?
        .with_ca_cert(ca.ca_pem())?
        .with_interceptor(interceptor::from_fn(authenticate));
    let server = Server::new(config.build()?)?;
    server.register(CaveServer::new(Treasure))?;
    let address = server.local_addr().to_string();
    tokio::spawn(async move { server.run().await });

    let builder = Channel::builder()
        .with_cert_and_key(&client_cert.cert, &client_cert.key)?
        .with_ca_cert(ca.ca_pem())?;
    let stranger = builder.clone().connect(&address).await?;
    match CaveClient::new(stranger.clone()).enter().await {
        Ok(answer) => println!("{answer}"),
        Err(error) => println!("refused: {error}"),
    }
    let known = builder.with_interceptor(interceptor::from_fn(add_token)).connect(&address).await?;
    println!("{}", CaveClient::new(known.clone()).enter().await?);
    stranger.close().await;
    known.close().await;
    Ok(())
}
