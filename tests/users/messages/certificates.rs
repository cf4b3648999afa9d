//! Certificates: their texts, handshakes that are refused, reloads.

use rpcnet::{
    Channel, ConfigError, ServerConfig,
    dev::{DevCa, DevCert, DevCertOptions},
};
use rpcnet_tests::{
    certificates::{bare, ca_of, client, issue, named, server},
    within,
};

use super::table::Table;

/// The bytes within a PEM text.
fn der(pem: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for line in pem.lines().filter(|line| !line.starts_with('-')) {
        for char in line.bytes().filter(|char| *char != b'=') {
            let value = ALPHABET.iter().position(|known| *known == char).expect("base64") as u32;
            bits = bits << 6 | value;
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
                bits &= (1 << count) - 1;
            }
        }
    }
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

fn section(label: &str) -> String {
    format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
}

pub(crate) fn texts(table: &mut Table) {
    table.section("Texts of certificates and keys");
    let ca = ca_of("dev");
    let DevCert { cert, key } = issue(&ca, &named("good"));
    let other = issue(&ca, &named("other"));
    let pair = |cert: &[u8], key: &[u8]| -> ConfigError {
        let error = ServerConfig::builder().with_cert_and_key(cert, key).expect_err("of no use");
        let of_channel = Channel::builder().with_cert_and_key(cert, key).expect_err("of no use");
        assert_eq!(error.to_string(), of_channel.to_string());
        error
    };
    let own = |cert: &[u8]| pair(cert, key.as_bytes());
    let keys = |key: &[u8]| pair(cert.as_bytes(), key);
    let authority = |pem: &[u8]| Channel::builder().with_ca_cert(pem).expect_err("of no use");
    let damaged = section("CERTIFICATE");
    let cut = &cert[..cert.len() / 2];
    let rows = [
        ("an empty file", own(b""), ["is empty", "certificate", "check that the right file was read"]),
        ("a file that is not PEM", own(b"hello"), ["is not PEM", "certificate", "-----BEGIN"]),
        (
            "a path in place of the file",
            own(b"certs/tls.crt"),
            ["is a path", "certificate", "give the contents"],
        ),
        ("a certificate in DER form", own(&der(&cert)), ["DER", "certificate", "openssl x509"]),
        ("a key in DER form", keys(&der(&key)), ["DER", "private key", "openssl pkey"]),
        ("a PKCS #12 bundle", own(&[0x30, 0x82, 0xff, 0x00]), ["is binary", "certificate", "openssl pkcs12"]),
        ("a file in UTF-16", own(&utf16(&cert)), ["UTF-16", "certificate", "save the file as UTF-8"]),
        (
            "an encrypted key",
            keys(section("ENCRYPTED PRIVATE KEY").as_bytes()),
            ["encrypted", "private key", "openssl pkcs8"],
        ),
        ("a key for a certificate", own(key.as_bytes()), ["is a private key", "certificate", "swapped"]),
        ("a certificate for a key", keys(cert.as_bytes()), ["is a certificate", "private key", "swapped"]),
        (
            "a request for a certificate",
            own(section("CERTIFICATE REQUEST").as_bytes()),
            ["request", "certificate", "have a CA sign it"],
        ),
        (
            "an OpenSSH key",
            keys(section("OPENSSH PRIVATE KEY").as_bytes()),
            ["OPENSSH", "private key", "give another file"],
        ),
        (
            "a certificate that is cut off",
            own(cut.as_bytes()),
            ["can't be read", "certificate 1 of 1", "replace"],
        ),
        (
            "a bundle with a damaged CA",
            authority(format!("{}{damaged}{}", ca.ca_pem(), ca.ca_pem()).as_bytes()),
            ["can't be read", "certificate 2 of 3", "replace or remove it"],
        ),
        (
            "a CA's file that is a key",
            authority(key.as_bytes()),
            ["is a private key", "CA certificate", "check"],
        ),
        (
            "the key of another certificate",
            keys(other.key.as_bytes()),
            ["does not match", "private key", "give the key"],
        ),
    ];
    for (mistake, error, words) in rows {
        table.row(mistake, &error, words);
    }
}

pub(crate) async fn handshakes(table: &mut Table) {
    table.section("Certificates that are refused");
    let (ours, theirs, twin) = (ca_of("ours"), ca_of("theirs"), ca_of("ours"));
    let good = server(&ours, &issue(&ours, &named("server")));
    let us = issue(&ours, &named("client"));
    let nowhere = named("server").with_hosts(vec![], vec!["server.example".into()]);
    let server_of = |ca: &DevCa, options: &DevCertOptions| server(&ours, &issue(ca, options));
    let by_server = "the server refused the client's certificate CN=client";
    let by_client = "the client refused the server's certificate CN=server";
    let rows = [
        (
            "a client of another CA",
            client(&ours, &issue(&theirs, &named("client"))),
            good.clone(),
            ["its CA is not trusted", by_server, "with_ca_cert"],
        ),
        (
            "a client of a CA with the same name",
            client(&ours, &issue(&twin, &named("client"))),
            good.clone(),
            ["but another key", by_server, "with_ca_cert"],
        ),
        (
            "a client that trusts another CA",
            client(&theirs, &us),
            good.clone(),
            ["its CA is not trusted", by_client, "with_ca_cert"],
        ),
        (
            "a server of another CA",
            client(&ours, &us),
            server_of(&theirs, &named("server")),
            ["its CA is not trusted", by_client, "with_cert_and_key"],
        ),
        (
            "a client without a certificate",
            bare(&ours),
            good.clone(),
            ["none was shown", "the server demands a certificate of the client", "with_cert_and_key"],
        ),
        (
            "the same, at a server for another host",
            bare(&ours),
            server_of(&ours, &nowhere),
            ["the client has no certificate", by_client, "with_cert_and_key"],
        ),
        (
            "an expired client",
            client(&ours, &issue(&ours, &named("client").expired())),
            good.clone(),
            ["it has expired (2020-01-01", by_server, "renew it"],
        ),
        (
            "an expired server",
            client(&ours, &us),
            server_of(&ours, &named("server").expired()),
            ["it has expired (2020-01-01", by_client, "renew it"],
        ),
        (
            "a client that is not valid yet",
            client(&ours, &issue(&ours, &named("client").not_yet_valid())),
            good.clone(),
            ["not valid yet (2100-01-01", by_server, "set the clocks"],
        ),
        (
            "a server of another cluster",
            client(&ours, &us),
            server_of(&ours, &named("server").with_cluster("prod")),
            ["cluster \"prod\"", by_client, "check the address"],
        ),
        (
            "a server for another host",
            client(&ours, &us),
            server_of(&ours, &nowhere.clone().with_cluster("")),
            ["is not among its names", by_client, "dial one of them"],
        ),
    ];
    for (mistake, client, server, words) in rows {
        let error = within(client.connect(server.local_addr().to_string())).await.expect_err(mistake);
        table.row(mistake, &error, words);
    }
}

pub(crate) async fn reloads(table: &mut Table) {
    table.section("Certificates that are loaded anew");
    let (ours, theirs) = (ca_of("ours"), ca_of("theirs"));
    let server = server(&ours, &issue(&ours, &named("server")));
    for (mistake, new, words) in [
        (
            "an expired certificate",
            issue(&ours, &named("new").expired()),
            ["has expired", "CN=new", "issue a new one"],
        ),
        (
            "a certificate that is not valid yet",
            issue(&ours, &named("new").not_yet_valid()),
            ["is not valid yet", "CN=new", "load it later"],
        ),
        (
            "a certificate of a CA that is not trusted",
            issue(&theirs, &named("new")),
            ["its CA is not trusted here", "CN=new", "reload_ca_cert"],
        ),
    ] {
        table.row(mistake, &server.reload_certificate(new.cert, new.key).await.expect_err(mistake), words);
    }
}
