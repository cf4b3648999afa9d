//! Calls of a peer that are not served here but handed on.
//!
//! What hands them on takes the place of a method: all that holds for calls that arrive (size, deadline, cancellation,
//! interceptors, drain, lanes) holds for these.

use std::sync::Arc;

use crate::{
    Method, Request, ServiceDescriptor,
    message::relayed::{self, Relayed},
    metrics::Metrics,
    proto::RequestHeader,
    relay::Forward,
    service::{HandlerFuture, Inbound, Service},
    session::{Entry, router::RegisteredMethod},
    trace::Trace,
};

/// The service that describes the server itself. An answer of another server would be of no use.
const HEALTH: &str = "rpcnet.Health";

/// Hands calls to whoever forwards them.
struct Forwarding(Arc<dyn Forward>);

impl Service for Forwarding {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        const { &ServiceDescriptor { name: "rpcnet.Relay", methods: &[] } }
    }

    fn call(&self, _: usize, inbound: Inbound) -> HandlerFuture {
        let Inbound { context, body, items } = inbound;
        let relayed = context.relayed().expect("what is forwarded was found to be so when it came").clone();
        let mut request = Request::new(relayed::method(&relayed.routing, items.is_some()), body);
        request.resume_after = context.resume_after();
        request.metadata = context.metadata().clone();
        request.trace = context.trace();
        request.set_relayed(relayed);
        request.resume_after = context.resume_after();
        if let Some(items) = items {
            request = request.with_items(items);
        }
        self.0.forward(request)
    }
}

/// Returns the entry that stands for all methods where calls are forwarded.
pub(crate) fn entry(forward: Arc<dyn Forward>, metrics: &Metrics) -> Entry {
    let method = relayed::any_method();
    Entry::from(RegisteredMethod {
        service: Arc::new(Forwarding(forward)),
        index: 0,
        method,
        metrics: metrics.method(method),
        fingerprint: 0,
        // The server that runs the handler has an admission of its own.
        internal: true,
        forwards: true,
    })
}

/// Returns whether a method is served here even where calls are forwarded.
pub(super) fn is_about_this_server(entry: &Entry) -> bool {
    entry.method.service() == HEALTH
}

/// Returns the description that goes with a forwarded call; `None` for a call that is served here.
pub(in crate::session) fn relayed(entry: &Entry, header: &mut RequestHeader) -> Option<Arc<Relayed>> {
    entry.forwards.then(|| {
        Arc::new(Relayed {
            id: header.method,
            fingerprint: header.fingerprint,
            routing: header.routing.take().unwrap_or_default(),
        })
    })
}

/// The method that is called, or what stands for it.
pub(super) fn method(entry: &Entry, relayed: Option<&Relayed>, items: bool) -> &'static Method {
    relayed.map_or(entry.method, |relayed| relayed::method(&relayed.routing, items))
}

/// The span of the handler; who hands a call on has none of its own.
pub(in crate::session) fn own_span(entry: &Entry, trace: Option<Trace>) -> Option<Trace> {
    if entry.forwards { trace } else { trace.map(|trace| trace.child(&mut rand::rng())) }
}
