//! The services of a node: methods by id, and the number of calls that run.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Dispatch;
#[cfg(feature = "reflect")]
use crate::ServiceDescriptor;
use crate::{
    Method, RegisterError, Service,
    codec::Flaw,
    discover::ServiceSet,
    hash::IdMap,
    interceptor::{Chain, Next},
    limit::Gate,
    metrics::{MethodMetrics, Metrics},
};

/// The services of a node. Shared by all its sessions; services may be added while they run.
#[derive(Debug, Default)]
pub(crate) struct Router {
    methods: ArcSwap<IdMap<Entry>>,
    /// Fingerprints of methods that were called from here, by their addresses.
    called: ArcSwap<IdMap<u64>>,
    /// The user's services.
    services: watch::Sender<ServiceSet>,
    metrics: Metrics,
    /// Interceptors around each handler.
    interceptors: Option<Next>,
    draining: AtomicBool,
    drained: CancellationToken,
    cut: CancellationToken,
    in_flight: AtomicUsize,
    /// Calls that run and are no load: they only watch.
    background: AtomicUsize,
    /// Load that shows in no call, as the user has reported it.
    reported: AtomicU64,
    idle: Notify,
    gate: Option<Gate>,
}

/// A method that is served here. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Entry(Arc<RegisteredMethod>);

impl std::ops::Deref for Entry {
    type Target = RegisteredMethod;

    fn deref(&self) -> &RegisteredMethod {
        &self.0
    }
}

pub(crate) struct RegisteredMethod {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) index: usize,
    pub(crate) method: &'static Method,
    pub(crate) metrics: MethodMetrics,
    /// The fingerprint that callers must have too.
    pub(crate) fingerprint: u64,
    /// Of a service of this crate's family, which watches over the others: it is never refused for want of room.
    pub(crate) internal: bool,
    /// It stands for all methods, and hands their calls on.
    pub(crate) forwards: bool,
}

impl From<RegisteredMethod> for Entry {
    fn from(served: RegisteredMethod) -> Self {
        Self(Arc::new(served))
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.method)
    }
}

impl Router {
    pub(crate) fn new(metrics: Metrics, interceptors: &Chain) -> Self {
        Self { metrics, interceptors: interceptors.around(Dispatch), ..Self::default() }
    }

    pub(crate) fn interceptors(&self) -> Option<&Next> {
        self.interceptors.as_ref()
    }

    /// The fingerprint of a method that is called from here. Computed once, as that takes long.
    pub(crate) fn fingerprint(&self, method: &'static Method) -> u64 {
        if let Some(&known) = self.called.load().get(&(method.address() as u64)) {
            return known;
        }
        let fingerprint = method.fingerprint();
        self.called.rcu(|called| {
            let mut called = IdMap::clone(called);
            called.insert(method.address() as u64, fingerprint);
            called
        });
        fingerprint
    }

    /// The ids of all methods with their fingerprints.
    pub(crate) fn schema(&self) -> Vec<(u64, u64)> {
        self.methods.load().iter().map(|(id, entry)| (*id, entry.fingerprint)).collect()
    }

    /// Limits how many calls run to those that the gate admits.
    pub(crate) fn with_gate(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }

    /// The gate at which calls ask for their turn; `None` if any number may run.
    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Adds a service: all of its methods or none.
    pub(crate) fn register(&self, service: Arc<dyn Service>) -> Result<(), RegisterError> {
        let descriptor = service.descriptor();
        let mut result = Ok(());
        self.methods.rcu(|methods| {
            let mut methods = IdMap::clone(methods);
            result = add(&mut methods, &service, &self.metrics);
            methods
        });
        if result.is_ok() {
            self.services.send_if_modified(|services| {
                // Read within the lock: a registration that is made at the same time must not be lost.
                let now = self.user_services();
                let changed = *services != now;
                *services = now;
                changed
            });
            tracing::debug!(
                service = descriptor.name,
                methods = descriptor.methods.len(),
                "service registered"
            );
        }
        result
    }

    pub(crate) fn find(&self, id: u64) -> Option<Entry> {
        self.methods.load().get(&id).cloned()
    }

    /// All services, sorted by their names.
    #[cfg(feature = "reflect")]
    pub(crate) fn descriptors(&self) -> Vec<&'static ServiceDescriptor> {
        let mut all: Vec<_> = self.methods.load().values().map(|entry| entry.service.descriptor()).collect();
        all.sort_unstable_by_key(|descriptor| descriptor.name);
        all.dedup_by_key(|descriptor| descriptor.name);
        all
    }

    /// Subscribes to the set of the user's services.
    pub(crate) fn watch_services(&self) -> watch::Receiver<ServiceSet> {
        self.services.subscribe()
    }

    fn user_services(&self) -> ServiceSet {
        let methods = self.methods.load();
        let users = methods.values().filter(|entry| !entry.internal);
        ServiceSet::from_ids(users.map(|entry| entry.method.service_id()))
    }

    /// Returns whether there are services that are not of this crate's family.
    pub(crate) fn serves_users(&self) -> bool {
        self.methods.load().values().any(|entry| !entry.internal)
    }

    /// The names of all services, sorted.
    pub(crate) fn services(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.methods.load().values().map(|entry| entry.method.service()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Refuses all calls from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.drained.cancel();
    }

    /// Resolves once no call is taken any more. Cancel-safe.
    pub(crate) async fn drained(&self) {
        self.drained.cancelled().await;
    }

    /// Ends the calls that are at work: their callers get `Unavailable`.
    pub(crate) fn cut_off(&self) {
        self.cut.cancel();
    }

    /// Resolves once calls at work are to end. Cancel-safe.
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Counts a call, unless none is taken any more.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<CallGuard> {
        // Counted first, then looked: whoever drains and then sees zero can be sure that nobody gets in after.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let guard = CallGuard(self.clone());
        if self.is_draining() { None } else { Some(guard) }
    }

    /// The number of calls that run, without those that only watch: a server that drains need not wait for these.
    pub(crate) fn in_flight(&self) -> usize {
        let watching = self.background.load(Ordering::SeqCst);
        self.in_flight.load(Ordering::SeqCst).saturating_sub(watching)
    }

    /// The load that replies report: calls that run, and the load that was reported. `None` if there is only the one
    /// that is answered.
    pub(crate) fn load(&self) -> Option<u64> {
        let at_work = self.in_flight() as u64;
        let load = at_work.saturating_add(self.reported.load(Ordering::Relaxed));
        (load > 1).then_some(load)
    }

    /// Sets the load that shows in no call; its unit is one call.
    pub(crate) fn report_load(&self, calls: u64) {
        self.reported.store(calls, Ordering::Relaxed);
    }

    /// Counts a call as no load until the guard is dropped.
    pub(crate) fn background(self: &Arc<Self>) -> Background {
        self.background.fetch_add(1, Ordering::SeqCst);
        if self.in_flight() == 0 {
            self.idle.notify_waiters();
        }
        Background(self.clone())
    }

    /// Waits until no call is at work. Cancel-safe.
    pub(crate) async fn wait_idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }
}

fn add(
    methods: &mut IdMap<Entry>,
    service: &Arc<dyn Service>,
    metrics: &Metrics,
) -> Result<(), RegisterError> {
    let descriptor = service.descriptor();
    if methods.values().any(|entry| entry.method.service() == descriptor.name) {
        return Err(RegisterError::Service(descriptor.name));
    }
    for method in descriptor.methods {
        if let Some(Flaw { part, ty, path }) = method.flaw() {
            return Err(RegisterError::Type { method: method.to_string(), part, ty, path });
        }
    }
    let before = methods.clone();
    for (index, method) in descriptor.methods.iter().enumerate() {
        let internal = method.is_internal();
        let entry = Entry(Arc::new(RegisteredMethod {
            service: service.clone(),
            index,
            method,
            metrics: if internal { metrics.internal(method) } else { metrics.method(method) },
            fingerprint: method.fingerprint(),
            internal,
            forwards: false,
        }));
        if let Some(other) = methods.insert(method.id(), entry) {
            *methods = before;
            return Err(RegisterError::Collision(other.method.to_string(), method.to_string()));
        }
    }
    Ok(())
}

/// A call at work; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct CallGuard(Arc<Router>);

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        if self.0.in_flight() == 0 {
            self.0.idle.notify_waiters();
        }
    }
}

/// A call that watches; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Background(Arc<Router>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.background.fetch_sub(1, Ordering::SeqCst);
    }
}
