//! The state of one endpoint of a balanced channel.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tracing::info;

use super::stats::EndpointStats;
use crate::{
    Code, Status,
    balance::{CallOutcome, Detector, Ejected, Outlier, PeakEwma, TrialState},
    connect::{Closing, ConnectionPool, Dialer, Target},
    discover::{Endpoint, ServiceSet, Standing},
    hash::service_id,
    lock::Mutex,
    session::Session,
};

/// The time constant of the latency average: a sample keeps 1/e of its weight after this time.
const DECAY: Duration = Duration::from_secs(10);
/// The latency that is assumed for an endpoint that was never called.
const ASSUMED: Duration = Duration::from_millis(1);
/// The factor on the weight of a suspect endpoint.
const SUSPECT: f64 = 0.1;
/// The time for which an endpoint's report of its load counts.
const HINT: Duration = Duration::from_secs(1);
/// The number of calls in flight below which picking skips the check for a pile-up.
const FEW: usize = 8;
/// The tag with an endpoint's weight.
const WEIGHT: &str = "weight";
const HEAVIEST: f64 = 1000.0;

/// An endpoint, its connections, and the statistics of calls there.
#[derive(Debug)]
pub(super) struct EndpointState {
    id: Arc<str>,
    addr: SocketAddr,
    /// The endpoint's tags as last announced. They may change while it stays the same endpoint.
    tags: ArcSwap<BTreeMap<String, String>>,
    /// The bits of an `f64`.
    weight: AtomicU64,
    standing: AtomicU8,
    /// The services that it serves. `None` if it may serve any.
    services: ArcSwap<Option<ServiceSet>>,
    /// The hashes of the names of services that should get no calls there. Read only if `serves_all` is
    /// false.
    not_serving: ArcSwap<Vec<u64>>,
    serves_all: AtomicBool,
    pub(super) pool: ConnectionPool,
    pending: AtomicUsize,
    record: Mutex<CallRecord>,
    outlier: Mutex<Outlier>,
    /// Set once the endpoint was ejected for the first time. Until then its outlier state need not be locked.
    was_ejected: AtomicBool,
    common: Arc<SharedCounts>,
    calls: AtomicU64,
    failures: AtomicU64,
    /// Nanoseconds since `since`, plus one; zero for never.
    first_pick: AtomicU64,
    last_pick: AtomicU64,
    since: (Instant, SystemTime),
}

/// Counts that the members of a channel share.
#[derive(Debug)]
pub(super) struct SharedCounts {
    pub(super) detector: Detector,
    /// Set if the policy needs the count of calls in flight at all members together.
    pub(super) counts: bool,
    pub(super) pending: AtomicUsize,
}

/// The measurements of calls at an endpoint.
#[derive(Debug)]
pub(super) struct CallRecord {
    latency: PeakEwma,
    /// Calls of other clients in flight there, by the endpoint's own report, and the time of the report.
    others: Option<(u64, Instant)>,
}

impl EndpointState {
    pub(super) fn start(
        dialer: &Arc<Dialer>,
        closing: &Closing,
        common: &Arc<SharedCounts>,
        endpoint: &Endpoint,
    ) -> Arc<Self> {
        let now = Instant::now();
        let member = Self {
            id: endpoint.id().clone(),
            addr: endpoint.addr(),
            pool: ConnectionPool::start(dialer.clone(), Target::of(endpoint), closing.below()),
            tags: ArcSwap::from_pointee(endpoint.tags().clone()),
            weight: AtomicU64::new(0),
            standing: AtomicU8::new(0),
            services: ArcSwap::default(),
            not_serving: ArcSwap::default(),
            serves_all: AtomicBool::new(true),
            pending: AtomicUsize::new(0),
            record: Mutex::new(CallRecord {
                latency: PeakEwma::new(now.into_std(), ASSUMED, DECAY),
                others: None,
            }),
            outlier: Mutex::new(Outlier::new(now.into_std())),
            was_ejected: AtomicBool::new(false),
            common: common.clone(),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            first_pick: AtomicU64::new(0),
            last_pick: AtomicU64::new(0),
            since: (now, SystemTime::now()),
        };
        member.update_from(endpoint);
        Arc::new(member)
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn tags(&self) -> Arc<BTreeMap<String, String>> {
        self.tags.load_full()
    }

    pub(super) fn is(&self, endpoint: &Endpoint) -> bool {
        self.id == *endpoint.id() && self.addr == endpoint.addr()
    }

    /// Takes over what the source of the set announces about the endpoint. Returns true if its services have
    /// changed.
    pub(super) fn update_from(&self, endpoint: &Endpoint) -> bool {
        if **self.tags.load() != *endpoint.tags() {
            self.tags.store(Arc::new(endpoint.tags().clone()));
        }
        let weight = endpoint.tags().get(WEIGHT).and_then(|weight| weight.parse::<f64>().ok());
        let weight = weight.filter(|weight| weight.is_finite()).unwrap_or(1.0).clamp(0.0, HEAVIEST);
        self.weight.store(weight.to_bits(), Ordering::Relaxed);
        self.standing.store(endpoint.standing() as u8, Ordering::Relaxed);
        let other_services = self.services.load().as_ref().as_ref() != endpoint.services();
        if other_services {
            self.services.store(Arc::new(endpoint.services().cloned()));
        }
        let not_serving = endpoint.not_serving().iter().map(|service| service_id(service));
        self.not_serving.store(Arc::new(not_serving.collect()));
        self.serves_all.store(endpoint.not_serving().is_empty(), Ordering::Relaxed);
        other_services
    }

    fn is_standing(&self, standing: Standing) -> bool {
        self.standing.load(Ordering::Relaxed) == standing as u8
    }

    /// Returns true if the announced standing is that it should get no new calls.
    pub(super) fn is_away(&self) -> bool {
        self.is_standing(Standing::Away)
    }

    /// The services that it serves, as last announced. `None` if it may serve any.
    pub(super) fn services(&self) -> Option<ServiceSet> {
        self.services.load().as_ref().clone()
    }

    /// Returns true if it may serve the service, or if the call's service is not known.
    pub(super) fn has_service(&self, service: Option<u64>) -> bool {
        let services = self.services.load();
        service.is_none_or(|service| {
            services.as_ref().as_ref().is_none_or(|services| services.contains_id(service))
        })
    }

    /// Returns false if the service was taken out of service there.
    pub(super) fn serves(&self, service: Option<u64>) -> bool {
        self.serves_all.load(Ordering::Relaxed)
            || service.is_none_or(|service| !self.not_serving.load().contains(&service))
    }

    /// Returns true if a call that was tried on the sessions in `tried` may be sent there.
    pub(super) fn is_untried(&self, tried: &[Session]) -> bool {
        !self.is_away()
            && if tried.is_empty() { self.pool.is_ready() } else { self.pool.ready_but(tried).is_some() }
    }

    /// The session for a call that was tried on the sessions in `tried`. As far as is known, it leads to a
    /// process at which the call was not tried.
    pub(super) fn untried(&self, tried: &[Session]) -> Option<Session> {
        match tried {
            [] if self.pending() < FEW => self.pool.ready_for_few(),
            [] => self.pool.ready(),
            tried => self.pool.ready_but(tried),
        }
    }

    /// Returns true unless the endpoint is ejected and not due for a trial.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.common.detector.ejected() == 0 || self.outlier().admits(now.into_std()) != TrialState::No
    }

    /// Begins a call there. Returns false if the endpoint is ejected and another call was faster to claim the
    /// trial that tests whether the endpoint has recovered.
    pub(super) fn begin(&self, now: Instant) -> bool {
        self.common.detector.ejected() == 0 || self.outlier().begin(now.into_std())
    }

    pub(super) fn outlier(&self) -> MutexGuard<'_, Outlier> {
        self.outlier.lock()
    }

    /// Records that the endpoint is ejected.
    pub(super) fn eject(&self, ejected: Ejected) {
        self.was_ejected.store(true, Ordering::Relaxed);
        let now = Instant::now().into_std();
        // The ejection has dealt with the measured failures. If they still counted, picking would never
        // choose this endpoint for its trial.
        let mut record = self.record();
        let assumed = record.latency.latency();
        record.latency.forgive(now, assumed);
        drop(record);
        let time = ejected.until.saturating_duration_since(now);
        info!(id = %self.id, addr = %self.addr, cause = ?ejected.cause, ?time, "endpoint ejected: calls there fail");
    }

    /// The cost of one more call there.
    pub(super) fn cost(&self, now: Instant) -> f64 {
        let record = self.record();
        let others = match record.others {
            Some((others, heard)) if now.saturating_duration_since(heard) < HINT => others,
            _ => 0,
        };
        let pending = self.pending() + usize::try_from(others).unwrap_or(usize::MAX >> 1);
        record.latency.load(now.into_std(), pending)
    }

    pub(super) fn weight(&self, now: Instant) -> f64 {
        let own = f64::from_bits(self.weight.load(Ordering::Relaxed));
        let suspect = if self.is_standing(Standing::Suspect) { SUSPECT } else { 1.0 };
        let back = if self.was_ejected.load(Ordering::Relaxed) {
            self.outlier().weight(now.into_std())
        } else {
            1.0
        };
        own * suspect * back
    }

    /// The endpoint's own weight under [`Policy::Weighted`](crate::balance::Policy::Weighted), without
    /// reductions for suspicion or recovery.
    pub(super) fn full_weight(&self) -> f64 {
        f64::from_bits(self.weight.load(Ordering::Relaxed))
    }

    /// Resets the expected latency after a connection was made, from the path's figures and from the handling
    /// time at other endpoints.
    pub(super) fn connected(&self, session: &Session, handling: Duration) {
        let path = session.connection().stats();
        let loss = path.lost_packets as f64 / path.sent_packets.max(1) as f64;
        let assumed = PeakEwma::assumed(path.rtt, loss, handling);
        self.record().latency.forgive(Instant::now().into_std(), assumed);
    }

    /// The latency of its answers; `None` if there were none.
    pub(super) fn latency(&self) -> Option<Duration> {
        (self.calls.load(Ordering::Relaxed) > 0).then(|| self.record().latency.latency())
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    fn record(&self) -> MutexGuard<'_, CallRecord> {
        self.record.lock()
    }

    pub(super) fn picked(self: &Arc<Self>, session: Session, now: Instant) -> InFlight {
        self.pending.fetch_add(1, Ordering::Relaxed);
        if self.common.counts {
            self.common.pending.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = now.saturating_duration_since(self.since.0).as_nanos() as u64 + 1;
        self.last_pick.store(nanos, Ordering::Relaxed);
        if self.first_pick.load(Ordering::Relaxed) == 0 {
            let _ = self.first_pick.compare_exchange(0, nanos, Ordering::Relaxed, Ordering::Relaxed);
        }
        InFlight { member: self.clone(), session, since: now, state: FlightState::InFlight }
    }

    pub(super) fn stats(&self, now: Instant) -> EndpointStats {
        let standing = [Standing::Ready, Standing::Suspect, Standing::Away]
            .into_iter()
            .find(|standing| self.is_standing(*standing));
        EndpointStats {
            id: self.id.clone(),
            addr: self.addr,
            tags: BTreeMap::clone(&self.tags.load()),
            services: self.services(),
            standing: standing.unwrap_or_default(),
            ready: self.is_untried(&[]),
            connections: self.pool.count_ready(),
            failure: self.pool.failure(),
            ejected: !self.admits(now),
            pending: self.pending(),
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            first_pick: self.time(&self.first_pick),
            last_pick: self.time(&self.last_pick),
        }
    }

    fn time(&self, pick: &AtomicU64) -> Option<SystemTime> {
        let nanos = pick.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.since.1 + Duration::from_nanos(nanos))
    }
}

/// A call that was picked for an endpoint. It counts as pending until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) member: Arc<EndpointState>,
    pub(super) session: Session,
    since: Instant,
    state: FlightState,
}

/// The effect of a call's end on the cost estimate of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CostSample {
    /// The latency is recorded.
    Latency,
    /// A failure is recorded.
    Failure,
    /// Nothing is recorded.
    Nothing,
}

#[derive(Debug, PartialEq, Eq)]
enum FlightState {
    /// Nothing has been sent yet.
    InFlight,
    Sent,
    Ended,
}

impl InFlight {
    /// Marks the call as sent.
    pub(super) fn mark_sent(mut self) -> Self {
        self.state = FlightState::Sent;
        self.member.record().latency.begin(self.since.into_std());
        self
    }

    /// Records an answer and returns its latency. `load` is the number of calls in flight that the endpoint
    /// has reported.
    pub(super) fn record_answer(&mut self, load: Option<u64>) -> Duration {
        let latency = self.record_end(CallOutcome::Success, CostSample::Latency);
        if let Some(load) = load {
            // The report includes our own calls.
            let others = load.saturating_sub(self.member.pending() as u64);
            self.member.record().others = Some((others, Instant::now()));
        }
        latency
    }

    /// Records a failure.
    pub(super) fn record_failure(&mut self, status: &Status) {
        let (outcome, sample) = match status.code() {
            // The endpoint does not have the service, or not yet. That is not a failure, and the time of the
            // answer says nothing about latency.
            Code::Unimplemented if !status.maybe_executed() => (CallOutcome::Unknown, CostSample::Nothing),
            // A status that a relay hands on says nothing about the relay. Neither does the time that a
            // server behind it takes.
            code if self.session.is_relayed()
                && (status.is_handed_on() || code == Code::DeadlineExceeded) =>
            {
                (CallOutcome::Unknown, CostSample::Latency)
            }
            // An endpoint that drains or is full says so itself. That is no reason to eject it for longer
            // than it asks.
            Code::Unavailable if !status.maybe_executed() => (CallOutcome::Unknown, CostSample::Failure),
            Code::ResourceExhausted => (CallOutcome::Unknown, CostSample::Failure),
            Code::DeadlineExceeded => (CallOutcome::Timeout, CostSample::Failure),
            Code::Unavailable | Code::Internal | Code::DataLoss => {
                (CallOutcome::Failure, CostSample::Failure)
            }
            // The status is about the call, not about the endpoint.
            _ => (CallOutcome::Success, CostSample::Latency),
        };
        if sample == CostSample::Failure {
            self.member.failures.fetch_add(1, Ordering::Relaxed);
        }
        self.record_end(outcome, sample);
    }

    fn record_end(&mut self, outcome: CallOutcome, sample: CostSample) -> Duration {
        self.state = FlightState::Ended;
        self.member.calls.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let latency = now.saturating_duration_since(self.since);
        match sample {
            CostSample::Latency => self.member.record().latency.observe(now.into_std(), latency),
            CostSample::Failure => self.member.record().latency.fail(now.into_std(), latency),
            CostSample::Nothing => self.member.record().latency.give_up(now.into_std(), Duration::ZERO),
        }
        let (began, detector) = (self.since.into_std(), &self.member.common.detector);
        let ejected =
            self.member.outlier().observe(detector, began, now.into_std(), outcome, &mut rand::rng());
        if let Some(ejected) = ejected {
            self.member.eject(ejected);
        }
        latency
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.member.pending.fetch_sub(1, Ordering::Relaxed);
        if self.member.common.counts {
            self.member.common.pending.fetch_sub(1, Ordering::Relaxed);
        }
        if self.state == FlightState::Ended {
            return;
        }
        let now = Instant::now();
        if self.state == FlightState::Sent {
            // Another attempt was faster, or the caller has gone.
            let after = now.saturating_duration_since(self.since);
            self.member.record().latency.give_up(now.into_std(), after);
        }
        if self.member.was_ejected.load(Ordering::Relaxed) {
            // This call may have been the trial, even if it was never sent. Release the trial for another
            // call.
            let (began, detector) = (self.since.into_std(), &self.member.common.detector);
            let (outcome, rng) = (CallOutcome::Unknown, &mut rand::rng());
            self.member.outlier().observe(detector, began, now.into_std(), outcome, rng);
        }
    }
}
