//! Code around calls: in which order it stands, what it sees and changes, and what it may not do to other calls.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpcnet::{
    BalancedChannel, BalancedConfig, CallError, Code, Context, Interceptor, Metadata, Next, Reply, Request,
    Status, balance::Policy, discover::Endpoint, interceptor::from_fn, rpc_impl, rpc_trait,
};
use rpcnet_tests::{Event, Net, ProbeClient, over_both, within};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

#[rpc_trait(name = "test.v1.Desk")]
trait Desk {
    /// Returns the metadata of the request; sends some back beside the result.
    async fn beside(&self, cx: &Context) -> rpcnet::Result<Vec<(String, String)>>;
    /// Ends as it is told.
    #[rpc(idempotent)]
    async fn end(&self, cx: &Context, how: End) -> Result<u8, DeskError>;
    /// As [`end`](Self::end), for a method that declares no error.
    #[rpc(idempotent)]
    async fn ends_in_a_status(&self, cx: &Context) -> rpcnet::Result<u8>;
    /// Returns the user whom an interceptor has found out.
    async fn user(&self, cx: &Context) -> rpcnet::Result<Option<String>>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    Well,
    Badly,
    Panicking,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DeskError(u8);

/// An extension that a server's interceptor hands on to the handler.
#[derive(Debug)]
struct User(String);

#[derive(Debug, Clone, Default)]
struct Service {
    runs: Arc<AtomicUsize>,
}

impl Service {
    fn start(&self, cx: &Context) {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        cx.add_metadata("x-run", run.to_string()).expect("a name");
        cx.add_trailer("x-end-of-run", run.to_string()).expect("a name");
    }
}

#[rpc_impl]
impl Desk for Service {
    async fn beside(&self, cx: &Context) -> rpcnet::Result<Vec<(String, String)>> {
        self.start(cx);
        Ok(pairs(cx.metadata()))
    }

    async fn end(&self, cx: &Context, how: End) -> Result<u8, DeskError> {
        self.start(cx);
        match how {
            End::Well => Ok(7),
            End::Badly => Err(DeskError(7)),
            End::Panicking => panic!("on purpose"),
        }
    }

    async fn ends_in_a_status(&self, cx: &Context) -> rpcnet::Result<u8> {
        self.start(cx);
        Err(Status::not_found("no such desk"))
    }

    async fn user(&self, cx: &Context) -> rpcnet::Result<Option<String>> {
        Ok(cx.extension::<User>().map(|user| user.0.clone()))
    }
}

fn pairs(metadata: &Metadata) -> Vec<(String, String)> {
    metadata.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The events that interceptors have seen, in order.
#[derive(Debug, Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, what: String) {
        self.0.lock().expect("nobody panics with it").push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics with it"))
    }

    /// An interceptor that writes down that it was there, and how the call ended.
    fn keeper(&self, name: &'static str) -> impl Interceptor {
        let journal = self.clone();
        from_fn(move |request: Request, next: Next| {
            let journal = journal.clone();
            async move {
                journal.note(format!("{name} {}", request.method().name()));
                let result = next.run(request).await;
                journal.note(format!("{name} {}", outcome(&result)));
                result
            }
        })
    }
}

fn outcome(result: &Result<Reply, Status>) -> String {
    match result {
        Ok(reply) => format!("reply {}", reply.code()),
        Err(status) => format!("status {}", status.code()),
    }
}

/// A client of a [`Service`], with an interceptor on each side.
async fn desk(net: &Net, client: impl Interceptor, server: impl Interceptor) -> (DeskClient, Service) {
    let server = net.start_with(net.server().with_interceptor(server));
    let service = Service::default();
    server.register(DeskServer::new(service.clone())).expect("the first");
    let channel = net.channel().with_interceptor(client).connect(server.local_addr().to_string()).await;
    (DeskClient::new(channel.expect("it listens")), service)
}

fn nothing() -> impl Interceptor {
    from_fn(|request: Request, next: Next| next.run(request))
}

over_both!(
    the_first_that_was_added_is_the_outermost,
    each_kind_of_end_is_seen_on_both_sides,
    metadata_is_seen_and_changed_on_its_way_there_and_back,
    a_statuss_metadata_is_seen_and_changed,
    what_a_client_answers_itself_is_not_sent,
    what_a_server_answers_itself_starts_no_handler,
    a_client_sends_a_call_again,
    a_server_runs_a_handler_again,
    a_handler_gets_what_interceptors_found_out,
    a_servers_interceptor_knows_the_calls_context,
    a_panic_fails_its_own_call_alone,
    a_panic_on_the_client_is_its_callers,
    on_a_balanced_channel_they_stand_around_all_attempts,
    each_channel_of_a_connector_has_them,
);

async fn the_first_that_was_added_is_the_outermost(net: Net) {
    let journal = Journal::default();
    let config = net.server().with_interceptor(journal.keeper("c")).with_interceptor(journal.keeper("d"));
    let (server, _probed) = net.start_probed_with("server", config);
    let builder = net.channel().with_interceptor(journal.keeper("a")).with_interceptor(journal.keeper("b"));
    let channel = builder.connect(server.local_addr().to_string()).await.expect("it listens");
    let client = ProbeClient::new(channel);
    assert_eq!(client.echo("text".into()).await.expect("answered"), "text");
    let expected =
        ["a echo", "b echo", "c echo", "d echo", "d reply ok", "c reply ok", "b reply ok", "a reply ok"];
    assert_eq!(journal.take(), expected);
}

async fn each_kind_of_end_is_seen_on_both_sides(net: Net) {
    let journal = Journal::default();
    let (client, _service) = desk(&net, journal.keeper("client"), journal.keeper("server")).await;
    let ends = |journal: &Journal| {
        let mut ends = journal.take();
        ends.retain(|line| line.contains("reply") || line.contains("status "));
        ends
    };
    assert_eq!(client.end(End::Well).await.expect("answered"), 7);
    assert_eq!(ends(&journal), ["server reply ok", "client reply ok"]);

    let error = client.end(End::Badly).await.expect_err("it ends badly");
    assert!(matches!(error, CallError::Application(DeskError(7))), "{error:?}");
    assert_eq!(ends(&journal), ["server reply unknown", "client reply unknown"]);

    client.ends_in_a_status().await.expect_err("it does");
    assert_eq!(ends(&journal), ["server status not_found", "client status not_found"]);
}

async fn metadata_is_seen_and_changed_on_its_way_there_and_back(net: Net) {
    let outgoing = from_fn(|mut request: Request, next: Next| async move {
        assert_eq!(request.metadata().get("x-call"), Some("1"));
        assert!(request.context().is_none(), "it has not arrived anywhere");
        request.metadata_mut().insert("x-client", "2").expect("a name");
        let mut reply = next.run(request).await?;
        assert_eq!(reply.metadata().get("x-run"), Some("again"));
        assert_eq!(reply.trailers().get("x-server-end"), Some("4"));
        reply.metadata_mut().insert("x-client-back", "5").expect("a name");
        Ok(reply)
    });
    let incoming = from_fn(|mut request: Request, next: Next| async move {
        assert!(request.metadata_mut().remove("x-call"));
        request.metadata_mut().insert("x-server", "3").expect("a name");
        let mut reply = next.run(request).await?;
        assert_eq!(reply.metadata().get("x-run"), Some("1"), "what the handler said");
        assert_eq!(reply.trailers().get("x-end-of-run"), Some("1"));
        reply.metadata_mut().remove("x-run");
        reply.metadata_mut().insert("x-run", "again").expect("a name");
        reply.trailers_mut().insert("x-server-end", "4").expect("a name");
        Ok(reply)
    });
    let (client, _service) = desk(&net, outgoing, incoming).await;
    let response = client.beside().metadata("x-call", "1").response().await.expect("answered");
    assert_eq!(response.value, owned(&[("x-client", "2"), ("x-server", "3")]), "what the handler saw");
    assert_eq!(pairs(&response.metadata), owned(&[("x-run", "again"), ("x-client-back", "5")]));
    assert_eq!(pairs(&response.trailers), owned(&[("x-end-of-run", "1"), ("x-server-end", "4")]));
}

async fn a_statuss_metadata_is_seen_and_changed(net: Net) {
    let incoming = from_fn(|request: Request, next: Next| async move {
        let status = next.run(request).await.expect_err("it ends in a status");
        let mut metadata = status.metadata().clone();
        assert_eq!(pairs(&metadata), owned(&[("x-run", "1"), ("x-end-of-run", "1")]));
        metadata.insert("x-server", "2").expect("a name");
        Err(status.with_metadata(metadata))
    });
    let (client, _service) = desk(&net, nothing(), incoming).await;
    let error = client.ends_in_a_status().await.expect_err("it does");
    let status = error.status().expect("it is one");
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such desk"));
    assert_eq!(pairs(status.metadata()), owned(&[("x-run", "1"), ("x-end-of-run", "1"), ("x-server", "2")]));
}

async fn what_a_client_answers_itself_is_not_sent(net: Net) {
    let journal = Journal::default();
    let stingy = from_fn(|request: Request, next: Next| async move {
        if request.size() > 10 {
            return Err(Status::resource_exhausted("too long for us").not_executed());
        }
        next.run(request).await
    });
    let (server, _probed) =
        net.start_probed_with("server", net.server().with_interceptor(journal.keeper("server")));
    let channel = net.channel().with_interceptor(stingy).connect(server.local_addr().to_string()).await;
    let client = ProbeClient::new(channel.expect("it listens"));
    let error = client.echo("much longer than that".into()).await.expect_err("refused");
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(!error.maybe_executed());
    assert_eq!(journal.take(), Vec::<String>::new());
    assert_eq!(client.echo("short".into()).await.expect("answered"), "short");
    assert_eq!(journal.take(), ["server echo", "server reply ok"]);
}

async fn what_a_server_answers_itself_starts_no_handler(net: Net) {
    let guard = from_fn(|request: Request, next: Next| async move {
        if request.metadata().get("x-token") != Some("open sesame") {
            let status = Status::unauthenticated("x-token is missing").not_executed();
            return Err(status.with_details("details").with_retry_after(Duration::from_secs(1)));
        }
        next.run(request).await
    });
    let (client, service) = desk(&net, nothing(), guard).await;
    let error = client.end(End::Well).await.expect_err("no token");
    let status = error.status().expect("it is one");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().ends_with("x-token is missing"), "{status}");
    assert_eq!(&status.details()[..], b"details");
    assert_eq!(status.retry_after(), Some(Duration::from_secs(1)));
    assert!(!status.maybe_executed());
    assert_eq!(service.runs.load(Ordering::SeqCst), 0);
    assert_eq!(client.end(End::Well).metadata("x-token", "open sesame").await.expect("let in"), 7);
    assert_eq!(service.runs.load(Ordering::SeqCst), 1);
}

/// Runs an idempotent call again where it ended in a status, and keeps the reply of the second attempt.
fn again() -> impl Interceptor {
    from_fn(|request: Request, next: Next| async move {
        let result = next.run(request.clone()).await;
        if result.is_ok() || !request.method().idempotent() || !request.is_repeatable() {
            return result;
        }
        next.run(request).await
    })
}

async fn a_client_sends_a_call_again(net: Net) {
    let (client, service) = desk(&net, again(), nothing()).await;
    let error = client.ends_in_a_status().await.expect_err("twice");
    assert_eq!(service.runs.load(Ordering::SeqCst), 2);
    assert_eq!(error.status().expect("it is one").metadata().get("x-run"), Some("2"));
    assert_eq!(client.end(End::Well).await.expect("answered"), 7);
    assert_eq!(service.runs.load(Ordering::SeqCst), 3);
}

async fn a_server_runs_a_handler_again(net: Net) {
    let (client, service) = desk(&net, nothing(), again()).await;
    let error = client.ends_in_a_status().await.expect_err("twice");
    assert_eq!(service.runs.load(Ordering::SeqCst), 2);
    let metadata = pairs(error.status().expect("it is one").metadata());
    assert_eq!(metadata, owned(&[("x-run", "2"), ("x-end-of-run", "2")]), "nothing of the first attempt");
}

async fn a_handler_gets_what_interceptors_found_out(net: Net) {
    let guess = from_fn(|mut request: Request, next: Next| async move {
        request.insert_extension(User("somebody".into()));
        request.insert_extension(7_u8);
        next.run(request).await
    });
    let server = net.server().with_interceptor(guess).with_interceptor(from_fn(
        |mut request: Request, next: Next| async move {
            assert_eq!(request.extension::<User>().expect("it was handed on").0, "somebody");
            assert_eq!(request.extension::<u8>(), Some(&7));
            assert_eq!(request.extension::<u16>(), None);
            if let Some(name) = request.metadata().get("x-user").map(str::to_owned) {
                request.insert_extension(User(name));
            }
            next.run(request).await
        },
    ));
    let server = net.start_with(server);
    server.register(DeskServer::new(Service::default())).expect("the first");
    let client = DeskClient::new(net.connect(&server).await);
    assert_eq!(client.user().await.expect("answered").as_deref(), Some("somebody"));
    let ada = client.user().metadata("x-user", "ada").await.expect("answered");
    assert_eq!(ada.as_deref(), Some("ada"));
}

async fn a_servers_interceptor_knows_the_calls_context(net: Net) {
    let knowing = from_fn(|request: Request, next: Next| async move {
        let cx = request.context().expect("it has arrived");
        assert_eq!(cx.method().to_string(), "test.v1.Desk/end");
        assert!(cx.remaining().expect("it was given") <= Duration::from_secs(7));
        assert!(request.timeout().expect("it was given") <= Duration::from_secs(7));
        cx.add_metadata("x-address", cx.remote_addr().ip().to_string()).expect("a name");
        next.run(request).await
    });
    let (client, _service) = desk(&net, nothing(), knowing).await;
    let response = client.end(End::Well).timeout(Duration::from_secs(7)).response().await.expect("answered");
    assert_eq!(pairs(&response.metadata)[0].0, "x-address");
}

async fn a_panic_fails_its_own_call_alone(net: Net) {
    let nervous = from_fn(|request: Request, next: Next| {
        let at = request.metadata().get("x-panic").map(str::to_owned);
        assert_ne!(at.as_deref(), Some("at once"));
        async move {
            tokio::task::yield_now().await;
            assert_ne!(at.as_deref(), Some("before"));
            let result = next.run(request).await;
            assert_ne!(at.as_deref(), Some("behind"));
            result
        }
    });
    let (server, mut probed) = net.start_probed_with("server", net.server().with_interceptor(nervous));
    let client = ProbeClient::new(net.connect(&server).await);
    let held = tokio::spawn(client.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    for at in ["at once", "before", "behind"] {
        let error = client.echo("text".into()).metadata("x-panic", at).await.expect_err("it panicked");
        assert_eq!(error.code(), Code::Internal, "{at}: {error}");
        assert!(error.maybe_executed());
        assert!(!error.to_string().contains("x-panic"), "what is said in here stays here: {error}");
    }
    assert_eq!(client.echo("text".into()).await.expect("the connection is unharmed"), "text");
    let metrics = server.metrics().render();
    assert!(metrics.contains(r#"rpc_panics_total{method="test.v1.Probe/echo"} 3"#), "{metrics}");
    probed.open_gate();
    assert_eq!(held.await.expect("no panic").expect("the call beside it is unharmed"), "server");
}

async fn a_panic_on_the_client_is_its_callers(net: Net) {
    let nervous = from_fn(|request: Request, next: Next| async move {
        assert_eq!(request.metadata().get("x-panic"), None, "on purpose");
        next.run(request).await
    });
    let (client, _service) = desk(&net, nervous, nothing()).await;
    let panicked = tokio::spawn(client.end(End::Well).metadata("x-panic", "")).await;
    assert!(panicked.expect_err("it panicked").is_panic());
    assert_eq!(client.end(End::Well).await.expect("the channel is unharmed"), 7);
}

async fn on_a_balanced_channel_they_stand_around_all_attempts(net: Net) {
    let attempts = Arc::new(AtomicUsize::new(0));
    let mut servers = Vec::new();
    let mut endpoints = Vec::new();
    for name in ["a", "b"] {
        // The server that is asked first takes nothing.
        let attempts = attempts.clone();
        let turned_away = from_fn(move |request: Request, next: Next| {
            let first = attempts.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    return Err(Status::unavailable("elsewhere, please").not_executed());
                }
                next.run(request).await
            }
        });
        let (server, probed) = net.start_probed_with(name, net.server().with_interceptor(turned_away));
        endpoints.push(Endpoint::new(name, server.local_addr()));
        servers.push((server, probed));
    }
    let journal = Journal::default();
    let (_set, endpoints) = watch::channel(endpoints.into());
    let config = BalancedConfig::default().with_policy(Policy::RoundRobin);
    let builder = net.channel().with_interceptor(journal.keeper("client"));
    let channel = BalancedChannel::new(builder, endpoints, config).expect("complete");
    within(channel.ready()).await;
    ProbeClient::new(channel.clone()).once(1).await.expect("the other takes it");
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
    assert_eq!(channel.retries(), 1);
    assert_eq!(journal.take(), ["client once", "client reply ok"]);
}

async fn each_channel_of_a_connector_has_them(net: Net) {
    let journal = Journal::default();
    let (first, _first) = net.start_probed("first");
    let (second, _second) = net.start_probed("second");
    let connector =
        net.channel().with_interceptor(journal.keeper("client")).connector().expect("a free port");
    for (server, name) in [(first, "first"), (second, "second")] {
        let channel = connector.connect(server.local_addr().to_string()).await.expect("it listens");
        assert_eq!(ProbeClient::new(channel).server_name().await.expect("answered"), name);
        assert_eq!(journal.take(), ["client server_name", "client reply ok"]);
    }
}
