//! Clusters: nodes that can't join as they are configured, and channels that find no worker.

use std::time::Duration;

use rpcnet::{BalancedConfig, Server, dev::DevCa};
use rpcnet_cluster::{
    Cluster, ClusterChannel, ClusterConfig, ClusterError, ClusterExt, Mode, NodeId, TagFilter, WorkerRegistry,
};
use rpcnet_tests::{
    Net, ProbeClient, Worker, any_port, cluster_channel, free_addr, local, start_director, until, within,
};

use super::table::Table;

async fn enable(server: &Server, config: ClusterConfig) -> ClusterError {
    within(server.enable_cluster(config)).await.map(drop).expect_err("a mistake")
}

pub(crate) async fn nodes(table: &mut Table) {
    table.section("Nodes of a cluster");
    let net = Net::quic();
    let server = net.start();
    let seed = ClusterConfig::default().with_seeds(["director-1"]);
    table.row(
        "a seed without a port",
        &enable(&server, seed).await,
        ["is not a seed", "director-1", "write host:port"],
    );
    let nowhere = ClusterConfig::default().with_seeds(["0.0.0.0:8080"]);
    table.row(
        "a seed that is no host",
        &enable(&server, nowhere).await,
        ["the seed", "0.0.0.0:8080", "write"],
    );
    let everywhere = ClusterConfig::default().with_advertise_addr(([0, 0, 0, 0], 8080).into());
    table.row(
        "an address of all to advertise",
        &enable(&server, everywhere).await,
        ["can't advertise", "0.0.0.0:8080", "write"],
    );
    let tag = |key: &str, value: String| ClusterConfig::default().with_tag(key, value);
    let long = enable(&server, tag("zone", "x".repeat(1000))).await;
    table.row("a tag that is too long", &long, ["exceeds the limit", "\"zone\"", "shorten it"]);
    let reserved = enable(&server, tag("rpcnet.zone", "x".into())).await;
    table.row("a tag of a reserved name", &reserved, ["reserved", "\"rpcnet.zone\"", "choose another"]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let snapshots = ClusterConfig::default().with_snapshot_dir(file.path());
    table.row(
        "a file for a snapshot directory",
        &enable(&server, snapshots).await,
        ["can't be read or written", "the snapshot", "with_snapshot_dir"],
    );
    let holder = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let own = ClusterConfig::default().with_bind_addr(holder.local_addr().expect("bound"));
    let error = enable(&server, own).await;
    table.row("gossip's own port in use", &error, ["can't bind", "gossip", "take another port"]);
    let versions = ClusterConfig::default().with_gossip_versions(200..=201);
    table.row(
        "gossip of another release",
        &enable(&server, versions).await,
        ["200", "this release speaks", "with_gossip_versions"],
    );

    let certified: NodeId = "00000000-0000-4000-8000-000000000001".parse().expect("an id");
    let configured: NodeId = "00000000-0000-4000-8000-000000000002".parse().expect("an id");
    let ca = DevCa::generate().expect("a CA");
    let cert = ca.issue(&certified.to_string()).expect("a certificate");
    let config = rpcnet::ServerConfig::builder()
        .with_cert_and_key(cert.cert, cert.key)
        .and_then(|builder| builder.with_ca_cert(ca.ca_pem())?.build());
    let named = Server::new(config.expect("complete")).expect("a free port");
    let error = enable(&named, ClusterConfig::default().with_node_id(configured)).await;
    table.row(
        "a node id that is not the certificate's",
        &error,
        ["is configured", "000000000002", "leave with_node_id out"],
    );

    let cluster: Cluster = server.enable_cluster(local(&[])).await.expect("the first");
    table.row(
        "a second cluster on a server",
        &enable(&server, local(&[])).await,
        ["in a cluster already", "this server", "use the handle"],
    );
    let registry = WorkerRegistry::new(&cluster);
    let error = registry.select_worker(Some("role=worker,zone=x")).expect_err("there is none");
    table.row("a worker that is not there", &error, ["none of 0 healthy workers", "zone=x", "start one"]);
    let error = "zone=x,,=".parse::<TagFilter>().expect_err("not a filter");
    table.row("a filter that is none", &error, ["is not a tag filter", "zone=x,,=", "write conditions as"]);
}

async fn first_call(channel: &ClusterChannel) -> rpcnet::CallError {
    within(ProbeClient::new(channel.clone()).once(1).into_future()).await.expect_err("there is no worker")
}

pub(crate) async fn channels(table: &mut Table) {
    table.section("Channels to a cluster");
    let net = Net::quic();
    let none = ClusterChannel::builder().with_channel(net.channel());
    let error = none.connect().await.map(drop).expect_err("no director");
    table.row("no directors", &error, ["is missing", "a director", "with_directors"]);

    let silent = cluster_channel(&net, &[free_addr()]).with_connect_timeout(Duration::from_millis(200));
    let error = silent.connect().await.map(drop).expect_err("nobody listens");
    table.row(
        "a director that does not answer",
        &error,
        ["no answer from", "127.0.0.1", "check that directors listen there"],
    );

    let (host, _director) = start_director(&net, any_port(), &[]).await;
    let director = host.addr();
    let foreign = Net::quic();
    for (mistake, mode) in
        [("directors of another CA", Mode::Direct), ("the same, where directors hand calls on", Mode::Relay)]
    {
        let started = tokio::time::Instant::now();
        let builder = cluster_channel(&foreign, &[director]).with_mode(mode);
        let error = builder
            .with_connect_timeout(Duration::from_secs(60))
            .connect()
            .await
            .map(drop)
            .expect_err(mistake);
        // It does not wait for what waiting won't mend.
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        let message = error.to_string();
        let (start, end) = message.split_once(" after ").expect("it says how long it took");
        let (_, end) = end.split_once(": ").expect("and why");
        table.line(
            mistake,
            &format!("{start} after <time>: {end}"),
            ["its CA is not trusted", "the client refused the server's certificate", "with_ca_cert"],
        );
    }

    let quick = BalancedConfig::default().with_ready_timeout(Duration::from_millis(50));
    let connected = |filter: &str| {
        let builder = cluster_channel(&net, &[director]).with_balancing(quick.clone());
        builder.with_filter(filter.parse().expect("a filter")).connect()
    };
    let channel = connected("").await.expect("it answers");
    table.status(
        "a cluster without workers",
        &first_call(&channel).await,
        ["list no worker", "127.0.0.1", "start one"],
    );
    let worker = Worker::start(&net, "worker", &[director]).await;
    until(|| channel.endpoints().len() == 1).await;
    let filtered = connected("gpu").await.expect("it answers");
    table.status(
        "a filter that no worker matches",
        &first_call(&filtered).await,
        ["none matches the filter", "\"gpu\"", "1 worker"],
    );
    worker.host.server.set_serving("test.v1.Probe", false);
    until(|| channel.endpoints().iter().all(|endpoint| endpoint.ready)).await;
    let client = ProbeClient::new(channel.clone());
    // Until the director has heard of it, calls are answered.
    let error = loop {
        match within(client.once(1).into_future()).await {
            Err(error) if error.to_string().contains("out of service") => break error,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    table.status(
        "workers that were taken out of service",
        &error,
        ["1 have taken", "test.v1.Probe", "list 1 worker"],
    );
}
