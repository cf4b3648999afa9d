//! A call before it is sent, or as it has arrived.

use std::{fmt, sync::Arc, time::Duration};

use super::relayed::Relayed;
use super::{Extensions, Items, ItemsCell};
use crate::{Hedge, Metadata, Method, codec::Body, proto::Routing, trace::Trace};

/// A call: method, encoded arguments, and what goes beside them.
///
/// On a client it is what [`Caller::call`](crate::Caller::call) takes. On both sides it is what interceptors see.
/// Cheap to clone: the arguments are shared. A stream of items that goes with it is sent by the first clone that is
/// used.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: &'static Method,
    pub(crate) body: Body,
    pub(crate) items: ItemsCell,
    pub(crate) timeout: Option<Duration>,
    pub(crate) item_timeout: Option<Duration>,
    pub(crate) metadata: Metadata,
    pub(crate) trace: Option<Trace>,
    pub(crate) key: Option<u64>,
    /// The number of items of its stream of answers that the caller has had.
    pub(crate) resume_after: u64,
    pub(crate) extensions: Extensions,
}

impl Request {
    /// A call of this method with encoded arguments.
    pub(crate) fn new(method: &'static Method, body: impl Into<Body>) -> Self {
        Self {
            method,
            body: body.into(),
            items: ItemsCell::default(),
            timeout: None,
            item_timeout: None,
            metadata: Metadata::default(),
            trace: None,
            key: None,
            resume_after: 0,
            extensions: Extensions::default(),
        }
    }

    /// With items that follow the arguments.
    pub(crate) fn with_items(mut self, items: Items) -> Self {
        self.items = ItemsCell::new(items);
        self
    }

    /// The method that is called.
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// The metadata that goes beside the arguments.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The metadata, to change.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// The length of the encoded arguments in bytes, without a stream's items.
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// On a client: the deadline that was set for this call alone. On a server: the time left when it arrived.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Sets the deadline of a call that is about to be sent, as [`Call::timeout`](crate::Call::timeout) does. On a
    /// server it changes nothing.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = Some(timeout);
    }

    /// The trace that the call belongs to.
    pub fn trace(&self) -> Option<Trace> {
        self.trace
    }

    /// Puts a call that is about to be sent into a trace. On a server it changes nothing.
    pub fn set_trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    /// On a client, the hash of what the call is routed by, if anything: see [`Call::key`](crate::Call::key). It is
    /// sent to nobody but a relay.
    pub fn key(&self) -> Option<u64> {
        self.key
    }

    /// Routes a call that is about to be sent by this hash.
    pub fn set_key(&mut self, key: u64) {
        self.key = Some(key);
    }

    /// Among which servers a relay is to choose for this call, in words that it understands: for `rpcnet-cluster`, a
    /// filter of tags. At most 512 bytes: a longer one makes the call end with `InvalidArgument`. Where there is no
    /// relay it changes nothing.
    pub fn set_selector(&mut self, selector: impl Into<Arc<str>>) {
        self.extensions.insert(Selector(selector.into()));
    }

    /// The selector that was set by [`set_selector`](Self::set_selector), here or, on a relay, by the client.
    pub fn selector(&self) -> Option<&str> {
        let own = self.extension::<Selector>().map(|selector| &*selector.0);
        own.or_else(|| self.relayed()?.routing.selector.as_deref())
    }

    /// When a channel makes the call a second time, if at all: as the method says, and on a relay as the client's does.
    pub fn hedge(&self) -> Option<Hedge> {
        self.relayed().map_or(self.method.hedge(), |relayed| relayed.routing.hedge)
    }

    /// The description of a call that is forwarded; its method is one that stands for others.
    pub(crate) fn relayed(&self) -> Option<&Relayed> {
        self.extensions.of()
    }

    /// Makes it one.
    pub(crate) fn set_relayed(&mut self, relayed: Arc<Relayed>) {
        self.key = relayed.routing.key;
        self.extensions.insert_shared(relayed);
    }

    /// The routing of the call, for a relay.
    pub(crate) fn routing(&self) -> Routing {
        Routing {
            idempotent: self.method.idempotent(),
            answers_items: self.method.streams_reply(),
            resumable: self.method.resumable(),
            priority: self.method.priority(),
            service: self.user_service(),
            key: self.key,
            hedge: self.method.hedge(),
            selector: self.extension::<Selector>().map(|selector| selector.0.clone()),
        }
    }

    /// Where what is known of its method is found: by the method's address, or by the id of one that is only known by
    /// that.
    pub(crate) fn place(&self) -> u64 {
        self.relayed().map_or(self.method.address() as u64, |relayed| relayed.id)
    }

    /// The hash of its service's name; nothing for a call that is forwarded, whose client did not say.
    pub(crate) fn service_id(&self) -> Option<u64> {
        self.relayed().map_or(Some(self.method.service_id()), |relayed| relayed.routing.service)
    }

    /// The hash of the service that an endpoint must serve to get the call. `None` for services whose names begin with
    /// `rpcnet.`, and for a forwarded call whose client did not name one: any endpoint may get these.
    pub(crate) fn user_service(&self) -> Option<u64> {
        match self.relayed() {
            Some(relayed) => relayed.routing.service,
            None => (!self.method.is_internal()).then(|| self.method.service_id()),
        }
    }

    /// The id of its method.
    pub(crate) fn method_id(&self) -> u64 {
        self.relayed().map_or(self.method.id(), |relayed| relayed.id)
    }

    /// Hands a value on to interceptors further in and, on a server, to the handler
    /// ([`Context::extension`](crate::Context::extension)). There is one of each type.
    pub fn insert_extension<T: Send + Sync + 'static>(&mut self, value: T) {
        self.extensions.insert(value);
    }

    /// The value of this type that an interceptor further out has handed on.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions.of()
    }

    /// Returns whether it can be sent again: it has no stream of items, or none of them was sent.
    pub fn is_repeatable(&self) -> bool {
        !self.items.is_spent()
    }
}

/// Among which servers to choose.
struct Selector(Arc<str>);

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &format_args!("{}", self.method))
            .field("size", &self.body.len())
            .field("stream", &self.items.is_some())
            .field("timeout", &self.timeout)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}
