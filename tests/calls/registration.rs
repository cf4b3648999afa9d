//! Services that can't be served are refused when they are registered, and nothing of them stays.

use std::collections::BTreeMap;

use rpcnet::{CallError, Channel, Code, RegisterError, Streaming, rpc_impl, rpc_trait};
use rpcnet_tests::Net;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Price {
    Whole(u64),
    Text(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    name: String,
    price: Option<Price>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    id: u64,
    #[serde(flatten)]
    rest: BTreeMap<String, String>,
}

/// Makes a service whose one method has this signature, and the refusal of it.
macro_rules! refusal {
    (($($name:ident: $argument:ty),*) -> $output:ty) => {{
        #[rpc_trait(name = "test.v1.Wrong")]
        #[allow(dead_code)]
        trait Wrong {
            async fn put(&self, $($name: $argument),*) -> $output;
        }

        struct Nothing;

        #[rpc_impl]
        impl Wrong for Nothing {
            async fn put(&self, $($name: $argument),*) -> $output {
                let _ = ($($name,)*);
                unreachable!("it is not registered")
            }
        }

        let net = Net::memory();
        let server = net.start();
        let before = server.services();
        let error = server.register(WrongServer::new(Nothing)).expect_err("it can't be served");
        assert_eq!(server.services(), before);
        let of_channel = Channel::builder().with_service(WrongServer::new(Nothing)).expect_err("nor here");
        assert_eq!(of_channel.to_string(), error.to_string());
        error
    }};
}

/// Asserts that the error names the method, the part of it, and the path to the fault.
fn assert_names(error: &RegisterError, of: &str, at: &str) {
    let RegisterError::Type { method, part, path, .. } = error else { panic!("{error:?}") };
    assert_eq!((method.as_str(), part.as_str(), path.as_str()), ("test.v1.Wrong/put", of, at));
    let text = error.to_string();
    assert!(text.contains("test.v1.Wrong/put") && text.contains(of) && text.contains(at), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_type_that_can_not_be_carried_is_named() {
    assert_names(
        &refusal!((count: u8, order: Order) -> rpcnet::Result<u64>),
        "argument 2",
        "Order.lines[].price",
    );
    assert_names(&refusal!((count: u8) -> rpcnet::Result<Vec<Order>>), "the result", "[].lines[].price");
    assert_names(&refusal!(() -> Result<u8, Price>), "the error", "");
    assert_names(
        &refusal!(() -> rpcnet::Result<Streaming<Order>>),
        "an item of the result",
        "Order.lines[].price",
    );
    assert_names(
        &refusal!(() -> rpcnet::Result<Streaming<u8, CallError<Price>>>),
        "the error of a stream",
        "",
    );
    assert_names(
        &refusal!((count: u8, lines: Streaming<Line>) -> rpcnet::Result<u64>),
        "an item of the last argument",
        "Line.price",
    );
    let flattened = refusal!((open: Open) -> rpcnet::Result<u64>);
    assert!(matches!(&flattened, RegisterError::Type { part, .. } if part == "argument 1"), "{flattened:?}");
}

#[rpc_trait(name = "test.v1.Plain")]
trait Plain {
    async fn put(&self, any: Any) -> rpcnet::Result<Any>;
}

/// A name is no flaw.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename = "any")]
struct Any {
    any: Option<Box<Any>>,
}

struct Echo;

#[rpc_impl]
impl Plain for Echo {
    async fn put(&self, any: Any) -> rpcnet::Result<Any> {
        Ok(any)
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_be_carried_is_registered_once() {
    let net = Net::memory();
    let server = net.start();
    let client = PlainClient::new(net.connect(&server).await);
    let error = client.put(Any { any: None }).await.expect_err("not registered");
    assert_eq!(error.code(), Code::Unimplemented);
    server.register(PlainServer::new(Echo)).expect("a type that contains itself");
    client.put(Any { any: None }).await.expect("registered");
    let error = server.register(PlainServer::new(Echo)).expect_err("it is there");
    assert!(matches!(error, RegisterError::Service("test.v1.Plain")), "{error}");
}
