//! Interceptors and handlers treat a call through reflection as one from the wire.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rpcnet::{Admission, CallError, Code, Limits, Next, Request, Status, Streaming, interceptor};
use rpcnet_tests::{Net, over_both, until, within};

use super::shop::{Bench, Mark, Seen, ShopClient, all, one};

const MS: Duration = Duration::from_millis(1);

async fn the_handler_knows_who_called(net: Net) {
    let bench = Bench::new(&net).await;
    let call = bench.reflection.call("test.v1.Shop/who".into(), "[]".into());
    let call = call.metadata("x-token", "sesame").timeout(5000 * MS);
    let mut answers = within(call).await.expect("it is called");
    assert_eq!(answers.metadata().get("x-said"), Some("before"));
    let seen = within(answers.next()).await.expect("one value").expect("all is well");
    assert!(within(answers.next()).await.is_none());
    assert_eq!(answers.trailers().expect("it has ended").get("x-ended"), Some("after"));
    let seen: Seen = serde_json::from_str(&seen).expect("it is what it was");
    let remaining = seen.remaining_ms.expect("there is a deadline");
    assert!((1..=5000).contains(&remaining), "{remaining}");
    let direct = within(ShopClient::new(bench.channel.clone()).who()).await.expect("it answers");
    assert_eq!((seen.method, seen.peer), (direct.method, direct.peer));
    assert_eq!(seen.token.as_deref(), Some("sesame"));

    let mut items = bench.stream("count_down", r#"[2, "Well"]"#).await.expect("it is called");
    while let Some(item) = within(items.next()).await {
        item.expect("all is well");
    }
    assert_eq!(items.trailers().expect("it has ended").get("x-ended"), Some("after"));
}

async fn interceptors_stand_around_what_is_called(net: Net) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let guard = interceptor::from_fn(move |mut request: Request, next: Next| {
        let noted = noted.clone();
        async move {
            let method = request.method();
            noted.lock().expect("nobody panics").push(method.to_string());
            if method.name() == "nothing" && request.metadata().get("x-token").is_none() {
                return Err(Status::permission_denied("not without a token"));
            }
            request.insert_extension(Mark(7));
            // Reflection's own handler gets other metadata than came.
            if method.service() == "rpcnet.Reflection" {
                *request.metadata_mut() = rpcnet::Metadata::new();
            }
            let mut reply = next.run(request).await?;
            reply.metadata_mut().insert("x-guarded", method.name()).expect("a name");
            Ok(reply)
        }
    });
    let bench = Bench::with(&net, net.server().with_interceptor(guard)).await;
    let message = bench.refused("nothing", "[]", Code::PermissionDenied).await;
    assert_eq!(message, "not without a token");
    assert_eq!(*seen.lock().expect("nobody panics"), ["rpcnet.Reflection/call", "test.v1.Shop/nothing"]);
    let call = bench.reflection.call("test.v1.Shop/nothing".into(), "[]".into());
    let answers = within(call.metadata("x-token", "sesame")).await.expect("it is let through");
    let guarded: Vec<&str> = answers.metadata().get_all("x-guarded").collect();
    assert_eq!(guarded, ["nothing", "call"]);
    assert_eq!(one(all(answers).await), "null");
    let who: Seen = serde_json::from_str(&bench.value("who", "[]").await).expect("it is what it was");
    assert_eq!(who.mark, Some(7));
}

async fn calls_wait_for_their_turn(net: Net) {
    let admission = Admission::fixed(1).with_queue(0);
    let mut bench = Bench::with(&net, net.server().with_admission(admission)).await;
    let holding = bench.stream("count_down", r#"[1, "Never"]"#).await.expect("there is room");
    assert_eq!(bench.event().await, "started");
    let status = bench.call("nothing", "[]").await.expect_err("the stream has its turn to its end");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.retry_after().is_some());
    let direct = within(ShopClient::new(bench.channel.clone()).nothing()).await;
    assert_eq!(direct.expect_err("it is full").code(), Code::ResourceExhausted);
    assert_eq!(bench.metric("rpc_shed_total{reason=\"full\"}"), 2);
    drop(holding);
    assert_eq!(bench.event().await, "cancelled");
    until(|| bench.server.in_flight() == 0).await;
    for _ in 0..3 {
        bench.value("nothing", "[]").await;
    }
}

async fn calls_are_counted_for_their_method(net: Net) {
    let bench = Bench::new(&net).await;
    let requests =
        |name: &str| bench.metric(&format!("rpc_requests_total{{method=\"test.v1.Shop/{name}\"}}"));
    bench.value("nothing", "[]").await;
    bench.call("count_down", r#"[2, "Refused"]"#).await.expect("it ran");
    bench.refused("nothing", "[1]", Code::InvalidArgument).await;
    assert_eq!((requests("nothing"), requests("count_down")), (1, 1));
    assert_eq!(bench.metric("rpc_latency_seconds_count{method=\"test.v1.Shop/count_down\"}"), 1);
    until(|| bench.server.in_flight() == 0).await;
}

async fn a_call_that_is_given_up_is_cancelled(net: Net) {
    let mut bench = Bench::new(&net).await;
    let call = bench.reflection.call("test.v1.Shop/hang".into(), "[]".into());
    let call = tokio::spawn(call);
    assert_eq!(bench.event().await, "started");
    call.abort();
    assert_eq!(bench.event().await, "cancelled");

    let mut items = bench.stream("count_down", r#"[1, "Never"]"#).await.expect("it is called");
    assert_eq!(bench.event().await, "started");
    within(items.next()).await.expect("the first comes").expect("all is well");
    drop(items);
    assert_eq!(bench.event().await, "cancelled");
    let direct =
        within(bench.reflection.call("test.v1.Shop/hang".into(), "[]".into()).timeout(100 * MS)).await;
    assert_eq!(direct.expect_err("its time is up").code(), Code::DeadlineExceeded);
    assert_eq!((bench.event().await, bench.event().await), ("started", "cancelled"));
    until(|| bench.server.in_flight() == 0).await;
}

async fn the_method_has_its_own_times(net: Net) {
    let mut bench = Bench::new(&net).await;
    let message = bench.refused("hang_briefly", "[]", Code::DeadlineExceeded).await;
    assert_eq!(message, "test.v1.Shop/hang_briefly ran out of time");
    assert_eq!((bench.event().await, bench.event().await), ("started", "cancelled"));
    let (sender, items) = Streaming::channel(1);
    sender.send(r#"{"name": "pen", "count": 1}"#.to_owned()).await.expect("there is room");
    let call = bench.reflection.call_items("test.v1.Shop/impatient".into(), "[]".into(), items);
    let status = Status::from(within(call).await.expect_err("no second comes"));
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("no item came within 200ms"), "{status}");
    drop(sender);

    for (method, message) in
        [("tick", "no item came within 200ms"), ("tick_briefly", "the stream took too long")]
    {
        let mut items = bench.stream(method, "[]").await.expect("it is called");
        within(items.next()).await.expect("the first comes").expect("all is well");
        let status = match within(items.next()).await {
            Some(Err(CallError::Status(status))) => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(status.message().contains(message), "{status}");
        assert!(within(items.next()).await.is_none());
        assert_eq!((bench.event().await, bench.event().await), ("started", "cancelled"));
    }
}

async fn sizes_are_those_of_the_method_and_the_server(net: Net) {
    let limits = Limits::default().with_max_message(64 << 10);
    let bench = Bench::with(&net, net.server().with_limits(limits)).await;
    let name = "n".repeat(1100);
    let arguments = format!(r#"[{{"name": "{name}", "count": 1}}, []]"#);
    let message = bench.refused("price", &arguments, Code::ResourceExhausted).await;
    assert!(message.contains("the server's limit is 1024"), "{message}");

    // As bytes it fits, as JSON it has four times as much.
    let direct = within(ShopClient::new(bench.channel.clone()).same_bytes(vec![200; 60 << 10])).await;
    assert_eq!(direct.expect("it fits").len(), 60 << 10);
    let zeros = format!("[[{}0]]", "0,".repeat(30 << 10));
    assert_eq!(bench.value("same_bytes", &zeros).await.len(), zeros.len() - 2);
    let message = bench.refused("high_bytes", "[20000]", Code::ResourceExhausted).await;
    assert!(message.contains("can't be written as JSON: more than 65536 bytes"), "{message}");
    let message = bench.refused("high_bytes", "[70000]", Code::ResourceExhausted).await;
    assert!(message.contains("the reply of test.v1.Shop/high_bytes has 70005 bytes"), "{message}");
}

over_both!(
    the_handler_knows_who_called,
    interceptors_stand_around_what_is_called,
    calls_wait_for_their_turn,
    calls_are_counted_for_their_method,
    a_call_that_is_given_up_is_cancelled,
    the_method_has_its_own_times,
    sizes_are_those_of_the_method_and_the_server,
);
