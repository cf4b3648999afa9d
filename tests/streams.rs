//! Streams of items, each way and both: their ends, their errors, and what one side does to the other.

use std::{pin::pin, time::Duration};

use rpcnet::{
    CallError, Channel, Code, Context, Limits, Server, Status, StreamSender, Streaming, rpc_impl, rpc_trait,
};
use rpcnet_tests::{Net, over_both, within};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

const MIB: usize = 1 << 20;

#[rpc_trait(name = "test.v1.Streams")]
trait Streams {
    async fn play(
        &self,
        cx: &Context,
        script: Vec<Step>,
    ) -> Result<Streaming<String, CallError<Refused>>, Refused>;
    async fn blocks(&self, count: u64, size: usize) -> rpcnet::Result<Streaming<Vec<u8>>>;
    async fn sum(&self, cx: &Context, first: u64, numbers: Streaming<u64>) -> Result<u64, Refused>;
    async fn first(&self, numbers: Streaming<u64>) -> rpcnet::Result<Option<u64>>;
    async fn sizes(&self, blocks: Streaming<Vec<u8>>) -> rpcnet::Result<Vec<usize>>;
    async fn chat(&self, cx: &Context, said: Streaming<String>) -> rpcnet::Result<Streaming<String>>;
    async fn mirror(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<String>>;
    #[rpc(item_timeout = "500ms")]
    async fn impatient(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<String>>;
    async fn units(&self, count: usize) -> rpcnet::Result<Streaming<()>>;
}

/// What a handler does next.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Step {
    Say(String),
    /// End in the stream's own error.
    Refuse(String),
    /// End in a status.
    Fail,
    /// Drop the sender.
    Forget,
    Panic,
    Hang,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// What a handler has seen.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// The context said that the call was cancelled.
    Cancelled,
    /// Nobody reads what it sends.
    Closed,
    /// What came in ended so.
    Ended(Option<Code>),
}

#[derive(Clone)]
struct Service(mpsc::UnboundedSender<Seen>);

impl Service {
    fn saw(&self, seen: Seen) {
        let _ = self.0.send(seen);
    }
}

#[rpc_impl]
impl Streams for Service {
    async fn play(
        &self,
        cx: &Context,
        script: Vec<Step>,
    ) -> Result<Streaming<String, CallError<Refused>>, Refused> {
        if let [Step::Refuse(why), ..] = &script[..] {
            return Err(Refused(why.clone()));
        }
        if script.iter().any(|step| matches!(step, Step::Panic)) {
            return Ok(Streaming::iter(script.into_iter().map(|step| match step {
                Step::Say(text) => text,
                _ => panic!("as the script says"),
            })));
        }
        let (sender, items) = Streaming::channel(1);
        let (cx, service) = (cx.clone(), self.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = play(script, sender) => {}
                () = cx.cancelled() => service.saw(Seen::Cancelled),
            }
        });
        Ok(items)
    }

    async fn blocks(&self, count: u64, size: usize) -> rpcnet::Result<Streaming<Vec<u8>>> {
        let (sender, blocks) = Streaming::channel(1);
        let service = self.clone();
        tokio::spawn(async move {
            for _ in 0..count {
                if sender.send(vec![7; size]).await.is_err() {
                    return service.saw(Seen::Closed);
                }
            }
            sender.finish();
        });
        Ok(blocks)
    }

    async fn sum(&self, cx: &Context, first: u64, mut numbers: Streaming<u64>) -> Result<u64, Refused> {
        let (cx, service) = (cx.clone(), self.clone());
        // In a task, so that it sees what happens when the handler is dropped.
        let adding = tokio::spawn(async move {
            let mut sum = first;
            loop {
                match numbers.next().await {
                    Some(Ok(13)) => return Err(Refused("13".into())),
                    Some(Ok(number)) => sum += number,
                    Some(Err(status)) => {
                        service.saw(Seen::Ended(Some(status.code())));
                        return Err(Refused(status.to_string()));
                    }
                    None => {
                        service.saw(Seen::Ended(None));
                        assert!(numbers.next().await.is_none(), "the end stays the end");
                        assert!(!cx.is_cancelled());
                        return Ok(sum);
                    }
                }
            }
        });
        adding.await.expect("no panic")
    }

    async fn first(&self, mut numbers: Streaming<u64>) -> rpcnet::Result<Option<u64>> {
        numbers.next().await.transpose()
    }

    async fn sizes(&self, mut blocks: Streaming<Vec<u8>>) -> rpcnet::Result<Vec<usize>> {
        let mut sizes = Vec::new();
        while let Some(block) = blocks.next().await {
            sizes.push(block?.len());
        }
        Ok(sizes)
    }

    async fn chat(&self, cx: &Context, mut said: Streaming<String>) -> rpcnet::Result<Streaming<String>> {
        let (sender, answers) = Streaming::channel(1);
        let (cx, service) = (cx.clone(), self.clone());
        tokio::spawn(async move {
            while let Some(text) = said.next().await {
                match text {
                    Ok(text) if sender.send(text.to_uppercase()).await.is_ok() => {}
                    Ok(_) => return service.saw(Seen::Closed),
                    Err(status) => return service.saw(Seen::Ended(Some(status.code()))),
                }
            }
            // The other way is still open.
            let _ = sender.send(format!("goodbye, {}", cx.is_cancelled())).await;
            sender.finish();
        });
        Ok(answers)
    }

    async fn mirror(&self, said: Streaming<String>) -> rpcnet::Result<Streaming<String>> {
        Ok(said)
    }

    async fn impatient(&self, mut said: Streaming<String>) -> rpcnet::Result<Streaming<String>> {
        let service = self.clone();
        tokio::spawn(async move {
            while let Some(text) = said.next().await {
                if let Err(status) = text {
                    return service.saw(Seen::Ended(Some(status.code())));
                }
            }
        });
        Ok(Streaming::new(Never))
    }

    async fn units(&self, count: usize) -> rpcnet::Result<Streaming<()>> {
        Ok(Streaming::iter(std::iter::repeat_n((), count)))
    }
}

async fn play(script: Vec<Step>, sender: StreamSender<String, CallError<Refused>>) {
    for step in script {
        match step {
            Step::Say(text) => {
                let _ = sender.send(text).await;
            }
            Step::Refuse(why) => return sender.fail(CallError::Application(Refused(why))).await,
            Step::Fail => return sender.fail(Status::not_found("the rest")).await,
            Step::Forget | Step::Panic => return,
            Step::Hang => std::future::pending().await,
        }
    }
    sender.finish();
}

/// A stream without items and without end.
struct Never;

impl futures_core::Stream for Never {
    type Item = rpcnet::Result<String>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}

struct Place {
    server: Server,
    client: StreamsClient,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Place {
    async fn new(net: &Net) -> Self {
        Self::with(net, Limits::default(), Limits::default()).await
    }

    async fn with(net: &Net, server: Limits, client: Limits) -> Self {
        let server = net.start_with(net.server().with_limits(server));
        let (sender, seen) = mpsc::unbounded_channel();
        server.register(StreamsServer::new(Service(sender))).expect("the first of its name");
        let channel = net.channel().with_limits(client);
        let channel = channel.connect(server.local_addr().to_string()).await.expect("it listens");
        Self { server, client: StreamsClient::new(channel), seen }
    }

    async fn seen(&mut self) -> Seen {
        within(self.seen.recv()).await.expect("the service stands")
    }

    /// All is over: nothing is at work any more.
    async fn quiet(&self) {
        within(self.server.wait_for_in_flight()).await;
    }
}

fn say(texts: &[&str]) -> Vec<Step> {
    texts.iter().map(|text| Step::Say((*text).to_owned())).collect()
}

fn texts(texts: &[&str]) -> Streaming<String> {
    Streaming::iter(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
}

async fn items_come_in_order_and_then_the_end(net: Net) {
    let place = Place::new(&net).await;
    let mut items = within(place.client.play(say(&["a", "", "c"]))).await.expect("it starts");
    for expected in ["a", "", "c"] {
        assert_eq!(within(items.next()).await.expect("not the end").expect("an item"), expected);
    }
    assert!(within(items.next()).await.is_none());
    assert!(within(items.next()).await.is_none(), "the end stays the end");

    let none = within(place.client.play(Vec::new())).await.expect("it starts");
    assert_eq!(within(none.collect()).await.expect("a clean end"), [""; 0]);
    let units = within(place.client.units(10_000)).await.expect("it starts");
    assert_eq!(within(units.collect()).await.expect("a clean end").len(), 10_000);
    place.quiet().await;
}

async fn errors_are_typed_before_and_within(net: Net) {
    let place = Place::new(&net).await;
    let refused = within(place.client.play(vec![Step::Refuse("no".into())])).await;
    assert!(matches!(refused, Err(CallError::Application(Refused(why))) if why == "no"));

    let script = [say(&["a"]), vec![Step::Refuse("enough".into())]].concat();
    let mut items = within(place.client.play(script)).await.expect("it starts");
    assert_eq!(within(items.next()).await.expect("not the end").expect("an item"), "a");
    let error = within(items.next()).await.expect("not the end").expect_err("the stream's own error");
    assert!(matches!(error, CallError::Application(Refused(why)) if why == "enough"));
    assert!(within(items.next()).await.is_none(), "nothing follows an error");

    for (step, code) in
        [(Step::Fail, Code::NotFound), (Step::Forget, Code::Internal), (Step::Panic, Code::Internal)]
    {
        let script = [say(&["a"]), vec![step.clone()]].concat();
        let mut items = within(place.client.play(script)).await.expect("it starts");
        assert_eq!(within(items.next()).await.expect("not the end").expect("an item"), "a");
        let error = within(items.next()).await.expect("not the end").expect_err("a status");
        assert_eq!(error.code(), code, "{step:?}: {error}");
        assert!(error.maybe_executed());
    }
    place.quiet().await;
    let counted = r#"rpc_panics_total{method="test.v1.Streams/play"} 1"#;
    assert!(place.server.metrics().render().contains(counted), "a stream's panic counts as its handler's");
}

async fn a_client_sends_and_gets_one_answer(net: Net) {
    let mut place = Place::new(&net).await;
    let sum = within(place.client.sum(1, Streaming::iter([2, 3, 4]))).await;
    assert_eq!(sum.expect("added"), 10);
    assert_eq!(place.seen().await, Seen::Ended(None));
    assert_eq!(within(place.client.sum(1, Streaming::empty())).await.expect("added"), 1);
    assert_eq!(place.seen().await, Seen::Ended(None));
    let refused = within(place.client.sum(1, Streaming::iter([2, 13, 4]))).await;
    assert!(matches!(refused, Err(CallError::Application(Refused(why))) if why == "13"));
    place.quiet().await;
}

async fn an_answer_need_not_wait_for_the_rest(net: Net) {
    let place = Place::new(&net).await;
    let (sender, numbers) = Streaming::channel(1);
    let call = tokio::spawn({
        let client = place.client.clone();
        async move { client.first(numbers).await }
    });
    within(sender.send(7)).await.expect("it is read");
    let first = within(call).await.expect("no panic").expect("answered");
    assert_eq!(first, Some(7));
    within(sender.closed()).await;
    place.quiet().await;
}

async fn both_ways_at_once_and_half_closed(net: Net) {
    let place = Place::new(&net).await;
    let (sender, said) = Streaming::channel(1);
    let mut answers = within(place.client.chat(said)).await.expect("it starts before anything was said");
    for text in ["to be", "or not"] {
        within(sender.send(text.to_owned())).await.expect("it is read");
        let answer = within(answers.next()).await.expect("not the end").expect("an item");
        assert_eq!(answer, text.to_uppercase());
    }
    sender.finish();
    let last = within(answers.next()).await.expect("not the end").expect("an item");
    assert_eq!(last, "goodbye, false");
    assert!(within(answers.next()).await.is_none());
    place.quiet().await;
}

async fn what_a_handler_gets_it_may_give_back(net: Net) {
    let place = Place::new(&net).await;
    let answers = within(place.client.mirror(texts(&["a", "b"]))).await.expect("it starts");
    assert_eq!(within(answers.collect()).await.expect("a clean end"), ["a", "b"]);
    // And a client what it gets.
    let answers = within(place.client.mirror(texts(&["a", "b"]))).await.expect("it starts");
    let again = within(place.client.mirror(answers)).await.expect("it starts");
    assert_eq!(within(again.collect()).await.expect("a clean end"), ["a", "b"]);
    place.quiet().await;
}

async fn dropping_a_stream_cancels_the_handler(net: Net) {
    let mut place = Place::new(&net).await;
    let script = [say(&["a"]), vec![Step::Hang]].concat();
    let mut items = within(place.client.play(script)).await.expect("it starts");
    assert!(within(items.next()).await.expect("not the end").is_ok());
    drop(items);
    assert_eq!(place.seen().await, Seen::Cancelled);

    let mut blocks = within(place.client.blocks(u64::MAX, 1000)).await.expect("it starts");
    assert!(within(blocks.next()).await.expect("not the end").is_ok());
    drop(blocks);
    assert_eq!(place.seen().await, Seen::Closed);
    place.quiet().await;
}

async fn dropping_a_call_ends_what_its_handler_reads(net: Net) {
    let mut place = Place::new(&net).await;
    let (sender, numbers) = Streaming::channel(1);
    {
        let mut call = pin!(place.client.sum(0, numbers));
        let sent = async {
            for number in 0..3 {
                sender.send(number).await.expect("it is read");
            }
        };
        tokio::select! {
            _ = &mut call => panic!("it is not answered yet"),
            () = within(sent) => {}
        }
    }
    assert_eq!(place.seen().await, Seen::Ended(Some(Code::Cancelled)));
    within(sender.closed()).await;
    place.quiet().await;
}

async fn a_source_that_fails_is_no_end(net: Net) {
    let mut place = Place::new(&net).await;
    let (sender, numbers) = Streaming::channel(2);
    sender.send(1).await.expect("there is room");
    sender.fail(Status::data_loss("the disk")).await;
    within(place.client.sum(0, numbers)).await.expect_err("refused");
    assert_eq!(place.seen().await, Seen::Ended(Some(Code::DataLoss)));

    let (sender, numbers) = Streaming::channel(2);
    sender.send(1).await.expect("there is room");
    drop(sender);
    within(place.client.sum(0, numbers)).await.expect_err("refused");
    assert_eq!(place.seen().await, Seen::Ended(Some(Code::Internal)));
    place.quiet().await;
}

async fn a_lost_connection_is_no_end(net: Net) {
    let mut place = Place::new(&net).await;
    let script = [say(&["a"]), vec![Step::Hang]].concat();
    let mut items = within(place.client.play(script)).await.expect("it starts");
    assert!(within(items.next()).await.expect("not the end").is_ok());
    let (sender, said) = Streaming::channel(1);
    let mut answers = within(place.client.chat(said)).await.expect("it starts");
    within(sender.send("b".into())).await.expect("it is read");
    assert!(within(answers.next()).await.expect("not the end").is_ok());
    place.server.shutdown().await.expect("it goes down");
    let error = within(items.next()).await.expect("not the end").expect_err("the connection is gone");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.maybe_executed());
    let error = within(answers.next()).await.expect("not the end").expect_err("the connection is gone");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    within(sender.closed()).await;
    let mut ends = [place.seen().await, place.seen().await];
    ends.sort_by_key(|seen| *seen != Seen::Cancelled);
    assert_eq!(ends, [Seen::Cancelled, Seen::Ended(Some(Code::Unavailable))]);
}

async fn a_deadline_bounds_all_of_a_stream(net: Net) {
    let mut place = Place::new(&net).await;
    let script = [say(&["a"]), vec![Step::Hang]].concat();
    let call = place.client.play(script).timeout(Duration::from_millis(300));
    let mut items = within(call).await.expect("it starts");
    assert!(within(items.next()).await.expect("not the end").is_ok());
    let error = within(items.next()).await.expect("not the end").expect_err("too late");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert!(within(items.next()).await.is_none());
    assert_eq!(place.seen().await, Seen::Cancelled);
    place.quiet().await;
}

async fn the_default_deadline_bounds_the_start_alone(net: Net) {
    let limits = Limits::default().with_default_timeout(Duration::from_millis(300));
    let place = Place::with(&net, limits, limits).await;
    let (sender, said) = Streaming::channel(1);
    let mut answers = within(place.client.chat(said)).await.expect("it starts");
    tokio::time::sleep(Duration::from_millis(900)).await;
    within(sender.send("still here".to_owned())).await.expect("it is read");
    let answer = within(answers.next()).await.expect("not the end").expect("an item");
    assert_eq!(answer, "STILL HERE");
    drop((sender, answers));

    // Nothing is answered here before the numbers end, which they never do: that is the client's own business.
    let (sender, numbers) = Streaming::channel(1);
    let mut call = pin!(place.client.sum(0, numbers));
    let waited = tokio::time::timeout(Duration::from_millis(900), &mut call).await;
    assert!(waited.is_err(), "it waits for the numbers");
    drop(sender);
    within(call).await.expect_err("the numbers broke off");
    place.quiet().await;
}

async fn a_gap_between_items_is_bounded_on_both_sides(net: Net) {
    let mut place = Place::new(&net).await;
    let (sender, said) = Streaming::channel(1);
    // The method's own bound holds on both sides; this side waits longer, so that the other one is not told to stop.
    let call = place.client.impatient(said).item_timeout(Duration::from_secs(3));
    let mut answers = within(call).await.expect("it starts");
    within(sender.send("a".to_owned())).await.expect("it is read");
    assert_eq!(place.seen().await, Seen::Ended(Some(Code::DeadlineExceeded)));
    let error = within(answers.next()).await.expect("not the end").expect_err("no item came");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");

    // The caller may set its own.
    let script = [say(&["a"]), vec![Step::Hang]].concat();
    let call = place.client.play(script).item_timeout(Duration::from_millis(200));
    let mut items = within(call).await.expect("it starts");
    assert!(within(items.next()).await.expect("not the end").is_ok());
    let error = within(items.next()).await.expect("not the end").expect_err("no item came");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert_eq!(place.seen().await, Seen::Cancelled);
    place.quiet().await;
}

async fn items_up_to_the_limit_and_beyond(net: Net) {
    let small = Limits::default().with_max_message(64 << 10);
    let overhead = 3;
    // The server's own limit.
    let place = Place::with(&net, small, Limits::default()).await;
    let blocks = within(place.client.blocks(3, (64 << 10) - overhead)).await.expect("it starts");
    assert_eq!(within(blocks.collect()).await.expect("a clean end").len(), 3);
    let blocks = within(place.client.blocks(3, 64 << 10)).await.expect("it starts");
    let error = within(blocks.collect()).await.expect_err("too large");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    // What it takes.
    let call = place.client.sizes(Streaming::iter([vec![1; 10], vec![1; 64 << 10]]));
    let error = within(call).await.expect_err("too large");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    place.quiet().await;

    // What the client takes.
    let place = Place::with(&net, Limits::default(), small).await;
    let blocks = within(place.client.blocks(3, 64 << 10)).await.expect("it starts");
    let error = within(blocks.collect()).await.expect_err("too large");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    let call = place.client.sizes(Streaming::iter([vec![1; 64 << 10]]));
    let error = within(call).await.expect_err("too large");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    place.quiet().await;
}

async fn large_items_and_small_ones_mixed(net: Net) {
    let place = Place::new(&net).await;
    let sizes = [0, 1, 62, 63, 64, 1000, 16_380, 16_384, 70_000, 3 * MIB, 5, 1_000_000, 0];
    let blocks = Streaming::iter(sizes.map(|size| vec![9; size]));
    assert_eq!(within(place.client.sizes(blocks)).await.expect("all came"), sizes);
    place.quiet().await;
}

async fn a_slow_reader_stops_the_writer(net: Net) {
    let place = Place::new(&net).await;
    let (sender, said) = Streaming::channel(1);
    let _answers = within(place.client.mirror(said)).await.expect("it starts");
    // Nobody reads the answers: what is sent fills the windows both ways, and then waits.
    let block = "x".repeat(MIB);
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_secs(2), sender.send(block.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 64, "nothing stops it");
    }
    assert!(sent > 0);
}

async fn many_streams_at_once(net: Net) {
    let place = Place::new(&net).await;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..100 {
        let client = place.client.clone();
        tasks.spawn(async move {
            let (sender, said) = Streaming::channel(4);
            let mut answers = client.chat(said).await?;
            for round in 0..20 {
                sender.send(format!("a{index}-{round}")).await.expect("it is read");
                let answer = answers.next().await.expect("not the end")?;
                assert_eq!(answer, format!("A{index}-{round}"));
            }
            sender.finish();
            answers.collect().await.map_err(CallError::from)
        });
    }
    while let Some(ended) = within(tasks.join_next()).await {
        assert_eq!(ended.expect("no panic").expect("a clean end"), ["goodbye, false"]);
    }
    place.quiet().await;
}

async fn a_stream_is_finished_while_the_server_drains(net: Net) {
    let place = Place::new(&net).await;
    let (sender, said) = Streaming::channel(1);
    let mut answers = within(place.client.chat(said)).await.expect("it starts");
    place.server.stop_accepting().await;
    within(sender.send("more".to_owned())).await.expect("it is read");
    assert_eq!(within(answers.next()).await.expect("not the end").expect("an item"), "MORE");
    let refused = within(place.client.units(1)).await.expect_err("nothing new is taken");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!refused.maybe_executed());
    sender.finish();
    assert_eq!(within(answers.collect()).await.expect("a clean end"), ["goodbye, false"]);
    place.quiet().await;
}

async fn a_dead_peer_shows_on_a_stream_too(net: Net) {
    let place = Place::new(&net).await;
    let mut items = within(place.client.play(vec![Step::Hang])).await.expect("it starts");
    // As long as the peer's process answers, a stream may be silent for any time.
    let quiet = tokio::time::timeout(Duration::from_secs(5), items.next()).await;
    assert!(quiet.is_err(), "nothing comes");
}

over_both!(
    items_come_in_order_and_then_the_end,
    errors_are_typed_before_and_within,
    a_client_sends_and_gets_one_answer,
    an_answer_need_not_wait_for_the_rest,
    both_ways_at_once_and_half_closed,
    what_a_handler_gets_it_may_give_back,
    dropping_a_stream_cancels_the_handler,
    dropping_a_call_ends_what_its_handler_reads,
    a_source_that_fails_is_no_end,
    a_lost_connection_is_no_end,
    a_deadline_bounds_all_of_a_stream,
    the_default_deadline_bounds_the_start_alone,
    a_gap_between_items_is_bounded_on_both_sides,
    items_up_to_the_limit_and_beyond,
    large_items_and_small_ones_mixed,
    a_slow_reader_stops_the_writer,
    many_streams_at_once,
    a_stream_is_finished_while_the_server_drains,
    a_dead_peer_shows_on_a_stream_too,
);

#[test]
fn what_users_hold_crosses_threads() {
    fn assert_send<T: Send + 'static>() {}
    assert_send::<Streaming<String>>();
    assert_send::<StreamSender<String>>();
    assert_send::<rpcnet::Call<Channel, Streaming<String>, Refused>>();
}
