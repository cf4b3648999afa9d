//! Descriptions of a server's services, and calls whose arguments and answers are JSON.

mod calls;
mod shop;

use std::time::Duration;

use rpcnet::{
    CallError, Code, Method, ServiceDescriptor, Status, Streaming,
    reflect::{ReflectionClient, ServiceInfo},
};
use rpcnet_tests::{Net, over_both, within};

use self::shop::{Answers, Bench, all, one};

const MS: Duration = Duration::from_millis(1);

async fn services_are_told_as_they_were_written(net: Net) {
    let bench = Bench::new(&net).await;
    let services: Vec<ServiceInfo> = within(bench.reflection.services()).await.expect("it answers");
    let names: Vec<&str> = services.iter().map(|service| &service.name[..]).collect();
    assert_eq!(names, ["rpcnet.Health", "rpcnet.Reflection", "test.v1.Shop"]);
    let shop = &services[2];
    let methods: Vec<&str> = shop.methods.iter().map(|method| &method.name[..]).collect();
    assert_eq!(methods[..4], ["price", "nothing", "same_bytes", "high_bytes"]);

    let price = &shop.methods[0];
    assert_eq!(price.arguments, ["Item", "Vec<(u8,Option<i64>)>"]);
    assert_eq!(price.result, "Result<Price,Refused>");
    assert_eq!(price.signature, "(Item,Vec<(u8,Option<i64>)>)->Result<Price,Refused>");
    assert!(price.shape.contains("struct Item{name:string,count:u32}"), "{}", price.shape);
    assert!(price.shape.contains("enum Price{Free,Cents(i64)}"), "{}", price.shape);
    assert_eq!(price.id, Method::new("test.v1.Shop", "price", "").id());
    assert!(price.idempotent && !price.streams_request && !price.streams_reply);
    assert_eq!(
        (price.timeout, price.item_timeout, price.priority, price.max_message),
        (Some(2000 * MS), None, 3, Some(1024))
    );

    let rename = shop.methods.iter().find(|method| method.name == "rename").expect("it is served");
    assert_eq!(rename.arguments, ["String", "Streaming<Item,CallError<Refused>>"]);
    assert!(rename.streams_request && rename.streams_reply && !rename.idempotent);
    let again = within(bench.reflection.services()).await.expect("it answers");
    assert_eq!(again, services);
}

async fn all_four_shapes_are_called(net: Net) {
    let bench = Bench::new(&net).await;
    let price = bench.value("price", r#"[{"count": 3, "name": "pen"}, [[10, null], [5, -5]]]"#).await;
    assert_eq!(price, r#"{"Cents":290}"#);
    assert_eq!(bench.value("price", r#"[{"count": 0, "name": "pen"}, []]"#).await, r#""Free""#);
    assert_eq!(bench.value("nothing", "[]").await, "null");
    assert_eq!(bench.value("same_bytes", "[[0,1,255]]").await, "[0,1,255]");

    let items = bench.call("count_down", r#"[2, "Well"]"#).await.expect("it is called");
    let items: Vec<String> = items.into_iter().map(|item| item.expect("all is well")).collect();
    assert_eq!(items, [r#"{"name":"rocket","count":2}"#, r#"{"name":"rocket","count":1}"#]);

    let sum = bench.call_items("sum", "[-7]", &["3", " 4 ", "50"]).await.expect("it is called");
    assert_eq!(one(sum), "50");
    let none = bench.call_items("sum", "[1]", &[]).await.expect("it is called");
    assert_eq!(one(none), "1");

    let (sender, items) = Streaming::channel(1);
    let call = bench.reflection.call_items("test.v1.Shop/rename".into(), r#"["new"]"#.into(), items).await;
    let mut renamed = call.expect("it is called");
    for count in 0..3 {
        // Each comes back before the next goes out.
        sender.send(format!(r#"{{"name": "old", "count": {count}}}"#)).await.expect("it is read");
        let item = within(renamed.next()).await.expect("it comes back").expect("all is well");
        assert_eq!(item, format!(r#"{{"name":"new","count":{count}}}"#));
    }
    sender.finish();
    assert!(within(renamed.next()).await.is_none());
}

async fn errors_are_typed(net: Net) {
    let bench = Bench::new(&net).await;
    let application = |answers: &Answers| match answers.last() {
        Some(Err(CallError::Application(error))) => error.json.clone(),
        other => panic!("{other:?}"),
    };
    let refused = bench.call("price", r#"[{"name": "unicorn", "count": 1}, []]"#).await.expect("it ran");
    assert_eq!(refused.len(), 1);
    assert_eq!(application(&refused), r#"{"Unknown":{"name":"unicorn"}}"#);
    let at_the_start = bench.call("count_down", r#"[0, "Well"]"#).await.expect("it ran");
    assert_eq!((at_the_start.len(), application(&at_the_start)), (1, r#""Late""#.to_owned()));
    let at_the_end = bench.call("count_down", r#"[3, "Refused"]"#).await.expect("it ran");
    assert_eq!((at_the_end.len(), application(&at_the_end)), (4, r#""Late""#.to_owned()));

    let ended = bench.call("count_down", r#"[1, "Status"]"#).await.expect("it ran");
    let [Ok(_), Err(CallError::Status(status))] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((status.code(), status.message()), (Code::Aborted, "no start"));
    let status = bench.call("fail", "[9]").await.expect_err("as it was told");
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "as it was told"));
    assert_eq!(status.details()[..], [1, 2]);
    let panicked = bench.call("panic", "[]").await.expect_err("as it was told");
    assert_eq!((panicked.code(), panicked.message()), (Code::Internal, "test.v1.Shop/panic panicked"));
    assert_eq!(bench.metric("rpc_panics_total{method=\"test.v1.Shop/panic\"}"), 1);
    assert_eq!(bench.value("nothing", "[]").await, "null", "others go on");
}

async fn wrong_json_is_refused_with_place_and_type(net: Net) {
    let bench = Bench::new(&net).await;
    let wrong = async |arguments: &str, expected: &str| {
        let message = bench.refused("price", arguments, Code::InvalidArgument).await;
        assert!(message.contains(expected), "{arguments}: {message}");
        assert!(
            message.starts_with("the arguments (Item, Vec<(u8,Option<i64>)>) of test.v1.Shop/price"),
            "{message}"
        );
    };
    wrong(
        r#"[{"name": 1, "count": 1}, []]"#,
        "invalid type: integer `1`, expected a string at line 1 column 11",
    )
    .await;
    wrong(r#"[{"name": "pen"}, []]"#, "missing field `count` at line 1 column 16").await;
    wrong("[{\"name\": \"pen\",\n\"count\": -1}, []]", "invalid value: integer `-1`, expected u32 at line 2")
        .await;
    wrong(r#"[{"name": "pen", "count": 1}, [[1, 2, 3]]]"#, "line 1 column").await;
    wrong(r#"[{"name": "pen", "count": 1}]"#, "2 arguments are expected, not 1").await;
    wrong(r#"[{"name": "pen", "count": 1}, [], 3]"#, "2 arguments are expected, not 3").await;
    wrong(r#"{"name": "pen"}"#, "arguments stand in an array").await;
    wrong("[", "EOF while parsing a list at line 1 column 1").await;
    wrong("", "EOF while parsing a value").await;

    let item = bench.call_items("sum", "[1]", &["2", "[]"]).await.expect_err("it is no number");
    assert_eq!(item.code(), Code::InvalidArgument);
    assert!(item.message().contains("an item of test.v1.Shop/sum can't be read"), "{item}");
    assert!(item.message().contains("expected i64 at line 1"), "{item}");
    let message = bench.refused("keyed", "[[[1,2]]]", Code::Internal).await;
    assert!(message.contains("the reply of test.v1.Shop/keyed") && message.contains("key must be a string"));
    assert_eq!(bench.value("keyed", "[[]]").await, "{}");
}

async fn what_is_not_there_is_not_called(net: Net) {
    let bench = Bench::new(&net).await;
    let message = bench.refused("prise", "[]", Code::Unimplemented).await;
    assert!(
        message.contains("no method \"test.v1.Shop/prise\"") && message.contains("rpcnet.Health"),
        "{message}"
    );
    let raw = async |method: &str| {
        let call = bench.reflection.call(method.to_owned(), "[]".to_owned());
        Status::from(within(call).await.expect_err("it is refused"))
    };
    assert_eq!(raw("price").await.code(), Code::InvalidArgument);
    assert_eq!(raw("").await.code(), Code::InvalidArgument);
    let long = raw(&"/".repeat(100_000)).await;
    assert!(long.code() == Code::Unimplemented && long.message().len() < 1000);
    let itself = raw("rpcnet.Reflection/services").await;
    assert_eq!(itself.code(), Code::InvalidArgument, "{itself}");
    assert!(itself.message().contains("call it directly"));
    let health =
        bench.reflection.call("rpcnet.Health/ready".into(), "[]".into()).await.expect("it is called");
    assert_eq!(one(all(health).await), r#"{"ready":true,"reasons":[],"not_serving":[]}"#);

    let message = bench.refused("sum", "[1]", Code::InvalidArgument).await;
    assert!(message.contains("rpcnet.Reflection/call_items"), "{message}");
    let status = bench.call_items("nothing", "[]", &[]).await.expect_err("it takes none");
    assert!(status.code() == Code::InvalidArgument && status.message().contains("rpcnet.Reflection/call"));

    let (server, _probed) = net.start_probed("silent");
    let silent = ReflectionClient::new(net.connect(&server).await);
    let error = within(silent.services()).await.expect_err("it was not registered");
    assert_eq!(error.code(), Code::Unimplemented);
}

/// A service whose methods nobody has described to a macro.
struct ByHand;

impl rpcnet::Service for ByHand {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        static METHODS: &[Method] = &[Method::new("test.v1.ByHand", "raw", "whatever it takes")];
        static SERVICE: ServiceDescriptor = ServiceDescriptor { name: "test.v1.ByHand", methods: METHODS };
        &SERVICE
    }

    fn call(&self, _: usize, _: rpcnet::__private::Inbound) -> rpcnet::__private::HandlerFuture {
        Box::pin(async { Err(Status::internal("it is never called")) })
    }
}

async fn what_was_described_by_hand_is_listed_and_not_called(net: Net) {
    let bench = Bench::new(&net).await;
    bench.server.register(ByHand).expect("the first of its name");
    let services = within(bench.reflection.services()).await.expect("it answers");
    let by_hand =
        services.iter().find(|service| service.name == "test.v1.ByHand").expect("it was added later");
    let raw = &by_hand.methods[0];
    assert_eq!((&raw.signature[..], &raw.arguments[..], &raw.shape[..]), ("whatever it takes", &[][..], ""));
    let call = bench.reflection.call("test.v1.ByHand/raw".into(), "[]".into());
    let error = within(call).await.expect_err("its types are not known");
    assert_eq!(error.code(), Code::Unimplemented);
}

over_both!(
    services_are_told_as_they_were_written,
    all_four_shapes_are_called,
    errors_are_typed,
    wrong_json_is_refused_with_place_and_type,
    what_is_not_there_is_not_called,
    what_was_described_by_hand_is_listed_and_not_called,
);
