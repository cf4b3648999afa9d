//! Generated clients call generated servers.

use std::{convert::Infallible, error::Error, fmt, sync::Arc};

use rpcnet::{CallError, Code, Context, Status, rpc_impl, rpc_trait};
use serde::{Deserialize, Serialize};

use super::support::serve;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Counts {
    words: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum CountError {
    TooLong { max: u64 },
}

impl fmt::Display for CountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too long")
    }
}

impl Error for CountError {}

#[rpc_trait(name = "text.v1.WordCount")]
trait WordCount {
    #[rpc(idempotent, timeout = "2s")]
    async fn count(&self, text: String) -> Result<Counts, CountError>;

    async fn nothing(&self) -> rpcnet::Result<()>;

    async fn pair(&self, a: u8, b: Vec<String>) -> rpcnet::Result<(u8, Vec<String>)>;

    #[expect(clippy::too_many_arguments, reason = "it is what is tested")]
    async fn many(
        &self,
        a: u8,
        b: u16,
        c: u32,
        d: u64,
        e: i8,
        f: String,
        g: (bool, bool),
    ) -> rpcnet::Result<String>;

    async fn method(&self, cx: &Context, suffix: String) -> rpcnet::Result<String>;

    async fn only_context(&self, cx: &rpcnet::Context) -> rpcnet::Result<String>;

    async fn fails(&self) -> rpcnet::Result<()>;

    #[rpc(name = "wire-name")]
    async fn r#type(&self, r#match: r#struct::r#enum) -> rpcnet::Result<r#struct::r#enum>;

    async fn clone(&self) -> rpcnet::Result<String>;

    async fn default(&self, mut text: String) -> Result<Counts, CountError> {
        text.push_str(" and more");
        if text.is_empty() {
            return Err(CountError::TooLong { max: 0 });
        }
        let counts = self.count(text).await?;
        Ok(counts)
    }

    async fn default_with_context(&self, cx: &Context, _unused: u8) -> rpcnet::Result<String> {
        tokio::task::yield_now().await;
        Ok(cx.method().name().to_owned())
    }

    async fn unimplemented(&self) -> rpcnet::Result<()> {
        Err(Status::unimplemented("later"))
    }
}

#[allow(non_camel_case_types)]
mod r#struct {
    pub(crate) type r#enum = u8;
}

struct Worker;

#[rpc_impl]
impl WordCount for Worker {
    async fn count(&self, text: String) -> Result<Counts, CountError> {
        if text.len() > 100 {
            return Err(CountError::TooLong { max: 100 });
        }
        Ok(Counts { words: text.split_whitespace().count() as u64 })
    }

    async fn nothing(&self) -> rpcnet::Result<()> {
        Ok(())
    }

    async fn pair(&self, a: u8, b: Vec<String>) -> rpcnet::Result<(u8, Vec<String>)> {
        Ok((a, b))
    }

    async fn many(
        &self,
        a: u8,
        b: u16,
        c: u32,
        d: u64,
        e: i8,
        f: String,
        g: (bool, bool),
    ) -> rpcnet::Result<String> {
        Ok(format!("{a} {b} {c} {d} {e} {f} {g:?}"))
    }

    async fn method(&self, cx: &Context, suffix: String) -> rpcnet::Result<String> {
        tokio::task::yield_now().await;
        Ok(format!("{}{suffix}", cx.method()))
    }

    async fn only_context(&self, cx: &Context) -> rpcnet::Result<String> {
        Ok(cx.method().name().to_owned())
    }

    async fn fails(&self) -> rpcnet::Result<()> {
        Err(Status::not_found("it is not here"))
    }

    async fn r#type(&self, r#match: u8) -> rpcnet::Result<u8> {
        Ok(r#match)
    }

    async fn clone(&self) -> rpcnet::Result<String> {
        Ok("a clone".into())
    }
}

async fn words() -> WordCountClient {
    WordCountClient::new(serve(WordCountServer::new(Worker)).await)
}

#[tokio::test]
async fn any_number_of_arguments() {
    let words = words().await;
    words.nothing().await.unwrap();
    assert_eq!(words.count("to be or not".into()).await.unwrap(), Counts { words: 4 });
    assert_eq!(words.pair(1, vec!["a".into()]).await.unwrap(), (1, vec!["a".into()]));
    let many = words.many(1, 2, 3, 4, -5, "six".into(), (true, false)).await.unwrap();
    assert_eq!(many, "1 2 3 4 -5 six (true, false)");
}

#[tokio::test]
async fn the_context_is_not_sent() {
    let words = words().await;
    assert_eq!(words.method("!".into()).await.unwrap(), "text.v1.WordCount/method!");
    assert_eq!(words.only_context().await.unwrap(), "only_context");
}

#[tokio::test]
async fn errors_keep_their_types() {
    let words = words().await;
    let error: CallError<CountError> = words.count("a".repeat(101)).await.unwrap_err();
    assert!(matches!(error, CallError::Application(CountError::TooLong { max: 100 })));
    let error: CallError<Infallible> = words.fails().await.unwrap_err();
    let CallError::Status(status) = error;
    assert_eq!((status.code(), status.message()), (Code::NotFound, "it is not here"));
}

#[tokio::test]
async fn raw_names_and_names_of_other_traits() {
    let words = words().await;
    assert_eq!(words.r#type(7).await.unwrap(), 7);
    assert_eq!(words.clone().await.unwrap(), "a clone");
}

#[tokio::test]
async fn default_bodies_run() {
    let words = words().await;
    assert_eq!(words.default("some".into()).await.unwrap(), Counts { words: 3 });
    assert_eq!(words.default_with_context(1).await.unwrap(), "default_with_context");
    assert!(words.unimplemented().await.is_err());
}

#[tokio::test]
async fn calls_are_owned_and_send() {
    let words = words().await;
    // The call outlives the client that made it.
    let call = WordCountClient::new(words.caller().clone()).count("one two".into());
    assert_eq!(tokio::spawn(call).await.unwrap().unwrap().words, 2);
    let words = Arc::new(words);
    let task = tokio::spawn(async move {
        let first = words.count("one".into());
        let second = words.count("one two".into());
        let (first, second) = tokio::join!(first, second);
        first.unwrap().words + second.unwrap().words
    });
    assert_eq!(task.await.unwrap(), 3);
}

#[tokio::test]
async fn a_service_may_be_shared() {
    let worker = Arc::new(Worker);
    let server = WordCountServer::from_arc(Arc::clone(&worker));
    let words = WordCountClient::new(serve(Clone::clone(&server)).await);
    assert_eq!(words.count("one".into()).await.unwrap().words, 1);
    assert_eq!(format!("{server:?}"), "WordCountServer { .. }");
    drop(worker);
}

/// A generic caller, as code that wraps clients has it.
async fn generic<C: rpcnet::Caller>(words: &WordCountClient<C>) -> Result<u64, CallError<CountError>> {
    Ok(words.count("a b c".into()).await?.words)
}

#[tokio::test]
async fn clients_are_generic() {
    let words = words().await;
    assert_eq!(generic(&words).await.unwrap(), 3);
    let copy = Clone::clone(&words);
    let task = tokio::spawn(async move { generic(&copy).await });
    assert_eq!(task.await.unwrap().unwrap(), 3);
}

mod aliased {
    use super::*;

    type Result<T> = std::result::Result<T, CountError>;

    #[rpc_trait]
    pub(crate) trait Aliased {
        async fn square(&self, number: u64) -> Result<u64>;
    }

    pub(crate) struct Squares<S>(pub(crate) S);

    #[rpc_impl]
    impl<S: Send + Sync + 'static> Aliased for Squares<S> {
        async fn square(&self, number: u64) -> Result<u64> {
            number.checked_mul(number).ok_or(CountError::TooLong { max: u64::from(u32::MAX) })
        }
    }
}

#[tokio::test]
async fn an_alias_of_result() {
    use aliased::{AliasedClient, AliasedServer, Squares};

    let squares = AliasedClient::new(serve(AliasedServer::new(Squares("generic"))).await);
    assert_eq!(squares.square(12).await.unwrap(), 144);
    let error = squares.square(u64::MAX).await.unwrap_err();
    assert!(matches!(error, CallError::Application(CountError::TooLong { .. })));
}

/// The body's result type is inferred, as in an `async fn`.
#[rpc_trait]
trait Inferred {
    async fn coerced(&self, number: u8) -> Result<Box<u8>, Box<str>> {
        if number == 0 {
            return Err("zero".into());
        }
        let parsed: u8 = "1".parse().map_err(|_| "no number")?;
        Ok(Box::new(number + parsed))
    }

    async fn collected(&self, numbers: Vec<u8>) -> Result<Vec<u16>, String> {
        numbers
            .into_iter()
            .map(|number| u16::from(number).checked_add(1).ok_or_else(|| "large".into()))
            .collect()
    }
}

struct Nothing;

#[rpc_impl]
impl Inferred for Nothing {}

#[tokio::test]
async fn bodies_infer_from_the_result() {
    let inferred = InferredClient::new(serve(InferredServer::new(Nothing)).await);
    assert_eq!(*inferred.coerced(2).await.unwrap(), 3);
    assert!(matches!(inferred.coerced(0).await, Err(CallError::Application(zero)) if &*zero == "zero"));
    assert_eq!(inferred.collected(vec![1, 2]).await.unwrap(), [2, 3]);
}

/// Functions are no module: what is generated sees their items too.
#[tokio::test]
async fn a_service_inside_a_function() {
    #[derive(Serialize, Deserialize)]
    struct Local(u8);

    #[rpc_trait]
    trait Nested {
        async fn local(&self, value: Local) -> rpcnet::Result<Local>;
    }

    struct Echo;

    #[rpc_impl]
    impl Nested for Echo {
        async fn local(&self, value: Local) -> rpcnet::Result<Local> {
            Ok(value)
        }
    }

    let nested = NestedClient::new(serve(NestedServer::new(Echo)).await);
    assert_eq!(nested.local(Local(9)).await.unwrap().0, 9);
}
