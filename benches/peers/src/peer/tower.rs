//! tower's p2c over peak EWMA, as a user would put it before tonic. There are four channels over mutual TLS, each a
//! service whose load is tracked. As a balancer has one user, the buffer that tonic puts before its own balancer is put
//! before this one. The assumed latency and the decay are from tower's example `tower-balance`; rpcnet's decay is the
//! same.

use std::{net::SocketAddr, time::Duration};

use rpcnet_benches::{Credentials, Failure};
use tonic::{body::Body, codegen::http::Request, transport::Channel};
use tower::{
    Service,
    balance::p2c::Balance,
    buffer::Buffer,
    discover::ServiceList,
    load::{CompleteOnResponse, PeakEwmaDiscover},
};

use super::{
    Peer,
    tonic::{EchoClient, Security, Tonic},
};

/// The assumed latency of an endpoint without observations.
const ASSUMED: Duration = Duration::from_millis(30);
const DECAY: Duration = Duration::from_secs(10);
/// The number of calls that wait for a pick, which is tonic's default.
const BUFFER: usize = 1024;

type Balancer = Balance<PeakEwmaDiscover<ServiceList<Vec<Channel>>>, Request<Body>>;
type Buffered = Buffer<Request<Body>, <Balancer as Service<Request<Body>>>::Future>;

pub(crate) struct PeakEwma {
    tonic: Tonic,
    servers: Vec<SocketAddr>,
}

impl PeakEwma {
    pub(crate) fn new(credentials: &Credentials, servers: &[SocketAddr]) -> Self {
        Self { tonic: Tonic::new(credentials, Security::Tls), servers: servers.to_owned() }
    }
}

impl Peer for PeakEwma {
    type Client = EchoClient<Buffered>;

    async fn connect(&self, _: SocketAddr) -> Result<Self::Client, Failure> {
        let mut channels = Vec::new();
        for server in &self.servers {
            channels.push(self.tonic.endpoint(*server)?.connect().await?);
        }
        let servers = ServiceList::new::<Request<Body>>(channels);
        let servers = PeakEwmaDiscover::new(servers, ASSUMED, DECAY, CompleteOnResponse::default());
        Ok(EchoClient::new(Buffer::new(Balancer::new(servers), BUFFER)))
    }
}
