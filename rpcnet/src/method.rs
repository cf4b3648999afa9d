//! The description of a service: its methods, with their ids and options.

use std::{fmt, time::Duration};

#[cfg(feature = "reflect")]
use bytes::{Bytes, BytesMut};

#[cfg(feature = "reflect")]
use crate::codec::{Body, json::JsonError};
use crate::{codec::Flaw, hash, proto::Hedge};

/// The prefix of the framework's own services.
const INTERNAL: &str = "rpcnet.";

/// A method of a service, as the macros describe it.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    service: &'static str,
    service_id: u64,
    name: &'static str,
    signature: &'static str,
    id: u64,
    types: Option<Types>,
    idempotent: bool,
    request_items: bool,
    reply_items: bool,
    timeout: Option<Duration>,
    item_timeout: Option<Duration>,
    max_message: Option<usize>,
    priority: i8,
    hedge: Option<Hedge>,
    resumable: bool,
    keyed: bool,
}

impl Method {
    /// Describes a method of this wire name. `signature` is its argument and result types as they were written.
    #[doc(hidden)]
    pub const fn new(service: &'static str, name: &'static str, signature: &'static str) -> Self {
        Self {
            service,
            service_id: hash::service_id(service),
            name,
            signature,
            id: hash::method_id(service, name),
            types: None,
            idempotent: false,
            request_items: false,
            reply_items: false,
            timeout: None,
            item_timeout: None,
            max_message: None,
            priority: 0,
            hedge: None,
            resumable: false,
            keyed: false,
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn with_types(mut self, types: Types) -> Self {
        self.types = Some(types);
        self
    }

    /// Declares the method idempotent: running it twice does no harm, so a call that may have run may be repeated.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Declares which directions stream items: the request, the reply.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_streams(mut self, request: bool, reply: bool) -> Self {
        self.request_items = request;
        self.reply_items = reply;
        self
    }

    /// Sets a default timeout for its calls, in place of the channel's.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the most time between two items of its streams.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_item_timeout(mut self, timeout: Duration) -> Self {
        self.item_timeout = Some(timeout);
        self
    }

    /// Sets the most bytes of a message, in place of the limit of [`Limits`](crate::Limits).
    #[doc(hidden)]
    #[must_use]
    pub const fn with_max_message(mut self, bytes: usize) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// Sets its priority: above zero before other methods, below zero behind them. It counts on the wire, and where a
    /// server is full.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_priority(mut self, priority: i8) -> Self {
        self.priority = priority;
        self
    }

    /// Lets channels hedge its calls: a call that takes long is made a second time, elsewhere. The method must be
    /// idempotent.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_hedge(mut self, hedge: Hedge) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// Declares that its stream of answers can go on elsewhere: its handler heeds
    /// [`Context::resume_after`](crate::Context::resume_after). It is idempotent then.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_resumable(mut self) -> Self {
        self.resumable = true;
        self.idempotent = true;
        self
    }

    /// Declares that its calls carry a key ([`Request::key`](crate::Request::key)), by which they are routed.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_key(mut self) -> Self {
        self.keyed = true;
        self
    }

    /// The wire name of its service.
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// The wire name of the method.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The argument and result types as they were written.
    pub const fn signature(&self) -> &'static str {
        self.signature
    }

    /// The hash of the service's name.
    pub(crate) const fn service_id(&self) -> u64 {
        self.service_id
    }

    /// Returns true for a method of one of the framework's own services.
    pub(crate) fn is_internal(&self) -> bool {
        self.service.starts_with(INTERNAL)
    }

    /// The 64-bit hash of `"service/method"`, by which it is called.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The 64-bit hash of the structure of its types: client and server must have the same.
    ///
    /// The structure of a type is found through its `Deserialize`: names and types of fields, variants, and so on down.
    /// If an implementation can't be asked (one written by hand that checks its input), the signature as it was written
    /// counts too. A resumable method differs from one that is not. Computed anew each time, in microseconds to
    /// milliseconds.
    pub fn fingerprint(&self) -> u64 {
        let shape = self.shape();
        let known = !shape.is_empty() && !shape.contains('?');
        let mut made = if known { shape } else { format!("{} {shape}", self.signature) };
        if self.resumable {
            // Where one side knows nothing of it, a stream would begin anew in the middle.
            made.push_str(" resumable");
        }
        hash::fingerprint(&made)
    }

    /// Its types in one canonical text, such as `(string)->struct Counts{words:u64}!enum CountError{..}`; empty for a
    /// method that was described by hand.
    pub fn shape(&self) -> String {
        self.types.as_ref().map(Types::shape).unwrap_or_default()
    }

    /// Returns a part of its types that the encoding can't carry. Computed anew each time.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        self.types.as_ref().and_then(Types::flaw)
    }

    /// The functions between JSON and its types; `None` for a method that was described by hand.
    #[cfg(feature = "reflect")]
    pub(crate) fn json(&self) -> Option<&Json> {
        self.types.as_ref().map(Types::json)
    }

    /// Returns whether a call that may have run may be repeated.
    pub const fn idempotent(&self) -> bool {
        self.idempotent
    }

    /// Returns whether a stream of items goes with its arguments.
    pub const fn streams_request(&self) -> bool {
        self.request_items
    }

    /// Returns whether its result is a stream of items.
    pub const fn streams_reply(&self) -> bool {
        self.reply_items
    }

    /// The default timeout of its calls, if it has its own.
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The most time between two items of its streams.
    pub const fn item_timeout(&self) -> Option<Duration> {
        self.item_timeout
    }

    /// The most bytes of a message, if it has its own limit.
    pub const fn max_message(&self) -> Option<usize> {
        self.max_message
    }

    /// The priority; zero by default.
    pub const fn priority(&self) -> i8 {
        self.priority
    }

    /// The hedging of its calls, if any.
    pub const fn hedge(&self) -> Option<Hedge> {
        self.hedge
    }

    /// Returns whether its stream of answers can go on at another server.
    pub const fn resumable(&self) -> bool {
        self.resumable
    }

    /// Returns whether its calls carry a key. Any call may be given one: see [`Call::key`](crate::Call::key).
    pub const fn keyed(&self) -> bool {
        self.keyed
    }

    /// Tells methods apart that have one id, because a process knows two versions of a service.
    pub(crate) fn address(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Returns whether either side may send a stream of items.
    pub(crate) const fn streams(&self) -> bool {
        self.request_items || self.reply_items
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.name)
    }
}

/// The name of a service and its methods, in the order in which [`Service::call`](crate::Service::call) numbers them.
#[derive(Debug, Clone, Copy)]
pub struct ServiceDescriptor {
    /// The wire name.
    pub name: &'static str,
    /// The methods.
    pub methods: &'static [Method],
}

/// The types of a method, as the macros hand them over.
#[derive(Clone, Copy)]
pub struct Types {
    pub(crate) shape: fn() -> String,
    pub(crate) flaw: fn() -> Option<Flaw>,
    #[cfg(feature = "reflect")]
    pub(crate) json: Json,
}

impl Types {
    /// The types in one canonical text.
    pub(crate) fn shape(&self) -> String {
        (self.shape)()
    }

    /// A part of the types that the encoding can't carry.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        (self.flaw)()
    }

    #[cfg(feature = "reflect")]
    pub(crate) fn json(&self) -> &Json {
        &self.json
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

/// Reads an item and encodes it at the end of a buffer. A large run of bytes is returned instead, to follow the buffer.
#[cfg(feature = "reflect")]
pub(crate) type ReadItem = fn(&str, &mut BytesMut) -> Result<Option<Bytes>, JsonError>;
/// Decodes a value and writes it as JSON of at most the given bytes.
#[cfg(feature = "reflect")]
pub(crate) type Write = fn(&Bytes, usize) -> Result<String, JsonError>;

/// Functions that read a method's arguments from JSON and write its results as JSON.
#[cfg(feature = "reflect")]
#[derive(Clone, Copy)]
pub(crate) struct Json {
    /// Reads the arguments from an array.
    pub(crate) read_arguments: fn(&str) -> Result<Body, JsonError>,
    /// `None` where no stream of items goes with the arguments.
    pub(crate) read_item: Option<ReadItem>,
    /// The value that it returns, or an item of it.
    pub(crate) write_value: Write,
    /// The error in place of the answer.
    pub(crate) write_error: Write,
    /// The error at the end of a stream.
    pub(crate) write_item_error: Write,
}
