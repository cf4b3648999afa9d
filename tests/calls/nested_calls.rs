//! A handler that hands on what became of a call of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpcnet::{BalancedChannel, BalancedConfig, Channel, Code, discover::Endpoint, rpc_impl, rpc_trait};
use rpcnet_tests::Net;
use tokio::sync::watch;

#[rpc_trait(name = "test.v1.Account")]
trait Account {
    /// Not idempotent: running it twice takes the money twice.
    async fn debit(&self) -> rpcnet::Result<()>;
}

struct Bank {
    debits: Arc<AtomicUsize>,
    ledger: Channel,
}

#[rpc_impl]
impl Account for Bank {
    async fn debit(&self) -> rpcnet::Result<()> {
        self.debits.fetch_add(1, Ordering::SeqCst);
        // Nobody listens there: this call was certainly never executed. Ours was.
        AccountClient::new(self.ledger.clone()).debit().await?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ran_is_not_repeated_because_one_of_its_own_did_not() {
    let net = Net::memory();
    let debits = Arc::new(AtomicUsize::new(0));
    let mut endpoints = Vec::new();
    let mut servers = Vec::new();
    for name in ["a", "b", "c"] {
        let server = net.start();
        let ledger = net.channel().connect_lazy("127.0.0.1:9").expect("an address");
        server.register(AccountServer::new(Bank { debits: debits.clone(), ledger })).expect("the first");
        endpoints.push(Endpoint::new(name, server.local_addr()));
        servers.push(server);
    }
    let (_set, endpoints) = watch::channel(endpoints.into());
    let channel =
        BalancedChannel::new(net.channel(), endpoints, BalancedConfig::default()).expect("complete");
    let error = AccountClient::new(channel.clone())
        .debit()
        .timeout(Duration::from_secs(20))
        .await
        .expect_err("the ledger is not there");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.maybe_executed(), "it was: {error}");
    assert_eq!(debits.load(Ordering::SeqCst), 1);
    assert_eq!(channel.retries(), 0);
}
