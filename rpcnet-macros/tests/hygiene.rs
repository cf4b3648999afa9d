//! Generated code works in modules whose items have the names that it uses.

#![no_implicit_prelude]

use ::std::prelude::v1::test;

/// Everything that generated code uses, under the same names.
#[allow(dead_code, non_camel_case_types)]
mod shadowed {
    use ::rpcnet::{rpc_impl, rpc_trait};
    use ::std::prelude::v1::derive;

    pub(crate) struct Result;
    pub(crate) struct Option;
    pub(crate) struct String;
    pub(crate) struct Vec;
    pub(crate) struct Box;
    pub(crate) struct Some;
    pub(crate) struct None;
    pub(crate) struct Ok;
    pub(crate) struct Err;
    pub(crate) trait Send {}
    pub(crate) trait Sync {}
    pub(crate) trait Clone {}
    pub(crate) trait Copy {}
    pub(crate) trait Debug {}
    pub(crate) trait Future {}
    pub(crate) trait Outcome {}
    pub(crate) trait Caller {}
    pub(crate) trait Service {}
    pub(crate) struct Arc;
    pub(crate) struct Duration;
    pub(crate) struct Channel;
    pub(crate) struct Context;
    pub(crate) struct Status;
    pub(crate) struct Inbound;
    #[derive(::serde::Serialize, ::serde::Deserialize)]
    pub(crate) struct Streaming;
    pub(crate) type MyStreaming = Streaming;
    pub(crate) struct Items;
    pub(crate) trait ItemsArgument {}
    pub(crate) struct ServiceDescriptor;
    pub(crate) mod core {}
    pub(crate) mod std {}
    pub(crate) mod rpcnet {}
    pub(crate) mod fmt {}
    pub(crate) struct usize;
    pub(crate) struct str;
    #[allow(unused_macros)]
    macro_rules! concat {
        ($($tokens:tt)*) => {
            ::std::compile_error!("not this one")
        };
    }
    #[allow(unused_macros)]
    macro_rules! env {
        ($($tokens:tt)*) => {
            ::std::compile_error!("not this one")
        };
    }

    /// Types that have the names of what is generated.
    #[derive(::serde::Serialize, ::serde::Deserialize)]
    pub(crate) struct C;
    #[derive(::serde::Serialize, ::serde::Deserialize)]
    pub(crate) struct T;
    #[derive(::serde::Serialize, ::serde::Deserialize)]
    pub(crate) struct Method;
    #[derive(::serde::Serialize, ::serde::Deserialize)]
    pub(crate) struct Client;

    #[rpc_trait]
    pub(crate) trait Shadowing {
        #[rpc(idempotent, timeout = "1s")]
        async fn call(&self, caller: C, service: T, method: Method, inbound: Client) -> ::rpcnet::Result<T>;
        async fn fmt(&self, cx: &::rpcnet::Context, f: ::std::string::String) -> ::rpcnet::Result<C>;
        async fn descriptor(
            &self,
            argument0: u8,
            argument1: u16,
        ) -> ::std::result::Result<u8, ::std::string::String> {
            ::std::result::Result::Ok(argument0 + argument1 as u8)
        }
        async fn server(&self) -> ::rpcnet::Result<()>;
        #[rpc(item_timeout = "1s", max_message = "1KiB", priority = 1)]
        async fn items(
            &self,
            inbound: MyStreaming,
            items: ::rpcnet::Streaming<T>,
        ) -> ::rpcnet::Result<::rpcnet::Streaming<C>>;
        async fn value(&self) -> ::rpcnet::Result<MyStreaming> {
            ::std::result::Result::Ok(Streaming)
        }
    }

    pub(crate) struct Worker;

    #[rpc_impl]
    impl Shadowing for Worker {
        async fn call(&self, _: C, _: T, _: Method, _: Client) -> ::rpcnet::Result<T> {
            ::std::result::Result::Ok(T)
        }
        async fn fmt(&self, _: &::rpcnet::Context, _: ::std::string::String) -> ::rpcnet::Result<C> {
            ::std::result::Result::Ok(C)
        }
        async fn server(&self) -> ::rpcnet::Result<()> {
            ::std::result::Result::Ok(())
        }
        async fn items(
            &self,
            _: MyStreaming,
            _: ::rpcnet::Streaming<T>,
        ) -> ::rpcnet::Result<::rpcnet::Streaming<C>> {
            ::std::result::Result::Ok(::rpcnet::Streaming::empty())
        }
    }

    /// A second service in the same module, of the same methods.
    #[rpc_trait]
    pub(crate) trait Again {
        async fn call(&self, value: T) -> ::rpcnet::Result<C>;
        async fn server(&self) -> ::rpcnet::Result<()>;
    }

    #[rpc_impl]
    impl Again for Worker {
        async fn call(&self, _: T) -> ::rpcnet::Result<C> {
            ::std::result::Result::Ok(C)
        }
        async fn server(&self) -> ::rpcnet::Result<()> {
            ::std::result::Result::Ok(())
        }
    }
}

#[test]
fn two_services_stand_in_one_module() {
    use ::rpcnet::Service;

    let first = shadowed::ShadowingServer::new(shadowed::Worker);
    let second = shadowed::AgainServer::new(shadowed::Worker);
    ::std::assert_eq!(first.descriptor().methods.len(), 6);
    ::std::assert!(first.descriptor().methods[4].streams_request());
    // The user's own type is a value, under a name that is not ours.
    ::std::assert!(!first.descriptor().methods[5].streams_reply());
    ::std::assert_eq!(second.descriptor().name, "rpcnet-macros.Again");
    // The parameter has a name that nothing in the trait has.
    let _ = |caller: ::rpcnet::Channel| shadowed::ShadowingClient::<::rpcnet::Channel>::new(caller);
}
