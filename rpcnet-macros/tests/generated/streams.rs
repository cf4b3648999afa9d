//! Generated clients call generated servers, with streams of items both ways.

use std::{convert::Infallible, time::Duration};

use rpcnet::{CallError, Caller, Code, Context, Reply, Request, Status, Streaming, rpc_impl, rpc_trait};
use serde::{Deserialize, Serialize};

use super::support::serve;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line(String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum CountError {
    TooLong { max: u64 },
    BrokenOff,
}

fn lines(texts: &[&str]) -> Vec<Line> {
    texts.iter().map(|text| Line((*text).to_owned())).collect()
}

mod alias {
    use super::*;

    pub(crate) type LineResult<T = Line> = Result<Streaming<T>, CountError>;
    pub(crate) type Lines = Streaming<Line>;
}

#[rpc_trait(name = "text.v1.WordCount")]
trait WordCount {
    async fn tail(&self, cx: &Context, from: u64) -> Result<Streaming<Line>, CountError>;

    async fn load(&self, lines: Streaming<Line>) -> Result<u64, CountError>;

    #[rpc(item_timeout = "10s")]
    async fn chat(&self, said: Streaming<Line>) -> Result<Streaming<Line>, CountError>;

    async fn typed(
        &self,
        cx: &Context,
        longest: u64,
        prefix: String,
        said: rpcnet::Streaming<Line, CallError<CountError>>,
    ) -> rpcnet::Result<rpcnet::Streaming<Line, CallError<CountError>>>;

    #[rpc(item_timeout = "1s")]
    async fn aliased(&self) -> alias::LineResult;

    #[rpc(item_timeout = "1s")]
    async fn aliased_inside(&self) -> rpcnet::Result<alias::Lines>;

    /// With a body.
    async fn count(&self, mut lines: Streaming<Line>) -> Result<u64, CountError> {
        let mut all = 0;
        while let Some(line) = lines.next().await {
            all += line.map_err(|_| CountError::BrokenOff)?.0.len() as u64;
        }
        Ok(all)
    }

    /// Answers with a stream that is made while it is read.
    async fn doubled(&self, _: &Context, mut said: Streaming<Line>) -> rpcnet::Result<Streaming<Line>> {
        let (sender, doubled) = Streaming::channel(1);
        tokio::spawn(async move {
            while let Some(Ok(line)) = said.next().await {
                if sender.send(Line(line.0.repeat(2))).await.is_err() {
                    return;
                }
            }
            sender.finish();
        });
        Ok(doubled)
    }

    #[cfg(any())]
    async fn absent(&self, items: Streaming<Missing>) -> rpcnet::Result<Streaming<Missing>>;

    #[cfg(not(any()))]
    async fn r#yield(&self, r#in: Streaming<r#struct::r#enum>) -> rpcnet::Result<u8>;

    #[rpc(max_message = "64B")]
    async fn short(&self, said: Streaming<Line>) -> rpcnet::Result<Streaming<Line>> {
        Ok(said)
    }

    #[rpc(item_timeout = "10ms")]
    async fn silent(&self) -> rpcnet::Result<Streaming<Line>> {
        let (sender, silent) = Streaming::channel(1);
        tokio::spawn(async move { sender.closed().await });
        Ok(silent)
    }

    #[deprecated = "use `tail`"]
    async fn old(&self) -> rpcnet::Result<Streaming<()>>;
}

#[allow(non_camel_case_types)]
mod r#struct {
    pub(crate) type r#enum = u8;
}

struct Worker;

#[rpc_impl]
impl WordCount for Worker {
    async fn tail(&self, cx: &Context, from: u64) -> Result<Streaming<Line>, CountError> {
        if from > 10 {
            return Err(CountError::TooLong { max: 10 });
        }
        let name = cx.method().name();
        Ok(Streaming::iter((from..10).map(move |number| Line(format!("{name} {number}")))))
    }

    async fn load(&self, lines: Streaming<Line>) -> Result<u64, CountError> {
        let lines = lines.collect().await.map_err(|_| CountError::BrokenOff)?;
        Ok(lines.len() as u64)
    }

    async fn chat(&self, mut said: Streaming<Line>) -> Result<Streaming<Line>, CountError> {
        let Some(Ok(first)) = said.next().await else { return Err(CountError::BrokenOff) };
        if first.0.is_empty() {
            return Err(CountError::TooLong { max: 0 });
        }
        Ok(said)
    }

    async fn typed(
        &self,
        _: &Context,
        longest: u64,
        prefix: String,
        mut said: Streaming<Line, CallError<CountError>>,
    ) -> rpcnet::Result<Streaming<Line, CallError<CountError>>> {
        let (sender, answers) = Streaming::channel(1);
        tokio::spawn(async move {
            while let Some(line) = said.next().await {
                match line {
                    Ok(line) if line.0.len() as u64 > longest => {
                        return sender
                            .fail(CallError::Application(CountError::TooLong { max: longest }))
                            .await;
                    }
                    Ok(line) => {
                        if sender.send(Line(format!("{prefix}{}", line.0))).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => return sender.fail(error).await,
                }
            }
            sender.finish();
        });
        Ok(answers)
    }

    async fn aliased(&self) -> alias::LineResult {
        Ok(Streaming::iter(lines(&["aliased"])))
    }

    async fn aliased_inside(&self) -> rpcnet::Result<alias::Lines> {
        Ok(Streaming::iter(lines(&["aliased", "inside"])))
    }

    async fn r#yield(&self, r#in: Streaming<u8>) -> rpcnet::Result<u8> {
        Ok(r#in.collect().await?.into_iter().sum())
    }

    async fn old(&self) -> rpcnet::Result<Streaming<()>> {
        Err(Status::not_found("it is old"))
    }
}

async fn words() -> WordCountClient {
    WordCountClient::new(serve(WordCountServer::new(Worker)).await)
}

#[tokio::test]
async fn a_stream_comes_back() {
    let words = words().await;
    let tail: Streaming<Line> = words.tail(7).await.unwrap();
    assert_eq!(tail.collect().await.unwrap(), lines(&["tail 7", "tail 8", "tail 9"]));
    assert_eq!(words.tail(10).await.unwrap().collect().await.unwrap(), []);
    let error = words.tail(11).await.unwrap_err();
    assert!(matches!(error, CallError::Application(CountError::TooLong { max: 10 })));
}

#[tokio::test]
async fn a_stream_goes_out() {
    let words = words().await;
    assert_eq!(words.load(Streaming::iter(lines(&["a", "", "c"]))).await.unwrap(), 3);
    assert_eq!(words.load(Streaming::empty()).await.unwrap(), 0);
    let (sender, items) = Streaming::channel(1);
    let load = tokio::spawn(words.load(items));
    for line in lines(&["one", "by", "one", "."]) {
        sender.send(line).await.unwrap();
    }
    sender.finish();
    assert_eq!(load.await.unwrap().unwrap(), 4);
}

#[tokio::test]
async fn streams_both_ways() {
    let words = words().await;
    let (sender, said) = Streaming::channel(1);
    sender.send(Line("hello".into())).await.unwrap();
    let mut heard = words.chat(said).await.unwrap();
    // Each answer comes before the next is said.
    for line in lines(&["to be", "or not"]) {
        sender.send(line.clone()).await.unwrap();
        assert_eq!(heard.next().await.unwrap().unwrap(), line);
    }
    sender.finish();
    assert!(heard.next().await.is_none());
    let error = words.chat(Streaming::iter(lines(&[""]))).await.unwrap_err();
    assert!(matches!(error, CallError::Application(CountError::TooLong { max: 0 })));
}

#[tokio::test]
async fn items_have_errors_of_their_own() {
    let words = words().await;
    let said = Streaming::iter(lines(&["four", "three"]));
    let mut heard = words.typed(4, "> ".into(), said).await.unwrap();
    assert_eq!(heard.next().await.unwrap().unwrap(), Line("> four".into()));
    let error = heard.next().await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Application(CountError::TooLong { max: 4 })));
    assert!(heard.next().await.is_none());

    let (sender, said) = Streaming::channel(1);
    sender.fail(CallError::Application(CountError::BrokenOff)).await;
    let heard = words.typed(4, String::new(), said).await.unwrap();
    let error = heard.collect().await.unwrap_err();
    assert!(matches!(error, CallError::Application(CountError::BrokenOff)));
}

#[tokio::test]
async fn aliases_of_streams_in_results() {
    let words = words().await;
    assert_eq!(words.aliased().await.unwrap().collect().await.unwrap(), lines(&["aliased"]));
    let inside = words.aliased_inside().await.unwrap();
    assert_eq!(inside.collect().await.unwrap(), lines(&["aliased", "inside"]));
}

#[tokio::test]
async fn bodies_raw_names_and_old_methods() {
    let words = words().await;
    assert_eq!(words.count(Streaming::iter(lines(&["12", "345"]))).await.unwrap(), 5);
    let doubled = words.doubled(Streaming::iter(lines(&["a", "bc"]))).await.unwrap();
    assert_eq!(doubled.collect().await.unwrap(), lines(&["aa", "bcbc"]));
    assert_eq!(words.r#yield(Streaming::iter([1, 2, 3])).await.unwrap(), 6);
    #[expect(deprecated, reason = "clients warn of it too")]
    let error: CallError<Infallible> = words.old().await.unwrap_err();
    let CallError::Status(status) = error;
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn options_hold_for_items() {
    let words = words().await;
    let said = Streaming::iter([Line("a".repeat(60)), Line("a".repeat(100))]);
    let mut heard = words.short(said).await.unwrap();
    assert_eq!(heard.next().await.unwrap().unwrap().0.len(), 60);
    let status = heard.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");

    let mut silent = words.silent().await.unwrap();
    let status = silent.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn calls_with_streams_are_owned_builders() {
    let words = words().await;
    let call = WordCountClient::new(words.caller().clone())
        .load(Streaming::iter(lines(&["a"])))
        .timeout(Duration::from_secs(60))
        .metadata("x-tenant", "a");
    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 1);
}

/// A caller that answers by itself.
#[derive(Clone)]
struct Canned;

impl Caller for Canned {
    type Future = std::future::Ready<Result<Reply, Status>>;

    fn call(&self, request: Request) -> Self::Future {
        let method = request.method();
        let streams = (method.streams_request(), method.streams_reply());
        std::future::ready(Err(Status::not_found(format!("{method} {streams:?} {}", request.size()))))
    }
}

#[tokio::test]
async fn any_caller_takes_streams() {
    let words = WordCountClient::new(Canned);
    let messages = [
        message(words.tail(1).await),
        message(words.load(Streaming::empty()).await),
        message(words.chat(Streaming::empty()).await),
        // The stream is not among the arguments that are encoded.
        message(words.typed(1, "ab".into(), Streaming::empty()).await),
    ];
    let expected = [
        "text.v1.WordCount/tail (false, true) 1",
        "text.v1.WordCount/load (true, false) 0",
        "text.v1.WordCount/chat (true, true) 0",
        "text.v1.WordCount/typed (true, true) 4",
    ];
    assert_eq!(messages, expected);
}

fn message<T, E>(result: Result<T, CallError<E>>) -> String {
    match result {
        Err(CallError::Status(status)) => status.message().to_owned(),
        _ => panic!("it is not a status"),
    }
}
