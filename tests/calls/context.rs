//! The context of a handler: what it knows of its call, what its own calls inherit, what it sends back beside the
//! result.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use rpcnet::{
    CallError, Code, Context, Metadata, MetadataError, Status, Trace, dev::DevCertOptions, rpc_impl,
    rpc_trait,
};
use rpcnet_tests::{Net, over_a_relay, over_both, within};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[rpc_trait(name = "test.v1.Stop")]
trait Stop {
    /// Returns the caller's identity.
    async fn who(&self, cx: &Context) -> rpcnet::Result<Who>;
    /// Returns the contexts of this handler and of those that it calls.
    async fn here(&self, cx: &Context) -> rpcnet::Result<Vec<Known>>;
    /// Returns the contexts that two spawned tasks see: one within the call's scope, one outside of it.
    async fn by_tasks(&self, cx: &Context) -> rpcnet::Result<(Known, Known)>;
    /// Returns the contexts in the service that the caller has on its channel.
    async fn at_the_caller(&self, cx: &Context) -> rpcnet::Result<Vec<Known>>;
    /// Returns the contexts of this handler and of those that it calls in a trace that begins here.
    async fn in_another_trace(&self, trace: String) -> rpcnet::Result<Vec<Known>>;
    /// Sends something back beside the result.
    async fn beside(&self, cx: &Context, ends: Ends) -> Result<u8, StopError>;
    /// As [`beside`](Self::beside), for a method that declares no error.
    async fn beside_a_status(&self, cx: &Context) -> rpcnet::Result<u8>;
    /// Says when it runs, and ends when the server drains.
    async fn until_draining(&self, cx: &Context) -> rpcnet::Result<u8>;
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Who {
    name: String,
    subject: String,
    cluster: Option<String>,
    node: Option<String>,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    from: IpAddr,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    trace: Option<String>,
    left: Option<Duration>,
}

impl Known {
    fn of(cx: &Context) -> Self {
        Self { trace: cx.trace().map(|trace| trace.to_string()), left: cx.remaining() }
    }

    fn trace(&self) -> Trace {
        self.trace.as_deref().expect("the call is in one").parse().expect("a trace's text")
    }

    /// Of this time some has passed, but not much.
    fn assert_about(&self, whole: Duration) {
        let left = self.left.expect("there is a deadline");
        assert!(left <= whole && left > whole / 2, "{left:?} of {whole:?}");
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Ends {
    Well,
    Badly,
}

#[derive(Debug, Serialize, Deserialize)]
struct StopError;

#[derive(Debug)]
struct Service {
    next: Option<StopClient>,
    told: mpsc::UnboundedSender<()>,
}

#[rpc_impl]
impl Stop for Service {
    async fn who(&self, cx: &Context) -> rpcnet::Result<Who> {
        let peer = cx.peer();
        Ok(Who {
            name: peer.name().to_owned(),
            subject: peer.subject().to_owned(),
            cluster: peer.spiffe_id().map(|id| id.cluster().to_owned()),
            node: peer.spiffe_id().map(|id| id.node().to_owned()),
            dns_names: peer.dns_names().to_vec(),
            ip_addresses: peer.ip_addresses().to_vec(),
            from: cx.remote_addr().ip(),
        })
    }

    async fn here(&self, cx: &Context) -> rpcnet::Result<Vec<Known>> {
        let mut all = vec![Known::of(cx)];
        if let Some(next) = &self.next {
            all.extend(next.here().await?);
        }
        Ok(all)
    }

    async fn by_tasks(&self, cx: &Context) -> rpcnet::Result<(Known, Known)> {
        let next = self.next.as_ref().expect("there is one");
        let (within, without) = (next.here(), next.here());
        let within = tokio::spawn(cx.scope(within)).await.expect("no panic")?;
        let without = tokio::spawn(without).await.expect("no panic")?;
        Ok((within[0].clone(), without[0].clone()))
    }

    async fn at_the_caller(&self, cx: &Context) -> rpcnet::Result<Vec<Known>> {
        let mut all = vec![Known::of(cx)];
        all.extend(StopClient::new(cx.caller()).here().await?);
        Ok(all)
    }

    async fn in_another_trace(&self, trace: String) -> rpcnet::Result<Vec<Known>> {
        let next = self.next.as_ref().expect("there is one");
        Ok(next.here().trace(trace.parse().expect("a trace's text")).await?)
    }

    async fn beside(&self, cx: &Context, ends: Ends) -> Result<u8, StopError> {
        add(cx);
        match ends {
            Ends::Well => Ok(7),
            Ends::Badly => Err(StopError),
        }
    }

    async fn beside_a_status(&self, cx: &Context) -> rpcnet::Result<u8> {
        add(cx);
        let mut own = Metadata::new();
        own.insert("x-status", "3").expect("a name");
        Err(Status::not_found("no such stop").with_metadata(own))
    }

    async fn until_draining(&self, cx: &Context) -> rpcnet::Result<u8> {
        self.told.send(()).expect("the test listens");
        cx.draining().await;
        Ok(7)
    }
}

fn add(cx: &Context) {
    cx.add_trailer("x-end", "2").expect("a name");
    cx.add_metadata("x-start", "1").expect("a name");
    cx.add_metadata("x-start", "ß").expect("a name");
    assert!(matches!(cx.add_metadata("X Start", ""), Err(MetadataError::Name(_))));
    assert_eq!(cx.add_trailer("x-end", "x".repeat(1 << 20)), Err(MetadataError::Size));
}

fn pairs(metadata: &Metadata) -> Vec<(&str, &str)> {
    metadata.iter().collect()
}

/// A server behind which there may be another.
struct Node {
    server: rpcnet::Server,
    client: StopClient,
    told: mpsc::UnboundedReceiver<()>,
}

impl Node {
    async fn start(net: &Net, next: Option<StopClient>) -> Self {
        let server = net.start();
        let (sender, told) = mpsc::unbounded_channel();
        server.register(StopServer::new(Service { next, told: sender })).expect("the first");
        let client = StopClient::new(net.connect(&server).await);
        Self { server, client, told }
    }

    /// The first of so many.
    async fn chain(net: &Net, length: usize) -> Self {
        let mut first = Self::start(net, None).await;
        for _ in 1..length {
            first = Self::start(net, Some(first.client)).await;
        }
        first
    }
}

over_both!(
    metadata_and_trailers_come_back_beside_a_result,
    metadata_and_trailers_come_back_beside_a_status,
    a_call_outside_of_traces_is_in_none,
    a_trace_goes_through_all_hops,
    a_trace_that_a_handler_begins_replaces_the_one_it_is_in,
    the_deadline_goes_through_all_hops,
    a_task_is_within_the_calls_scope_where_it_is_put_there,
    a_call_back_to_the_caller_inherits,
    draining_is_told_to_those_who_wait_for_it,
);

over_a_relay!(
    metadata_and_trailers_come_back_beside_a_result,
    metadata_and_trailers_come_back_beside_a_status,
    a_call_outside_of_traces_is_in_none,
    a_trace_goes_through_all_hops,
    a_trace_that_a_handler_begins_replaces_the_one_it_is_in,
    the_deadline_goes_through_all_hops,
    a_task_is_within_the_calls_scope_where_it_is_put_there,
    draining_is_told_to_those_who_wait_for_it,
);

#[tokio::test]
async fn the_peer_is_who_its_certificate_says() {
    let net = Net::quic();
    let node = Node::start(&net, None).await;
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let who = node.client.who().await.expect("answered");
    assert_eq!(
        (who.name.as_str(), who.cluster.as_deref(), who.node.as_deref()),
        ("client", Some("dev"), Some("client"))
    );
    assert!(who.subject.contains("CN=client"), "{}", who.subject);
    assert!(who.ip_addresses.contains(&loopback));
    assert_eq!(who.from.to_canonical(), loopback);

    let Net::Quic(ca) = net.medium() else { unreachable!("it is QUIC") };
    let hosts = vec![[192, 0, 2, 1].into()];
    let options =
        DevCertOptions::new("a person").with_cluster("").with_hosts(hosts, vec!["ada.example".into()]);
    let cert = ca.issue_with(&options).expect("a certificate");
    let builder = net.channel().with_cert_and_key(&cert.cert, &cert.key).expect("just issued");
    let channel = builder.connect(net.address(&node.server)).await.expect("it listens");
    let who = StopClient::new(channel).who().await.expect("answered");
    assert_eq!((who.name.as_str(), who.cluster, who.node), ("ada.example", None, None));
    assert_eq!(who.dns_names, ["ada.example"]);
    assert_eq!(who.ip_addresses, [IpAddr::from([192, 0, 2, 1])]);
    assert_eq!(who.from.to_canonical(), loopback);
}

async fn metadata_and_trailers_come_back_beside_a_result(net: Net) {
    let node = Node::start(&net, None).await;
    let response = node.client.beside(Ends::Well).response().await.expect("answered");
    assert_eq!(response.value, 7);
    assert_eq!(pairs(&response.metadata), [("x-start", "1"), ("x-start", "ß")]);
    assert_eq!(pairs(&response.trailers), [("x-end", "2")]);
    assert_eq!(node.client.beside(Ends::Well).await.expect("answered"), 7, "who does not ask gets the value");
    let error = node.client.beside(Ends::Badly).response().await.expect_err("it ends badly");
    assert!(matches!(error, CallError::Application(StopError)), "{error:?}");
    let response = node.client.here().response().await.expect("answered");
    assert!(response.metadata.is_empty() && response.trailers.is_empty());
}

async fn metadata_and_trailers_come_back_beside_a_status(net: Net) {
    let node = Node::start(&net, None).await;
    let error: CallError<Infallible> = node.client.beside_a_status().await.expect_err("it fails");
    let status = Status::from(error);
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such stop"));
    assert_eq!(
        pairs(status.metadata()),
        [("x-start", "1"), ("x-start", "ß"), ("x-end", "2"), ("x-status", "3")]
    );
}

async fn a_call_outside_of_traces_is_in_none(net: Net) {
    let node = Node::chain(&net, 2).await;
    for known in node.client.here().await.expect("answered") {
        assert_eq!(known.trace, None);
    }
}

async fn a_trace_goes_through_all_hops(net: Net) {
    let node = Node::chain(&net, 3).await;
    for root in [Trace::new(), Trace::new().with_sampled(false)] {
        let mut spans = vec![root.span()];
        for known in node.client.here().trace(root).await.expect("answered") {
            let trace = known.trace();
            assert_eq!((trace.id(), trace.is_sampled()), (root.id(), root.is_sampled()));
            spans.push(trace.span());
        }
        assert_eq!(spans.len(), 4);
        spans.sort_unstable();
        spans.dedup();
        assert_eq!(spans.len(), 4, "each handler has a span of its own");
    }
}

async fn a_trace_that_a_handler_begins_replaces_the_one_it_is_in(net: Net) {
    let node = Node::chain(&net, 2).await;
    let (outer, inner) = (Trace::new(), Trace::new());
    let known = node.client.in_another_trace(inner.to_string()).trace(outer).await.expect("answered");
    assert_eq!(known[0].trace().id(), inner.id());
}

async fn the_deadline_goes_through_all_hops(net: Net) {
    let node = Node::chain(&net, 3).await;
    let whole = Duration::from_secs(8);
    let mut before = whole;
    for known in node.client.here().timeout(whole).await.expect("answered") {
        known.assert_about(whole);
        let left = known.left.expect("just looked at");
        assert!(left <= before, "{left:?} is left of {before:?}");
        before = left;
    }
}

async fn a_task_is_within_the_calls_scope_where_it_is_put_there(net: Net) {
    let node = Node::chain(&net, 2).await;
    let (root, whole) = (Trace::new(), Duration::from_secs(8));
    let (within, without) = node.client.by_tasks().trace(root).timeout(whole).await.expect("answered");
    within.assert_about(whole);
    assert_eq!(within.trace().id(), root.id());
    without.assert_about(Duration::from_secs(30));
    assert_eq!(without.trace, None);
}

async fn a_call_back_to_the_caller_inherits(net: Net) {
    let node = Node::start(&net, None).await;
    let (told, _told) = mpsc::unbounded_channel();
    let builder =
        net.channel().with_service(StopServer::new(Service { next: None, told })).expect("the first");
    let channel = builder.connect(net.address(&node.server)).await.expect("it listens");
    let (root, whole) = (Trace::new(), Duration::from_secs(8));
    let call = StopClient::new(channel).at_the_caller().trace(root).timeout(whole);
    let [there, here] = &call.await.expect("answered")[..] else { panic!("there are two") };
    here.assert_about(whole);
    assert_eq!((there.trace().id(), here.trace().id()), (root.id(), root.id()));
    assert_ne!(there.trace().span(), here.trace().span());
}

async fn draining_is_told_to_those_who_wait_for_it(net: Net) {
    let Node { server, client, mut told } = Node::start(&net, None).await;
    let call = tokio::spawn(client.until_draining());
    within(told.recv()).await.expect("the service is there");
    assert!(!call.is_finished());
    server.stop_accepting().await;
    assert_eq!(within(call).await.expect("no panic").expect("its reply is sent"), 7);
    within(server.wait_for_in_flight()).await;
}
