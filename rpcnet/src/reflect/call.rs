//! The service: finds the method, and takes JSON to it and back.

use std::{collections::HashMap, fmt};

use bytes::Bytes;

use super::{
    ApplicationError, MethodInfo, Reflection, ServiceInfo, answers::Answers, described, questions::Questions,
};
use crate::{
    CallError, Context, Method, Result, Status, Streaming,
    codec::{bounded, json::JsonError},
    hash,
    lock::Mutex,
    message::{Answer, Items},
    method::{Json, Write},
    rpc_impl,
    session::{Entry, ItemTimer, call_instead},
};

type Answered = Result<Streaming<String, CallError<ApplicationError>>>;

/// Implements [`Reflection`] for whatever the connection's calls are dispatched to.
#[derive(Default)]
pub(super) struct Reflecting {
    /// Texts of types, by the methods' addresses: finding one takes long.
    shapes: Mutex<HashMap<usize, String>>,
}

#[rpc_impl]
impl Reflection for Reflecting {
    async fn services(&self, cx: &Context) -> Result<Vec<ServiceInfo>> {
        let services = cx.session().router().descriptors();
        let described = services.into_iter().map(|service| ServiceInfo {
            name: service.name.to_owned(),
            methods: service.methods.iter().map(|method| self.describe(method)).collect(),
        });
        Ok(described.collect())
    }

    async fn call(&self, cx: &Context, method: String, arguments: String) -> Answered {
        let found = find(cx, &method)?;
        if found.json.read_item.is_some() {
            return Err(Status::invalid_argument(format!(
                "{method} takes a stream of items: call it by rpcnet.Reflection/call_items"
            )));
        }
        found.call(cx, &arguments, None).await
    }

    async fn call_items(
        &self,
        cx: &Context,
        method: String,
        arguments: String,
        items: Streaming<String>,
    ) -> Answered {
        let found = find(cx, &method)?;
        let Some(read) = found.json.read_item else {
            return Err(Status::invalid_argument(format!(
                "{method} takes no stream of items: call it by rpcnet.Reflection/call"
            )));
        };
        let method = found.entry.method;
        let timer = ItemTimer::new(method, found.context.inherits().deadline, method.item_timeout());
        let limit = cx.session().max_message(method);
        let items = Items::local(Questions { method, items, read, timer, limit });
        found.call(cx, &arguments, Some(items)).await
    }
}

impl Reflecting {
    fn describe(&self, method: &'static Method) -> MethodInfo {
        let mut shapes = self.shapes.lock();
        let shape = shapes.entry(method.address()).or_insert_with(|| method.shape()).clone();
        MethodInfo::new(method, shape)
    }
}

impl fmt::Debug for Reflecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reflecting")
    }
}

/// A method that can be called with JSON.
struct Found {
    entry: Entry,
    json: &'static Json,
    /// Of the call that is to be made.
    context: Context,
}

/// The method of this name, which is `service/method`.
fn find(cx: &Context, name: &str) -> Result<Found> {
    let router = cx.session().router();
    let (service, method) = name.rsplit_once('/').ok_or_else(|| {
        Status::invalid_argument(format!("{:?} is no method: write service/method", bounded(name)))
    })?;
    let found = router.find(hash::method_id(service, method));
    let Some(entry) =
        found.filter(|entry| entry.method.service() == service && entry.method.name() == method)
    else {
        return Err(Status::unimplemented(format!(
            "no method {:?} is registered here; the services are {:?}",
            bounded(name),
            router.services()
        )));
    };
    if entry.method.service() == cx.method().service() {
        return Err(Status::invalid_argument(format!(
            "{name} can't be called through reflection: call it directly"
        )));
    }
    let json = entry.method.json().ok_or_else(|| {
        Status::unimplemented(format!("{name} was described by hand: what its types are is not known"))
    })?;
    Ok(Found { json, context: cx.for_other(entry.method), entry })
}

impl Found {
    async fn call(self, cx: &Context, text: &str, items: Option<Items>) -> Answered {
        let Self { entry, json, context } = self;
        let method = entry.method;
        let deadline = context.inherits().deadline;
        let arguments = || (json.read_arguments)(text).map_err(|error| unread(method, error));
        let (reply, running) = call_instead(context, &entry, arguments, items).await?;
        cx.append_metadata(reply.metadata);
        let writer = Writer { method, json, limit: cx.session().max_message(cx.method()) };
        // Room for what is put in at once.
        let (sender, answers) = Streaming::channel(1);
        match reply.answer {
            Answer::Value(body) => {
                let _ = sender.send(writer.value(&body.into_bytes())?).await;
                sender.finish();
            }
            Answer::Application(body) => {
                sender.fail(CallError::Application(writer.error(&body.into_bytes())?)).await;
            }
            Answer::Items(items) => {
                let timer = ItemTimer::new(method, deadline, method.item_timeout());
                let (outer, trailers) = (cx.clone(), reply.trailers);
                return Ok(Streaming::new(Answers { items, writer, timer, running, outer, trailers }));
            }
        }
        cx.append_trailers(reply.trailers);
        Ok(answers)
    }
}

fn unread(method: &Method, error: JsonError) -> Status {
    let types = match described::split(method.signature()) {
        Some((arguments, _)) => {
            let values = arguments.len().saturating_sub(usize::from(method.streams_request()));
            format!(" ({})", arguments[..values].join(", "))
        }
        None => String::new(),
    };
    Status::invalid_argument(format!("the arguments{types} of {method} can't be read: {error}"))
        .with_source(error)
}

/// Writes what a method answers with as JSON.
#[derive(Clone, Copy)]
pub(super) struct Writer {
    method: &'static Method,
    json: &'static Json,
    /// The most bytes of a text.
    limit: usize,
}

impl Writer {
    fn value(&self, value: &Bytes) -> Result<String> {
        self.write(self.json.write_value, "the reply", value)
    }

    fn error(&self, error: &Bytes) -> Result<ApplicationError> {
        self.write(self.json.write_error, "the error", error).map(|json| ApplicationError { json })
    }

    pub(super) fn item(&self, item: &Bytes) -> Result<String> {
        self.write(self.json.write_value, "an item", item)
    }

    pub(super) fn item_error(&self, error: &Bytes) -> Result<ApplicationError> {
        self.write(self.json.write_item_error, "the stream's error", error)
            .map(|json| ApplicationError { json })
    }

    fn write(&self, write: Write, what: &str, value: &Bytes) -> Result<String> {
        write(value, self.limit).map_err(|error| {
            let message = format!("{what} of {} can't be written as JSON: {error}", self.method);
            match error {
                JsonError::TooLong(_) => Status::resource_exhausted(message),
                error => Status::internal(message).with_source(error),
            }
        })
    }
}
