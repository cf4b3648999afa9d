//! Servers and clients with certificates of several authorities.

use rpcnet::{
    Channel, ChannelBuilder, Server, ServerConfig,
    dev::{DevCa, DevCert, DevCertOptions},
};

use crate::{ProbeServer, ProbeService, run};

/// An authority of this cluster.
pub fn ca_of(cluster: &str) -> DevCa {
    DevCa::generate_for(cluster).expect("a CA")
}

/// A certificate of this name in the cluster `dev`.
pub fn named(name: &str) -> DevCertOptions {
    DevCertOptions::new(name).with_cluster("dev")
}

/// Has the authority issue a certificate.
pub fn issue(ca: &DevCa, options: &DevCertOptions) -> DevCert {
    ca.issue_with(options).expect("a certificate")
}

/// A server with a probe that runs in a task.
pub fn server(trusts: &DevCa, shows: &DevCert) -> Server {
    let config = ServerConfig::builder()
        .with_cert_and_key(&shows.cert, &shows.key)
        .and_then(|builder| builder.with_ca_cert(trusts.ca_pem()));
    let server = Server::new(config.expect("good").build().expect("complete")).expect("a free port");
    let (service, _probed) = ProbeService::new("server");
    server.register(ProbeServer::new(service)).expect("the first of its name");
    run(&server);
    server
}

/// A client without a certificate.
pub fn bare(trusts: &DevCa) -> ChannelBuilder {
    Channel::builder().with_ca_cert(trusts.ca_pem()).expect("good")
}

/// A client with a certificate.
pub fn client(trusts: &DevCa, shows: &DevCert) -> ChannelBuilder {
    bare(trusts).with_cert_and_key(&shows.cert, &shows.key).expect("good")
}
