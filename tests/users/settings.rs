//! Every time and number that can be set, at its extremes: it works, or building says what would be right. Nothing
//! panics.

use std::{fmt::Debug, time::Duration};

use rpcnet::{
    Admission, Backoff, BalancedChannel, BalancedConfig, CallError, Channel, ChannelBuilder, Code,
    ConfigError, ConnectError, Limits, RetryBudget, Server, ServerConfigBuilder, Streaming,
    balance::{HashOptions, OutlierConfig, Policy},
    discover::Endpoint,
    rpc_impl, rpc_trait,
    transport::DialOptions,
};
use rpcnet_cluster::{ClusterConfig, ClusterExt, swim};
use rpcnet_tests::{Net, ProbeClient, run, within};
use tokio::sync::watch;

const TIMES: [Duration; 3] = [Duration::ZERO, Duration::from_nanos(1), Duration::MAX];
const COUNTS: [usize; 3] = [0, 1, usize::MAX];

#[rpc_trait(name = "test.v1.Set")]
trait Set {
    async fn numbers(&self) -> rpcnet::Result<Streaming<u64>>;
    #[rpc(resumable)]
    async fn resumed(&self) -> rpcnet::Result<Streaming<u64>>;
}

struct Service;

#[rpc_impl]
impl Set for Service {
    async fn numbers(&self) -> rpcnet::Result<Streaming<u64>> {
        // Nothing is there at first, so that it is waited for.
        let (sender, items) = Streaming::channel(usize::MAX);
        tokio::spawn(async move {
            for number in 0..3 {
                tokio::task::yield_now().await;
                if sender.send(number).await.is_err() {
                    return;
                }
            }
            sender.finish();
        });
        Ok(items)
    }

    async fn resumed(&self) -> rpcnet::Result<Streaming<u64>> {
        self.numbers().await
    }
}

/// The effect of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// Calls are answered.
    Works,
    /// Building refuses it.
    Refused,
    /// There is no room or no time, mostly: then what is tried ends in a typed error.
    TooLittle,
}
use Comes::{Refused, TooLittle, Works};

/// Three values, each with what it comes to.
type Row<T> = (&'static str, [Comes; 3], fn(T, Settings) -> Settings);

/// Everything that a client and a server are made of.
struct Settings {
    server: ServerConfigBuilder,
    channel: ChannelBuilder,
    balanced: BalancedConfig,
}

fn limits(settings: Settings, limits: Limits) -> Settings {
    let limits = limits.with_lanes_on_any_path();
    Settings {
        server: settings.server.with_limits(limits),
        channel: settings.channel.with_limits(limits),
        ..settings
    }
}

fn dialling(settings: Settings, options: DialOptions) -> Settings {
    Settings { channel: settings.channel.with_dial_options(options), ..settings }
}

fn outliers(settings: Settings, config: OutlierConfig) -> Settings {
    Settings { balanced: settings.balanced.with_outliers(config), ..settings }
}

fn hashing(settings: Settings, options: HashOptions) -> Settings {
    let balanced = settings.balanced.with_policy(Policy::ConsistentHash).with_hash(options);
    Settings { balanced, ..settings }
}

fn admitting(settings: Settings, admission: Admission) -> Settings {
    Settings { server: settings.server.with_admission(admission), ..settings }
}

fn times() -> Vec<Row<Duration>> {
    vec![
        ("default_timeout", [Refused, TooLittle, Works], |time, it| {
            limits(it, Limits::default().with_default_timeout(time))
        }),
        ("silence", [Refused, Refused, Works], |time, it| limits(it, Limits::default().with_silence(time))),
        ("initial_rtt", [Refused, Refused, Refused], |time, it| {
            dialling(it, DialOptions::default().with_initial_rtt(time))
        }),
        ("keep_alive", [Refused, Refused, Refused], |time, it| {
            dialling(it, DialOptions::default().with_keep_alive(Some(time)))
        }),
        ("idle_timeout", [Refused, Refused, Works], |time, it| {
            dialling(it, DialOptions::default().with_idle_timeout(time))
        }),
        ("connect_timeout", [Refused, TooLittle, Works], |time, it| Settings {
            channel: it.channel.with_connect_timeout(time),
            ..it
        }),
        ("backoff", [Works, Works, Works], |time, it| Settings {
            channel: it.channel.with_backoff(Backoff::new(time, time)),
            ..it
        }),
        ("drain_timeout", [Works, Works, Works], |time, it| Settings {
            server: it.server.with_drain_timeout(time),
            ..it
        }),
        ("handshake_timeout", [Refused, TooLittle, Works], |time, it| Settings {
            server: it.server.with_handshake_timeout(time),
            ..it
        }),
        ("ready_timeout", [Works, Works, Works], |time, it| Settings {
            balanced: it.balanced.with_ready_timeout(time),
            ..it
        }),
        ("ejection", [Works, Works, Works], |time, it| {
            outliers(it, OutlierConfig::default().with_ejection(time, time))
        }),
        ("forgiven_after", [Works, Works, Works], |time, it| {
            outliers(it, OutlierConfig::default().with_forgiven_after(time))
        }),
        ("slow_start", [Works, Works, Works], |time, it| {
            outliers(it, OutlierConfig::default().with_slow_start(time))
        }),
        ("window", [Works, Works, Works], |time, it| {
            outliers(it, OutlierConfig::default().with_window(time))
        }),
    ]
}

fn counts() -> Vec<Row<usize>> {
    fn small(count: usize) -> u32 {
        u32::try_from(count).unwrap_or(u32::MAX)
    }
    vec![
        ("max_message", [Refused, TooLittle, Refused], |count, it| {
            limits(it, Limits::default().with_max_message(count))
        }),
        ("max_calls_per_connection", [Refused, Works, Refused], |count, it| {
            limits(it, Limits::default().with_max_calls_per_connection(small(count)))
        }),
        ("max_metadata (bytes)", [Works, Works, Refused], |count, it| {
            limits(it, Limits::default().with_max_metadata(count, 1))
        }),
        ("max_metadata (pairs)", [Works, Works, Refused], |count, it| {
            limits(it, Limits::default().with_max_metadata(1, count))
        }),
        ("max_resets_per_second", [Refused, Works, Works], |count, it| {
            limits(it, Limits::default().with_max_resets_per_second(small(count)))
        }),
        ("receive_window", [Refused, Refused, Refused], |count, it| {
            limits(it, Limits::default().with_receive_window(small(count)))
        }),
        ("max_connections", [Refused, Works, Refused], |count, it| Settings {
            server: it.server.with_max_connections(count),
            ..it
        }),
        ("max_connections_per_peer", [Refused, Works, Refused], |count, it| Settings {
            server: it.server.with_max_connections_per_peer(count),
            ..it
        }),
        ("max_handshakes", [Refused, Works, Refused], |count, it| Settings {
            server: it.server.with_max_handshakes(count),
            ..it
        }),
        ("retry_above", [Works, Works, Works], |count, it| Settings {
            server: it.server.with_retry_above(count),
            ..it
        }),
        ("max_connections of a channel", [Works, Works, Works], |count, it| Settings {
            channel: it
                .channel
                .with_max_connections(count.try_into().unwrap_or(std::num::NonZero::<usize>::MIN)),
            ..it
        }),
        ("admission", [Refused, Works, Refused], |count, it| admitting(it, Admission::fixed(count))),
        ("admission queue", [Works, Works, Refused], |count, it| {
            admitting(it, Admission::fixed(4).with_queue(count))
        }),
        ("admission bounds", [Refused, Works, Refused], |count, it| {
            admitting(it, Admission::adaptive().with_bounds(count, count))
        }),
        ("max_attempts", [Works, Works, Works], |count, it| Settings {
            balanced: it.balanced.with_max_attempts(count),
            ..it
        }),
        ("max_pending", [Works, Works, Works], |count, it| Settings {
            balanced: it.balanced.with_max_pending(count),
            ..it
        }),
        ("retry budget", [Works, Works, Works], |count, it| Settings {
            balanced: it.balanced.with_retry_budget(RetryBudget::new(f64::NAN, small(count))),
            ..it
        }),
        ("points", [Works, Works, Works], |count, it| hashing(it, HashOptions::default().with_points(count))),
        ("replicas", [Works, Works, Works], |count, it| {
            hashing(it, HashOptions::default().with_replicas(count))
        }),
        ("failures_in_a_row", [Works, Works, Works], |count, it| {
            outliers(it, OutlierConfig::default().with_failures_in_a_row(small(count)))
        }),
        ("trials", [Works, Works, Works], |count, it| {
            outliers(it, OutlierConfig::default().with_trials(small(count)))
        }),
        ("success_rate", [Works, Works, Works], |count, it| {
            outliers(it, OutlierConfig::default().with_success_rate(f64::NAN, 0.1, count, small(count)))
        }),
    ]
}

#[derive(Debug)]
#[expect(dead_code, reason = "it is shown where a test fails")]
enum Failed {
    Config(ConfigError),
    Connect(ConnectError),
    Call(CallError),
}

/// A channel of each kind, and a call on each, over QUIC: what panics at extremes is mostly there.
async fn try_out(net: &Net, change: impl FnOnce(Settings) -> Settings) -> Result<(), Failed> {
    let before =
        Settings { server: net.server(), channel: net.channel(), balanced: BalancedConfig::default() };
    let Settings { server, channel, balanced } = change(before);
    let server = Server::new(server.build().map_err(Failed::Config)?).expect("a free port");
    let (service, _probed) = rpcnet_tests::ProbeService::new("server");
    server.register(rpcnet_tests::ProbeServer::new(service)).expect("the first");
    run(&server);
    let addr = server.local_addr();
    let connect = |error| match error {
        ConnectError::Config(error) => Failed::Config(error),
        error => Failed::Connect(error),
    };
    let one: Channel = channel.clone().connect(addr.to_string()).await.map_err(connect)?;
    ProbeClient::new(one.clone()).echo("one".into()).await.map_err(Failed::Call)?;
    one.close().await;
    let set = [Endpoint::new(addr.to_string(), addr)].into_iter().collect();
    let (_sender, set) = watch::channel(set);
    let all = BalancedChannel::new(channel, set, balanced).map_err(connect)?;
    all.ready().await;
    for _ in 0..3 {
        ProbeClient::new(all.clone()).echo("all".into()).key("key").await.map_err(Failed::Call)?;
    }
    server.drain().await;
    Ok(())
}

async fn check<T: Debug + Copy + Send + Sync + 'static>(rows: Vec<Row<T>>, values: [T; 3]) {
    let net = Net::quic();
    for (name, comes, change) in rows {
        for (value, comes) in values.into_iter().zip(comes) {
            let net = net.clone();
            let tried = tokio::spawn(async move { within(try_out(&net, |it| change(value, it))).await });
            let tried = tried.await.unwrap_or_else(|panic| panic!("{name} of {value:?}: {panic}"));
            let came = match &tried {
                Ok(()) => Works,
                Err(Failed::Config(ConfigError::Range { .. })) => Refused,
                Err(_) => TooLittle,
            };
            // A timeout that is over at once may be overtaken.
            let overtaken = comes == TooLittle && came == Works;
            assert!(came == comes || overtaken, "{name} of {value:?} {came:?}, not {comes:?}: {tried:?}");
        }
    }
}

#[tokio::test]
async fn times_at_their_extremes() {
    check(times(), TIMES).await;
}

#[tokio::test]
async fn counts_at_their_extremes() {
    check(counts(), COUNTS).await;
}

#[tokio::test]
async fn bounds_of_a_call_at_their_extremes() {
    let net = Net::quic();
    let server = net.start();
    server.register(SetServer::new(Service)).expect("the first");
    let client = SetClient::new(net.connect(&server).await);
    for time in TIMES {
        for resumable in [false, true] {
            for bounds_items in [false, true] {
                let call = if resumable { client.resumed() } else { client.numbers() };
                let call = if bounds_items { call.item_timeout(time) } else { call.timeout(time) };
                let read = async {
                    let mut items = call.await?;
                    let mut count = 0;
                    while let Some(item) = items.next().await {
                        item?;
                        count += 1;
                    }
                    Ok::<_, CallError>(count)
                };
                match within(read).await {
                    Ok(count) => assert_eq!(count, 3, "{time:?}"),
                    Err(error) => {
                        assert_eq!(error.code(), Code::DeadlineExceeded, "{time:?}: {error}");
                        assert!(time < Duration::MAX, "{error}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_refused_names_its_range() {
    let options = DialOptions::default();
    for (options, said) in [
        (
            options.with_keep_alive(Some(Duration::MAX)),
            "keep_alive (ms) is 18446744073709551615, and must be between 10 ms and a day",
        ),
        (
            options.with_initial_rtt(Duration::from_secs(61)),
            "initial_rtt (ms) is 61000, and must be between 1 ms and 60 s",
        ),
        (options.with_idle_timeout(Duration::ZERO), "idle_timeout (ms) is 0, and must be at least 10 ms"),
    ] {
        let error = Net::quic().channel().with_dial_options(options).connector().expect_err("out of range");
        assert!(error.to_string().starts_with(said), "{error}");
        // Options of one dialled connection are checked, too.
        let connector = Net::quic().channel().connector().expect("complete");
        let error = connector.dial("127.0.0.1:9", b"other", &options).await.expect_err("out of range");
        assert!(error.to_string().starts_with(said), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_at_the_extremes_of_its_times() {
    type Change = fn(swim::Config, Duration) -> swim::Config;
    let changes: [Change; 7] = [
        swim::Config::with_probe_period,
        swim::Config::with_probe_timeout,
        swim::Config::with_gossip_interval,
        swim::Config::with_sync_interval,
        swim::Config::with_reconnect_interval,
        swim::Config::with_leave_grace,
        swim::Config::with_forget_after,
    ];
    let net = Net::memory();
    for change in changes {
        for time in TIMES {
            let one = net.start();
            let other = net.start();
            let config = || ClusterConfig::new_local().with_swim(change(swim::Config::new_local(), time));
            let config = |seeds: Vec<String>| config().with_leave_timeout(time).with_seeds(seeds);
            let _one = one.enable_cluster(config(Vec::new())).await.expect("it starts");
            let seed = one.local_addr().to_string();
            let cluster = other.enable_cluster(config(vec![seed])).await.expect("it starts");
            within(cluster.joined()).await;
            cluster.set_tag("tag", "value");
            within(other.close()).await;
            within(one.close()).await;
        }
    }
}
