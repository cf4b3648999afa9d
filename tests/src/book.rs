//! The Rust in the book's chapters compiles, and runs unless it says otherwise.
//!
//! The chapters are here because this crate sees the other ones with all features.

#[doc = include_str!("../../book/src/services.md")]
struct Services;

#[doc = include_str!("../../book/src/streams.md")]
struct Streams;

#[doc = include_str!("../../book/src/beside-a-call.md")]
struct BesideACall;

#[doc = include_str!("../../book/src/interceptors.md")]
struct Interceptors;

#[doc = include_str!("../../book/src/limits.md")]
struct Limits;

#[doc = include_str!("../../book/src/changing-a-service.md")]
struct ChangingAService;

#[doc = include_str!("../../book/src/testing.md")]
struct Testing;

#[doc = include_str!("../../book/src/servers-and-channels.md")]
struct ServersAndChannels;

#[doc = include_str!("../../book/src/routing.md")]
struct Routing;

#[doc = include_str!("../../book/src/clusters.md")]
struct Clusters;

#[doc = include_str!("../../book/src/cluster-memory.md")]
struct ClusterMemory;

#[doc = include_str!("../../book/src/certificates.md")]
struct Certificates;

#[doc = include_str!("../../book/src/introduction.md")]
struct Introduction;

#[doc = include_str!("../../book/src/getting-started.md")]
struct GettingStarted;

#[doc = include_str!("../../book/src/operations.md")]
struct Operations;
