//! The options `key`, `hedge` and `resumable`: the descriptors of methods, and the requests of their calls.

use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex},
    time::Duration,
};

use rpcnet::{Caller, Hedge, Method, Reply, Request, Service, Status, Streaming, rpc_impl, rpc_trait};

#[rpc_trait(name = "shop.v1.Shop")]
trait Shop {
    #[rpc(idempotent, key = user)]
    async fn profile(&self, user: u64, fields: Vec<String>) -> rpcnet::Result<u64>;

    #[rpc(key = (tenant, user))]
    async fn order(&self, user: u64, tenant: String) -> rpcnet::Result<u64>;

    #[rpc(key = r#type)]
    async fn raw(&self, by: u8, r#type: String, lines: Streaming<String>) -> rpcnet::Result<u64>;

    #[rpc(idempotent, hedge)]
    async fn list(&self) -> rpcnet::Result<u64>;

    #[rpc(resumable, hedge = "20ms", key = (seed))]
    async fn follow(&self, seed: u64) -> rpcnet::Result<Streaming<u64>>;
}

struct Nothing;

#[rpc_impl]
impl Shop for Nothing {
    async fn profile(&self, _: u64, _: Vec<String>) -> rpcnet::Result<u64> {
        Ok(0)
    }
    async fn order(&self, _: u64, _: String) -> rpcnet::Result<u64> {
        Ok(0)
    }
    async fn raw(&self, _: u8, _: String, _: Streaming<String>) -> rpcnet::Result<u64> {
        Ok(0)
    }
    async fn list(&self) -> rpcnet::Result<u64> {
        Ok(0)
    }
    async fn follow(&self, _: u64) -> rpcnet::Result<Streaming<u64>> {
        Ok(Streaming::empty())
    }
}

#[test]
fn methods_say_so() {
    let server = ShopServer::new(Nothing);
    let methods = server.descriptor().methods;
    let all = |what: fn(&Method) -> bool| methods.iter().map(what).collect::<Vec<_>>();
    assert_eq!(all(Method::keyed), [true, true, true, false, true]);
    assert_eq!(all(Method::resumable), [false, false, false, false, true]);
    assert_eq!(all(Method::idempotent), [true, false, false, true, true]);
    let hedges: Vec<_> = methods.iter().map(Method::hedge).collect();
    let after = Hedge::After(Duration::from_millis(20));
    assert_eq!(hedges, [None, None, None, Some(Hedge::Automatic), Some(after)]);
}

/// Takes calls down, and makes none.
#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Option<u64>>>>);

impl Caller for Recorder {
    type Future = Ready<Result<Reply, Status>>;

    fn call(&self, request: Request) -> Self::Future {
        self.0.lock().expect("nothing panics under it").push(request.key());
        ready(Err(Status::unavailable("recorded")))
    }
}

impl Recorder {
    fn take(&self) -> Vec<Option<u64>> {
        std::mem::take(&mut self.0.lock().expect("nothing panics under it"))
    }
}

#[tokio::test]
async fn equal_arguments_have_equal_keys() {
    let recorder = Recorder::default();
    let shop = ShopClient::new(recorder.clone());
    let fields = || vec!["name".to_owned()];
    let _ = shop.profile(7, fields()).await;
    let _ = shop.profile(7, Vec::new()).await;
    let _ = shop.profile(8, fields()).await;
    let keys = recorder.take();
    assert!(keys.iter().all(Option::is_some));
    assert!(keys[0] == keys[1] && keys[0] != keys[2], "{keys:?}");

    let _ = shop.order(7, "a".into()).await;
    let _ = shop.order(7, "b".into()).await;
    let _ = shop.raw(1, "a".into(), Streaming::empty()).await;
    let _ = shop.list().await;
    let keys = recorder.take();
    assert!(keys[0] != keys[1] && keys[2].is_some(), "{keys:?}");
    assert_eq!(keys[3], None);
}

#[tokio::test]
async fn a_call_may_be_given_another() {
    let recorder = Recorder::default();
    let shop = ShopClient::new(recorder.clone());
    let _ = shop.profile(7, Vec::new()).await;
    let _ = shop.list().key(7u64).await;
    let _ = shop.profile(8, Vec::new()).key((7u64,)).await;
    let _ = shop.order(7, "a".into()).await;
    let _ = shop.list().key(("a", 7u64)).await;
    let keys = recorder.take();
    assert!(keys[0] == keys[1] && keys[0] == keys[2], "{keys:?}");
    assert_eq!(keys[3], keys[4], "in the order in which the option names them");
}

#[tokio::test]
async fn a_key_that_cannot_be_encoded_is_an_invalid_argument() {
    struct Broken;
    impl serde::Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("broken"))
        }
    }
    let recorder = Recorder::default();
    let error = ShopClient::new(recorder.clone()).list().key(Broken).await.unwrap_err();
    assert!(!error.maybe_executed());
    assert!(error.to_string().contains("broken"), "{error}");
    assert!(recorder.take().is_empty());
}
