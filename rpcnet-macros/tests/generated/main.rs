//! Generated clients and servers: their calls, streams, descriptors and routing options.

mod calls;
mod descriptors;
mod routing;
mod streams;
mod support;
