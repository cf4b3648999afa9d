//! The descriptors of generated servers.

use std::time::Duration;

use rpcnet::{Method, Service, ServiceDescriptor, rpc_impl, rpc_trait};

mod first {
    use super::*;

    #[rpc_trait(name = "text.v1.First")]
    pub(crate) trait First {
        async fn plain(&self, a: String, b: Vec<(u8, Option<u16>)>) -> Result<u8, String>;
        #[rpc(idempotent)]
        async fn twice(&self, _: &rpcnet::Context) -> rpcnet::Result<()>;
        #[rpc(timeout = "1.5s", name = "timed-out")]
        async fn timed(
            &self,
            a: (
                u8,
                u8, //
            ),
        ) -> Result<
            u8,
            String, //
        >;
        #[rpc(idempotent)]
        #[rpc(timeout = "1h")]
        async fn r#both(&self) -> rpcnet::Result<()>;
    }

    #[derive(Debug)]
    pub(crate) struct Done;

    #[rpc_impl]
    impl First for Done {
        async fn plain(&self, _: String, _: Vec<(u8, Option<u16>)>) -> Result<u8, String> {
            Ok(1)
        }
        async fn twice(&self, _: &rpcnet::Context) -> rpcnet::Result<()> {
            Ok(())
        }
        async fn timed(&self, (a, b): (u8, u8)) -> Result<u8, String> {
            Ok(a + b)
        }
        async fn both(&self) -> rpcnet::Result<()> {
            Ok(())
        }
    }
}

mod streaming {
    use rpcnet::Streaming;

    use super::*;

    type Lines = Streaming<String>;
    type LinesResult = rpcnet::Result<Lines>;
    type OwnResult<T> = Result<T, String>;

    #[rpc_trait(name = "text.v1.Streams")]
    pub(crate) trait Streams {
        #[rpc(max_message = "16MiB", priority = 5)]
        async fn count(&self, from: u64) -> Result<u64, String> {
            Ok(from)
        }
        #[rpc(item_timeout = "1.5s", priority = -100)]
        async fn tail(&self, cx: &rpcnet::Context, from: u64) -> Result<Streaming<u64>, String> {
            Err(format!("{cx:?} {from}"))
        }
        #[rpc(timeout = "1m", item_timeout = "10s", max_message = 65_536)]
        async fn load(&self, lines: rpcnet::Streaming<String>) -> Result<u64, String> {
            Ok(lines.collect().await.map_err(|status| status.to_string())?.len() as u64)
        }
        #[rpc(idempotent, priority = -0)]
        async fn chat(
            &self,
            a: u8,
            said: Streaming<
                String, //
            >,
        ) -> rpcnet::Result<Streaming<String>> {
            drop((a, said));
            Ok(Streaming::empty())
        }
        #[rpc(item_timeout = "1s")]
        async fn aliased(&self) -> LinesResult {
            Ok(Streaming::empty())
        }
        async fn inside(&self) -> rpcnet::Result<Lines> {
            Ok(Streaming::empty())
        }
        async fn shadowed(&self, r#in: r#Streaming<u8>) -> OwnResult<u8> {
            drop(r#in);
            Ok(1)
        }
    }

    #[rpc_impl]
    impl Streams for super::Nothing {}
}

#[test]
fn streams_and_their_options() {
    let server = streaming::StreamsServer::new(Nothing);
    let (descriptor, names) = describe(&server);
    assert_eq!(names, ["count", "tail", "load", "chat", "aliased", "inside", "shadowed"]);
    let methods = descriptor.methods;
    let streams = methods.iter().map(|method| (method.streams_request(), method.streams_reply()));
    assert_eq!(
        streams.collect::<Vec<_>>(),
        [
            (false, false),
            (false, true),
            (true, false),
            (true, true),
            (false, true),
            (false, true),
            (true, false)
        ]
    );
    let signatures = methods.iter().map(Method::signature);
    assert_eq!(
        signatures.collect::<Vec<_>>(),
        [
            "(u64)->Result<u64,String>",
            "(u64)->Result<Streaming<u64>,String>",
            "(rpcnet::Streaming<String>)->Result<u64,String>",
            "(u8,Streaming<String>)->rpcnet::Result<Streaming<String>>",
            "()->LinesResult",
            "()->rpcnet::Result<Lines>",
            "(Streaming<u8>)->OwnResult<u8>",
        ]
    );
    let second = Duration::from_secs(1);
    let item_timeouts = methods.iter().map(Method::item_timeout);
    assert_eq!(
        item_timeouts.collect::<Vec<_>>(),
        [None, Some(second * 3 / 2), Some(second * 10), None, Some(second), None, None]
    );
    assert_eq!(methods[2].timeout(), Some(second * 60));
    let sizes = methods.iter().map(Method::max_message);
    assert_eq!(sizes.collect::<Vec<_>>()[..4], [Some(16 << 20), None, Some(65_536), None]);
    let priorities = methods.iter().map(Method::priority);
    assert_eq!(priorities.collect::<Vec<_>>()[..4], [5, -100, 0, 0]);
}

fn describe<S: Service>(service: &S) -> (&'static ServiceDescriptor, Vec<&'static str>) {
    let descriptor = service.descriptor();
    (descriptor, descriptor.methods.iter().map(Method::name).collect())
}

#[test]
fn names_options_and_signatures() {
    let server = first::FirstServer::new(first::Done);
    let (descriptor, names) = describe(&server);
    assert_eq!(descriptor.name, "text.v1.First");
    assert_eq!(names, ["plain", "twice", "timed-out", "both"]);
    let [plain, twice, timed, both] = descriptor.methods else { panic!("four methods") };
    assert!([plain, twice, timed, both].iter().all(|method| method.service() == "text.v1.First"));
    assert_eq!((plain.idempotent(), plain.timeout()), (false, None));
    assert_eq!((twice.idempotent(), twice.timeout()), (true, None));
    assert_eq!((timed.idempotent(), timed.timeout()), (false, Some(Duration::from_millis(1500))));
    assert_eq!((both.idempotent(), both.timeout()), (true, Some(Duration::from_secs(3600))));
    assert_eq!(plain.signature(), "(String,Vec<(u8,Option<u16>)>)->Result<u8,String>");
    assert_eq!(twice.signature(), "()->rpcnet::Result<()>");
    assert_eq!(timed.signature(), "((u8,u8))->Result<u8,String>");
    // The macro computes ids too, to find collisions: the same as its unit test.
    assert_eq!(Method::new("foo", "bar", "").id(), 0x571d_17d6_ef2d_ef0d);
}

#[rpc_trait]
trait Unnamed {
    async fn nothing(&self) -> rpcnet::Result<()>;
}

#[allow(non_camel_case_types)]
#[rpc_trait]
trait r#try {
    async fn r#fn(&self) -> rpcnet::Result<()>;
}

#[rpc_trait]
trait Empty {}

struct Nothing;

#[rpc_impl]
impl Unnamed for Nothing {
    async fn nothing(&self) -> rpcnet::Result<()> {
        Ok(())
    }
}

#[rpc_impl]
impl r#try for Nothing {
    async fn r#fn(&self) -> rpcnet::Result<()> {
        Ok(())
    }
}

#[rpc_impl]
impl Empty for Nothing {}

#[test]
fn default_names() {
    let (unnamed, methods) = describe(&UnnamedServer::new(Nothing));
    assert_eq!((unnamed.name, &*methods), ("rpcnet-macros.Unnamed", &["nothing"][..]));
    let (raw, methods) = describe(&tryServer::new(Nothing));
    assert_eq!((raw.name, &*methods), ("rpcnet-macros.try", &["fn"][..]));
    let (empty, methods) = describe(&EmptyServer::new(Nothing));
    assert_eq!((empty.name, methods.len()), ("rpcnet-macros.Empty", 0));
}

/// Methods that are left out, in each way in which that can be said.
#[rpc_trait]
trait Configured {
    #[cfg(any())]
    async fn absent(&self, a: Missing) -> rpcnet::Result<Missing>;
    async fn first(&self, a: u8) -> rpcnet::Result<u8>;
    #[cfg_attr(all(), cfg(any()))]
    async fn absent_too(&self, a: Missing) -> Missing::Result<()>;
    #[cfg(not(any()))]
    #[rpc(idempotent)]
    async fn second(&self, a: u16) -> rpcnet::Result<u16>;
    #[cfg(any())]
    async fn either(&self, a: u8) -> rpcnet::Result<u8>;
    #[cfg(not(any()))]
    async fn either(&self, a: u32) -> rpcnet::Result<u32>;
    #[cfg_attr(all(), doc = "documented", deprecated)]
    async fn last(&self) -> rpcnet::Result<()> {
        Ok(())
    }
}

#[rpc_impl]
impl Configured for Nothing {
    async fn first(&self, a: u8) -> rpcnet::Result<u8> {
        Ok(a)
    }
    async fn second(&self, a: u16) -> rpcnet::Result<u16> {
        Ok(a)
    }
    async fn either(&self, a: u32) -> rpcnet::Result<u32> {
        Ok(a)
    }
}

#[tokio::test]
async fn configured_methods_are_left_out_everywhere() {
    let server = ConfiguredServer::new(Nothing);
    let (descriptor, methods) = describe(&server);
    assert_eq!(methods, ["first", "second", "either", "last"]);
    assert_eq!(descriptor.methods[2].signature(), "(u32)->rpcnet::Result<u32>");
    assert!(descriptor.methods[1].idempotent());
    // The table and the dispatch agree.
    let client = ConfiguredClient::new(super::support::serve(server).await);
    assert_eq!(client.first(1).await.unwrap(), 1);
    assert_eq!(client.second(1000).await.unwrap(), 1000);
    assert_eq!(client.either(100_000).await.unwrap(), 100_000);
    #[expect(deprecated, reason = "clients warn of it too")]
    client.last().await.unwrap();
}

#[rpc_trait]
trait AllAbsent {
    #[cfg(any())]
    async fn absent(&self) -> rpcnet::Result<()>;
}

#[rpc_impl]
impl AllAbsent for Nothing {}

#[test]
fn a_service_without_methods_is_one() {
    let (_, methods) = describe(&AllAbsentServer::new(Nothing));
    assert!(methods.is_empty());
    let _ = |channel| AllAbsentClient::new(channel) as AllAbsentClient;
}

/// A service on its way out.
#[deprecated = "use another"]
#[rpc_trait]
trait Retired {
    async fn count(&self) -> rpcnet::Result<u8>;
}

#[expect(deprecated, reason = "the trait is")]
#[rpc_impl]
impl Retired for Nothing {
    async fn count(&self) -> rpcnet::Result<u8> {
        Ok(1)
    }
}

#[test]
fn deprecation_reaches_client_and_server() {
    #[expect(deprecated, reason = "the server is")]
    let server = RetiredServer::new(Nothing);
    assert_eq!(describe(&server).1, ["count"]);
    #[expect(deprecated, reason = "the client is")]
    let _ = |channel: rpcnet::Channel| RetiredClient::new(channel);
}

macro_rules! service {
    ($name:ident, $argument:ty, $($result:tt)*) => {
        #[rpc_trait]
        trait $name {
            async fn through_macro(&self, argument: $argument) -> $($result)*;
        }

        #[rpc_impl]
        impl $name for Nothing {
            async fn through_macro(&self, argument: $argument) -> $($result)* {
                Ok(argument)
            }
        }
    };
}

service!(Through, Vec<u8>, Result<Vec<u8>, String>);

macro_rules! service_of_streams {
    ($name:ident, $items:ty, $priority:literal, $size:expr) => {
        #[rpc_trait]
        trait $name {
            #[rpc(priority = $priority, max_message = $size)]
            async fn through_macro(&self, items: $items) -> rpcnet::Result<$items>;
        }

        #[rpc_impl]
        impl $name for Nothing {
            async fn through_macro(&self, items: $items) -> rpcnet::Result<$items> {
                Ok(items)
            }
        }
    };
}

service_of_streams!(ThroughStreams, rpcnet::Streaming<u8>, -5, "1MiB");

#[test]
fn macros_may_write_services() {
    let (descriptor, _) = describe(&ThroughServer::new(Nothing));
    assert_eq!(descriptor.methods[0].signature(), "(Vec<u8>)->Result<Vec<u8>,String>");
    let (descriptor, _) = describe(&ThroughStreamsServer::new(Nothing));
    let method = &descriptor.methods[0];
    assert_eq!(method.signature(), "(rpcnet::Streaming<u8>)->rpcnet::Result<rpcnet::Streaming<u8>>");
    assert_eq!((method.streams_request(), method.streams_reply()), (true, true));
    assert_eq!((method.priority(), method.max_message()), (-5, Some(1 << 20)));
}
