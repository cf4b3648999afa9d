//! Workers and clients under virtual time: open loop, and each client with its own picker and estimates.

use std::{
    cell::{Ref, RefCell, RefMut},
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::balance::*;

/// The behaviour of a worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mode {
    /// Serves each call in this time.
    Serves(Duration),
    /// Fails calls at once.
    Fails,
    /// Fails this share of the calls, serves the others within 2 ms.
    Flaky(f64),
    /// Never answers. Accepted calls are answered once the worker serves again.
    Hangs,
}

pub(super) const FAST: Mode = Mode::Serves(Duration::from_millis(2));
pub(super) const SLOW: Mode = Mode::Serves(Duration::from_millis(20));

#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) policy: Policy,
    pub(super) clients: usize,
    /// Calls per second of all clients together.
    pub(super) rate: f64,
    /// The number of calls that a worker serves at a time; others wait.
    pub(super) slots: usize,
    /// The share of calls that take up to 50 ms longer at random.
    pub(super) stutter: f64,
    /// The part of every 100 ms in which clients do nothing, as if another process had their processor.
    pub(super) stalls: Duration,
    pub(super) deadline: Duration,
    pub(super) outliers: OutlierConfig,
    pub(super) hash: HashOptions,
    pub(super) seed: u64,
}

impl Default for Setting {
    /// A load of 30 % on four workers that take 2 ms.
    fn default() -> Self {
        Self {
            policy: Policy::PeakEwma,
            clients: 1,
            rate: 600.0,
            slots: 1,
            stutter: 0.0,
            stalls: Duration::ZERO,
            deadline: Duration::from_secs(2),
            outliers: OutlierConfig::off(),
            hash: HashOptions::default(),
            seed: 7,
        }
    }
}

/// The results of a stretch of time.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The number of calls that were sent to each worker.
    pub(super) sent: Vec<usize>,
    /// The latencies of answered calls, sorted.
    pub(super) latencies: Vec<Duration>,
    pub(super) failures: usize,
    /// The number of calls for which no worker was found.
    pub(super) nowhere: usize,
}

impl Seen {
    pub(super) fn share(&self, worker: usize) -> f64 {
        self.sent[worker] as f64 / self.sent.iter().sum::<usize>().max(1) as f64
    }

    pub(super) fn percentile(&self, share: f64) -> Duration {
        self.latencies[((self.latencies.len() - 1) as f64 * share) as usize]
    }
}

#[derive(Debug)]
struct Worker {
    id: String,
    mode: Mode,
    weight: f64,
    present: bool,
    free: BinaryHeap<Reverse<Instant>>,
    /// Calls that were accepted and not answered.
    stuck: Vec<Call>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    client: usize,
    worker: usize,
    began: Instant,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives { client: usize },
    Ends { call: Call, failed: bool },
    Expires { call: Call },
    Sweeps { client: usize },
}

#[derive(Debug)]
struct Known {
    latency: PeakEwma,
    pending: usize,
    outlier: Outlier,
}

#[derive(Debug)]
struct Client {
    picker: Picker,
    layout: Layout,
    known: Vec<RefCell<Known>>,
    /// The worker of each endpoint.
    workers: Vec<usize>,
    weights: Vec<f64>,
    detector: Detector,
}

struct View<'a> {
    client: &'a Client,
    now: Instant,
}

impl View<'_> {
    fn known(&self, index: usize) -> Ref<'_, Known> {
        self.client.known[index].borrow()
    }
}

impl Candidates for View<'_> {
    fn len(&self) -> usize {
        self.client.known.len()
    }

    fn cost(&self, index: usize) -> Option<f64> {
        let known = self.known(index);
        self.takes_calls(index).then(|| known.latency.load(self.now, known.pending))
    }

    fn takes_calls(&self, index: usize) -> bool {
        self.known(index).outlier.admits(self.now) != TrialState::No
    }

    fn pending(&self, index: usize) -> usize {
        self.known(index).pending
    }

    fn weight(&self, index: usize) -> f64 {
        self.known(index).outlier.weight(self.now) * self.client.weights[index]
    }
}

pub(super) struct World {
    setting: Setting,
    began: Instant,
    now: Instant,
    workers: Vec<Worker>,
    clients: Vec<Client>,
    queue: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    numbers: u64,
    rng: StdRng,
    seen: Seen,
    /// Calls whose end was reported.
    over: HashSet<u64>,
    /// The largest ratio of an endpoint's calls in flight at one client to the bound of consistent hash.
    pub(super) fullest: f64,
}

impl World {
    pub(super) fn new(modes: &[Mode], setting: Setting) -> Self {
        let now = tokio::time::Instant::now().into_std();
        let mut world = Self {
            began: now,
            now,
            workers: Vec::new(),
            clients: Vec::new(),
            queue: BinaryHeap::new(),
            numbers: 0,
            rng: StdRng::seed_from_u64(setting.seed),
            seen: Seen::default(),
            over: HashSet::new(),
            fullest: 0.0,
            setting,
        };
        for mode in modes {
            world.push_worker(*mode, 1.0);
        }
        for index in 0..world.setting.clients {
            let client = Client {
                picker: Picker::new(world.setting.policy),
                layout: Layout::default(),
                known: Vec::new(),
                workers: Vec::new(),
                weights: Vec::new(),
                detector: Detector::new(world.setting.outliers.clone()),
            };
            world.clients.push(client);
            world.arrange(index);
            world.next_arrival(index);
            world.schedule(now, Event::Sweeps { client: index });
        }
        world
    }

    fn push_worker(&mut self, mode: Mode, weight: f64) {
        self.workers.push(Worker {
            id: format!("worker-{}", self.workers.len()),
            mode,
            weight,
            present: true,
            free: (0..self.setting.slots).map(|_| Reverse(self.now)).collect(),
            stuck: Vec::new(),
        });
    }

    pub(super) fn add(&mut self, mode: Mode) {
        self.push_worker(mode, 1.0);
        (0..self.clients.len()).for_each(|client| self.arrange(client));
    }

    pub(super) fn remove(&mut self, worker: usize) {
        self.workers[worker].present = false;
        (0..self.clients.len()).for_each(|client| self.arrange(client));
    }

    pub(super) fn weigh(&mut self, weights: &[f64]) {
        for (worker, weight) in self.workers.iter_mut().zip(weights) {
            worker.weight = *weight;
        }
        (0..self.clients.len()).for_each(|client| self.arrange(client));
    }

    /// Updates a client to the current set of workers. It keeps its state of those that stay.
    fn arrange(&mut self, index: usize) {
        let now = self.now;
        let client = &mut self.clients[index];
        let present = |worker: &usize| self.workers[*worker].present;
        let workers: Vec<usize> = (0..self.workers.len()).filter(present).collect();
        let mut before: Vec<_> =
            std::mem::take(&mut client.workers).into_iter().zip(client.known.drain(..)).collect();
        // The assumption for a new worker: a path of 0.2 ms, and the other workers' latency.
        let known: Vec<_> = before.iter().map(|(_, known)| known.borrow().latency.latency()).collect();
        let handling = known.iter().sum::<Duration>() / known.len().max(1) as u32;
        let assumed = PeakEwma::assumed(Duration::from_micros(200), 0.0, handling);
        client.known = workers
            .iter()
            .map(|worker| {
                let place = before.iter().position(|(other, _)| other == worker);
                place.map(|place| before.swap_remove(place).1).unwrap_or_else(|| {
                    RefCell::new(Known {
                        latency: PeakEwma::new(now, assumed, Duration::from_secs(10)),
                        pending: 0,
                        outlier: Outlier::new(now),
                    })
                })
            })
            .collect();
        client.weights = workers.iter().map(|worker| self.workers[*worker].weight).collect();
        client.detector.has_endpoints(workers.len());
        let ids = workers.iter().map(|worker| &*self.workers[*worker].id);
        client.layout = Layout::new(self.setting.policy, ids, &self.setting.hash)
            .with_weights(client.weights.iter().copied());
        client.workers = workers;
    }

    pub(super) fn turn(&mut self, worker: usize, mode: Mode) {
        self.workers[worker].mode = mode;
        for call in std::mem::take(&mut self.workers[worker].stuck) {
            self.serve(call);
        }
    }

    /// Runs for this time and returns the results.
    pub(super) fn run(&mut self, lasts: Duration) -> Seen {
        let until = self.now + lasts;
        self.seen = Seen { sent: vec![0; self.workers.len()], ..Seen::default() };
        while let Some(Reverse((at, ..))) = self.queue.peek()
            && *at <= until
        {
            let Reverse((at, _, event)) = self.queue.pop().expect("it was peeked at");
            self.now = at;
            match event {
                Event::Arrives { client } => {
                    self.next_arrival(client);
                    self.send(client);
                }
                Event::Ends { call, failed: false } => self.end(call, CallOutcome::Success),
                Event::Ends { call, failed: true } => self.end(call, CallOutcome::Failure),
                Event::Expires { call } => self.end(call, CallOutcome::Timeout),
                Event::Sweeps { client } => {
                    self.schedule(at + Duration::from_millis(250), event);
                    let Client { detector, known, .. } = &self.clients[client];
                    let lock =
                        |index: usize| RefMut::map(known[index].borrow_mut(), |known| &mut known.outlier);
                    let out = detector.sweep(at, known.len(), lock, &mut self.rng);
                    for (index, _) in out {
                        self.forgive(client, index);
                    }
                }
            }
        }
        self.now = until;
        let mut seen = std::mem::take(&mut self.seen);
        seen.latencies.sort_unstable();
        seen
    }

    fn schedule(&mut self, mut at: Instant, event: Event) {
        const EVERY: Duration = Duration::from_millis(100);
        self.numbers += 1;
        let into = Duration::from_nanos(((at - self.began).as_nanos() % EVERY.as_nanos()) as u64);
        at += self.setting.stalls.saturating_sub(into);
        self.queue.push(Reverse((at, self.numbers, event)));
    }

    fn next_arrival(&mut self, client: usize) {
        let rate = self.setting.rate / self.clients.len().max(self.setting.clients) as f64;
        let gap = -(1.0 - self.rng.random::<f64>()).ln() / rate;
        self.schedule(self.now + Duration::from_secs_f64(gap), Event::Arrives { client });
    }

    fn send(&mut self, index: usize) {
        let client = &self.clients[index];
        let view = View { client, now: self.now };
        let key = self.rng.random_range(0..1000);
        let Some(picked) = client.picker.pick(&client.layout, &view, Some(key), &mut self.rng) else {
            self.seen.nowhere += 1;
            return;
        };
        let pending: usize = client.known.iter().map(|known| known.borrow().pending).sum();
        let mut known = client.known[picked].borrow_mut();
        assert!(known.outlier.begin(self.now), "nobody else picks at this moment");
        known.pending += 1;
        known.latency.begin(self.now);
        let bound = (1.25 * (pending + 1) as f64 / client.known.len() as f64).ceil();
        self.fullest = self.fullest.max(known.pending as f64 / bound);
        drop(known);
        let worker = client.workers[picked];
        self.seen.sent[worker] += 1;
        self.numbers += 1;
        let call = Call { client: index, worker, began: self.now, number: self.numbers };
        self.schedule(self.now + self.setting.deadline, Event::Expires { call });
        self.serve(call);
    }

    fn serve(&mut self, call: Call) {
        let path = Duration::from_micros(200);
        let failed = match self.workers[call.worker].mode {
            Mode::Fails => true,
            Mode::Flaky(share) => self.rng.random::<f64>() < share,
            Mode::Serves(_) | Mode::Hangs => false,
        };
        let service = match self.workers[call.worker].mode {
            Mode::Hangs => return self.workers[call.worker].stuck.push(call),
            _ if failed => Duration::ZERO,
            Mode::Serves(service) => service,
            _ => Duration::from_millis(2),
        };
        let mut service = service.mul_f64(self.rng.random_range(0.9..1.1));
        if self.rng.random::<f64>() < self.setting.stutter {
            service += Duration::from_millis(50).mul_f64(self.rng.random());
        }
        let free = &mut self.workers[call.worker].free;
        let Reverse(begins) = free.pop().expect("as many as at first");
        let done = begins.max(self.now + path / 2) + service;
        free.push(Reverse(done));
        self.schedule(done + path / 2, Event::Ends { call, failed });
    }

    fn end(&mut self, call: Call, outcome: CallOutcome) {
        // Each call ends twice, by its answer and by its deadline.
        if self.over.remove(&call.number) {
            return;
        }
        self.over.insert(call.number);
        let took = self.now - call.began;
        match outcome {
            CallOutcome::Success => self.seen.latencies.push(took),
            _ => self.seen.failures += 1,
        }
        let Client { known, workers, detector, .. } = &self.clients[call.client];
        let Some(index) = workers.iter().position(|worker| *worker == call.worker) else { return };
        let mut known = known[index].borrow_mut();
        known.pending -= 1;
        match outcome {
            CallOutcome::Success => known.latency.observe(self.now, took),
            _ => known.latency.fail(self.now, took),
        }
        let out = known.outlier.observe(detector, call.began, self.now, outcome, &mut self.rng);
        drop(known);
        if out.is_some() {
            self.forgive(call.client, index);
        }
    }

    /// Resets the estimate of an ejected endpoint: the ejection has dealt with its faults.
    fn forgive(&mut self, client: usize, index: usize) {
        let known = &self.clients[client].known;
        let mean =
            known.iter().map(|known| known.borrow().latency.latency()).sum::<Duration>() / known.len() as u32;
        known[index].borrow_mut().latency.forgive(self.now, mean);
    }
}
