//! Interceptors and the end of a call before its time: who is dropped, and who is told.

use std::time::Duration;

use rpcnet::{Code, Context, Interceptor, Next, Request, Status, interceptor::from_fn, rpc_impl, rpc_trait};
use rpcnet_tests::{Event, Net, ProbeClient, over_both, within};
use tokio::sync::mpsc;

/// A deadline that comes soon, but not before the call has arrived.
const SHORT: Duration = Duration::from_secs(1);

over_both!(
    a_call_given_up_drops_the_interceptor_it_waits_in,
    a_client_interceptor_sets_the_deadline,
    dropping_the_rest_drops_the_handler,
);

/// Tells that it was entered, waits for ever, and tells that it was dropped.
fn stuck(told: mpsc::UnboundedSender<&'static str>) -> impl Interceptor {
    struct Tells(mpsc::UnboundedSender<&'static str>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    from_fn(move |request: Request, next: Next| {
        let told = told.clone();
        async move {
            if request.method().name() == "hold" {
                let _ = told.send("entered");
                let _tells = Tells(told);
                std::future::pending::<()>().await;
            }
            next.run(request).await
        }
    })
}

async fn a_call_given_up_drops_the_interceptor_it_waits_in(net: Net) {
    let (sender, mut told) = mpsc::unbounded_channel();
    let config = net.server().with_interceptor(stuck(sender.clone()));
    let (server, mut probed) = net.start_probed_with("server", config);
    let (open, stuck_here) = (net.channel(), net.channel().with_interceptor(stuck(sender)));
    for builder in [open, stuck_here] {
        let channel = builder.connect(server.local_addr().to_string()).await.expect("it listens");
        let client = ProbeClient::new(channel);
        let call = tokio::spawn(client.hold(1));
        assert_eq!(within(told.recv()).await, Some("entered"));
        call.abort();
        assert_eq!(within(told.recv()).await, Some("dropped"));
        within(server.wait_for_in_flight()).await;
        assert_eq!(client.server_name().await.expect("the connection is unharmed"), "server");
    }
    assert_eq!(probed.try_event(), None, "no handler was started");

    let client = ProbeClient::new(net.connect(&server).await);
    let error = client.hold(2).timeout(SHORT).await.expect_err("it waits for ever");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(within(told.recv()).await, Some("entered"));
    assert_eq!(within(told.recv()).await, Some("dropped"));
}

async fn a_client_interceptor_sets_the_deadline(net: Net) {
    let hurry = from_fn(|mut request: Request, next: Next| async move {
        assert_eq!(request.timeout(), None, "none was set for this call");
        request.set_timeout(SHORT);
        next.run(request).await
    });
    let (server, mut probed) = net.start_probed("server");
    let channel = net.channel().with_interceptor(hurry).connect(server.local_addr().to_string()).await;
    let error = ProbeClient::new(channel.expect("it listens")).hold(1).await.expect_err("it is held");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(probed.event().await, Event::Started(1));
    assert_eq!(probed.event().await, Event::Dropped(1));
}

async fn dropping_the_rest_drops_the_handler(net: Net) {
    #[rpc_trait(name = "test.v1.Spawner")]
    trait Spawner {
        async fn spawn(&self, cx: &Context) -> rpcnet::Result<()>;
    }

    struct Tells(mpsc::UnboundedSender<bool>);

    #[rpc_impl]
    impl Spawner for Tells {
        async fn spawn(&self, cx: &Context) -> rpcnet::Result<()> {
            let (cx, told) = (cx.clone(), self.0.clone());
            told.send(cx.is_cancelled()).expect("the test listens");
            tokio::spawn(async move {
                cx.cancelled().await;
                told.send(cx.is_cancelled()).expect("the test listens");
            });
            std::future::pending().await
        }
    }

    // Gives the handler a moment, twice.
    let impatient = from_fn(|request: Request, next: Next| async move {
        for _ in 0..2 {
            let moment = Duration::from_millis(100);
            if let Ok(result) = tokio::time::timeout(moment, next.run(request.clone())).await {
                return result;
            }
        }
        Err(Status::new(Code::Aborted, "twice too slow"))
    });
    let server = net.start_with(net.server().with_interceptor(impatient));
    let (sender, mut told) = mpsc::unbounded_channel();
    server.register(SpawnerServer::new(Tells(sender))).expect("the first");
    let client = SpawnerClient::new(net.connect(&server).await);
    let error = client.spawn().await.expect_err("both were dropped");
    assert_eq!(error.code(), Code::Aborted);
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(within(told.recv()).await.expect("the service is there"));
    }
    all.sort_unstable();
    assert_eq!(all, [false, false, true, true], "each began uncancelled, and was told");
}
