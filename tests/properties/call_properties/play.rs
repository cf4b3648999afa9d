//! Plays a script: a network, servers, a client, and in the end nothing of them.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpcnet::{
    Admission, BalancedChannel, BalancedConfig, CallError, Limits, Next, Request, Server,
    balance::Policy,
    discover::{Endpoint, EndpointSet},
    interceptor::{self, Interceptor},
    testing::Network,
};
use rpcnet_tests::Net;
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    client::{Attempt, Line},
    judge::{Circumstances, judge},
    script::{ClientStep, Ending, HandlerStep, Operation, Script, Setup, Weather},
    service::{Service, ToldClient, ToldServer},
};

/// Longer than anything takes: a connection that is cut off ends within its idle timeout.
const PATIENCE: Duration = Duration::from_secs(200);
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 100));

/// Plays it on a runtime of its own, under virtual time; says what was not as it has to be.
pub(crate) fn play(script: &Script) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let tasks = Handle::current().metrics().num_alive_tasks();
        let mut world = World::new(&script.setup).await;
        for operation in &script.operations {
            world.perform(operation).await;
        }
        world.end(script.ending).await?;
        let network = world.network.clone();
        timeout(PATIENCE, world.leave()).await.map_err(|_| "servers never go")?;
        until("connections go", || network.connections() == 0).await?;
        until("streams go", || network.open_streams() == 0).await?;
        until("tasks end", || Handle::current().metrics().num_alive_tasks() == tasks).await
    })
}

async fn until(what: &str, mut so: impl FnMut() -> bool) -> Result<(), String> {
    let waiting = async {
        while !so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.map_err(|_| format!("it never comes: {what}"))
}

/// Counts calls that pass interceptors: those that came, that went, and those of which the reply ended.
#[derive(Debug, Clone, Default)]
struct Passes(Arc<[AtomicUsize; 4]>);

const CAME: usize = 0;
const WENT: usize = 1;
const REPLIED: usize = 2;
const ENDED: usize = 3;

/// Counts when it is dropped.
struct Passing(Passes);

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.count(WENT);
    }
}

impl Passes {
    fn count(&self, what: usize) {
        self.0[what].fetch_add(1, Ordering::Relaxed);
    }

    fn interceptor(&self) -> impl Interceptor {
        let passes = self.clone();
        interceptor::from_fn(move |request: Request, next: Next| {
            let passes = passes.clone();
            async move {
                passes.count(CAME);
                let _passing = Passing(passes.clone());
                let reply = next.run(request).await?;
                passes.count(REPLIED);
                Ok(reply.on_end(move || passes.count(ENDED)))
            }
        })
    }

    /// Each call that came has gone, each reply has ended, once.
    fn are_over(&self) -> bool {
        let count = |what: usize| self.0[what].load(Ordering::Relaxed);
        count(CAME) == count(WENT) && count(REPLIED) == count(ENDED)
    }
}

struct World {
    network: Network,
    servers: Vec<(Server, JoinHandle<()>)>,
    line: Line,
    _endpoints: watch::Sender<EndpointSet>,
    service: Service,
    attempts: Vec<Attempt>,
    passes: Passes,
    circumstances: Circumstances,
    lanes: bool,
}

impl World {
    async fn new(setup: &Setup) -> Self {
        let network = Network::with_seed(setup.seed);
        let service = Service::default();
        let passes = Passes::default();
        let limits = Limits::default()
            .with_default_timeout(super::script::DEFAULT_TIMEOUT)
            .with_max_calls_per_connection(setup.max_calls_per_connection)
            .with_lanes(setup.lanes);
        let server = |host: u8| {
            let net = Net::Memory(network.host([10, 0, 0, host]));
            let mut config = net.server().with_limits(limits);
            if let Some((limit, queue)) = setup.admission {
                config = config.with_admission(Admission::fixed(limit).with_queue(queue));
            }
            if setup.interceptors {
                config = config.with_interceptor(passes.interceptor());
            }
            let server = Server::new(config.build().expect("complete")).expect("a free port");
            server.register(ToldServer::new(service.clone())).expect("the first of its name");
            let running = rpcnet_tests::run(&server);
            (server, running)
        };
        let servers: Vec<_> = (1..=if setup.balanced { 2 } else { 1 }).map(server).collect();
        let mut builder = Net::Memory(network.host(HERE)).channel().with_limits(limits);
        if setup.interceptors {
            builder = builder.with_interceptor(passes.interceptor());
        }
        let set: EndpointSet = servers
            .iter()
            .map(|(server, _)| Endpoint::new(server.local_addr().to_string(), server.local_addr()))
            .collect();
        let (endpoints, set) = watch::channel(set);
        let line = if setup.balanced {
            let config = BalancedConfig::default().with_policy(Policy::RoundRobin);
            let channel = BalancedChannel::new(builder, set, config).expect("complete");
            rpcnet_tests::until(|| channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() == 2)
                .await;
            Line::Many(channel)
        } else {
            let address = servers[0].0.local_addr().to_string();
            Line::One(builder.connect(address).await.expect("it listens"))
        };
        network.set_latency(Duration::ZERO..Duration::from_millis(setup.latency));
        Self {
            network,
            servers,
            line,
            _endpoints: endpoints,
            service,
            attempts: Vec::new(),
            passes,
            circumstances: Circumstances { admission: setup.admission.is_some(), ..Circumstances::default() },
            lanes: setup.lanes,
        }
    }

    async fn perform(&mut self, operation: &Operation) {
        let attempts = self.attempts.len();
        match *operation {
            Operation::Start { shape, timeout, item_timeout } => {
                let times = [timeout, item_timeout].map(|millis| millis.map(Duration::from_millis));
                let id = attempts as u64;
                self.attempts.push(Attempt::start(&self.line, &self.service, id, shape, times));
            }
            Operation::Client(call, step) if attempts > 0 => self.attempts[call % attempts].client(step),
            Operation::Handler(call, step) if attempts > 0 => self.attempts[call % attempts].handler(step),
            Operation::Talk { call, items, size } if attempts > 0 => {
                let attempt = &mut self.attempts[call % attempts];
                for _ in 0..items {
                    attempt.client(ClientStep::Say(size));
                    attempt.handler(HandlerStep::Read);
                    attempt.handler(HandlerStep::Say(size));
                    attempt.client(ClientStep::Read(1));
                }
            }
            Operation::Client(..) | Operation::Handler(..) | Operation::Talk { .. } => {}
            Operation::Network(weather) => self.change(weather),
            Operation::Wait(0) => tokio::task::yield_now().await,
            Operation::Wait(millis) => sleep(Duration::from_millis(millis)).await,
            Operation::Drain(server) => {
                self.circumstances.drained = true;
                self.servers[server % self.servers.len()].0.stop_accepting().await;
            }
        }
    }

    fn change(&mut self, weather: Weather) {
        let between = |server: usize| {
            let server = self.servers[server % self.servers.len()].0.local_addr();
            (self.network.between(HERE, server), self.network.between(server, HERE))
        };
        match weather {
            Weather::Cut(server) => between(server).0.cut(),
            Weather::CutThere(server) => between(server).0.cut_one_way(),
            Weather::CutBack(server) => between(server).1.cut_one_way(),
            Weather::Reset(server) => between(server).0.reset_connections(),
            Weather::Heal => return self.network.heal_all(),
            Weather::Latency(millis) => {
                return self.network.set_latency(Duration::ZERO..Duration::from_millis(millis));
            }
            Weather::Loss(per_cent) => return self.network.set_loss(f64::from(per_cent) / 100.0),
        }
        self.disturb();
    }

    fn disturb(&mut self) {
        self.circumstances.disturbed.get_or_insert_with(Instant::now);
    }

    async fn end(&mut self, ending: Ending) -> Result<(), String> {
        self.network.set_loss(0.0);
        if ending != Ending::Cut {
            self.network.heal_all();
        }
        self.circumstances.drained |= ending == Ending::Drain;
        for attempt in &mut self.attempts {
            match ending {
                Ending::Finish | Ending::Drain => {
                    attempt.let_client_finish();
                    attempt.let_handler_finish();
                }
                Ending::GiveUp => attempt.client(ClientStep::GiveUp),
                Ending::Shutdown | Ending::DropServers | Ending::Cut => attempt.let_client_finish(),
            }
        }
        match ending {
            Ending::Finish | Ending::GiveUp => {}
            Ending::Drain => {
                for (server, _) in &self.servers {
                    server.stop_accepting().await;
                }
                for (server, _) in &self.servers {
                    until("calls are finished", || server.in_flight() == 0).await?;
                    server.shutdown().await.expect("no reason to fail");
                }
            }
            Ending::Shutdown => {
                self.disturb();
                for (server, _) in &self.servers {
                    server.shutdown().await.expect("no reason to fail");
                }
            }
            Ending::DropServers => {
                self.disturb();
                for (server, running) in std::mem::take(&mut self.servers) {
                    running.abort();
                    drop(server);
                    let _ = running.await;
                }
            }
            Ending::Cut => {
                self.disturb();
                self.network.around(HERE).cut();
            }
        }
        self.settle(ending).await
    }

    /// Waits until all calls are over on both sides, and looks at each.
    async fn settle(&mut self, ending: Ending) -> Result<(), String> {
        for (id, attempt) in self.attempts.iter_mut().enumerate() {
            for task in attempt.tasks.drain(..1) {
                let ended = timeout(PATIENCE, task).await.map_err(|_| format!("call {id} never ends"))?;
                if let Err(panic) = ended.map_err(|error| error.try_into_panic())
                    && let Ok(panic) = panic
                {
                    std::panic::resume_unwind(panic);
                }
            }
            attempt.let_client_finish();
        }
        for (server, _) in &self.servers {
            until("no call is in flight", || server.in_flight() == 0).await?;
        }
        for (id, attempt) in self.attempts.iter_mut().enumerate() {
            let conversation = attempt.conversation.clone();
            until(&format!("handlers of call {id} are gone"), || {
                let account = conversation.account();
                account.started == account.over
            })
            .await?;
            for task in attempt.tasks.drain(..) {
                let ended = timeout(PATIENCE, task).await;
                ended.map_err(|_| format!("the source of call {id} never ends"))?.expect("no panic");
            }
            attempt.let_handler_finish();
            judge(attempt, &self.circumstances)
                .map_err(|wrong| format!("call {id}: {wrong}: {attempt:?}"))?;
        }
        let passes = self.passes.clone();
        until("what has passed interceptors is over", || passes.are_over()).await?;
        if let Line::Many(channel) = &self.line {
            for endpoint in channel.endpoints() {
                if endpoint.pending > 0 {
                    return Err(format!("{} calls are pending at {}", endpoint.pending, endpoint.addr));
                }
            }
        }
        self.check_metrics()?;
        if matches!(ending, Ending::Finish | Ending::GiveUp) {
            self.goes_on().await?;
        }
        Ok(())
    }

    /// Each handler that was started is counted once, and once that it is over.
    fn check_metrics(&self) -> Result<(), String> {
        if self.servers.is_empty() {
            return Ok(());
        }
        let texts: Vec<_> = self.servers.iter().map(|(server, _)| server.metrics().render()).collect();
        let sum = |name: &str| -> f64 {
            let lines = texts.iter().flat_map(|text| text.lines());
            let told = lines.filter(|line| line.starts_with(name) && line.contains("test.v1.Told"));
            told.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let started: usize = self.attempts.iter().map(|attempt| attempt.conversation.account().started).sum();
        let counted = [sum("rpc_requests_total{"), sum("rpc_latency_seconds_count{")];
        if counted != [started as f64; 2] {
            return Err(format!("{started} handlers were started, {counted:?} counted"));
        }
        Ok(())
    }

    /// After all of that a call is made as if it had been the first.
    async fn goes_on(&self) -> Result<(), String> {
        let Circumstances { disturbed, drained, .. } = self.circumstances;
        if drained {
            return Ok(());
        }
        let client = ToldClient::new(self.line.clone());
        let first = self.attempts.len() as u64;
        for id in first.. {
            let _ = self.service.expect(id);
            match timeout(PATIENCE, client.unary(id)).await {
                Ok(Ok(value)) if value == 1000 * id => break,
                Ok(Err(CallError::Status(_))) if disturbed.is_some() && id < first + 100 => {
                    sleep(Duration::from_millis(500)).await;
                }
                other => return Err(format!("a further call came to {other:?}")),
            }
        }
        // A control stream each way, and a lane.
        let each = if self.lanes { 3 } else { 2 };
        until("only control streams and lanes are open", || {
            self.network.open_streams() <= each * self.network.connections()
        })
        .await
    }

    /// Everybody goes.
    async fn leave(self) {
        drop(self.line);
        for (server, running) in self.servers {
            server.shutdown().await.expect("no reason to fail");
            running.await.expect("no panic");
        }
    }
}
