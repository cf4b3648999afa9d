use std::collections::HashMap;
use std::fs;

use clap::{CommandFactory, Parser};
use tempfile::NamedTempFile;

use super::*;

/// An environment of these variables.
fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    let variables: HashMap<String, OsString> =
        variables.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
    move |name| variables.get(name).cloned()
}

fn director(flags: &[&str], variables: &[(&str, &str)]) -> Result<DirectorSettings, SettingsError> {
    let args = DirectorArgs::try_parse_from([&["director"], flags].concat()).unwrap();
    args.resolve(environment(variables))
}

fn worker(flags: &[&str], variables: &[(&str, &str)]) -> Result<WorkerSettings, SettingsError> {
    let args = WorkerArgs::try_parse_from([&["worker"], flags].concat()).unwrap();
    args.resolve(environment(variables))
}

fn client(flags: &[&str], variables: &[(&str, &str)]) -> Result<ClientSettings, SettingsError> {
    let args = ClientArgs::try_parse_from([&["client"], flags].concat()).unwrap();
    args.resolve(environment(variables))
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn flags_are_well_formed() {
    DirectorArgs::command().debug_assert();
    WorkerArgs::command().debug_assert();
    ClientArgs::command().debug_assert();
}

#[test]
fn defaults() {
    let settings = director(&["--dev-certs"], &[]).unwrap();
    let shared = SharedSettings {
        certificates: Certificates::Development(".rpcnet-dev".into()),
        advertise: None,
        log: "info".to_owned(),
    };
    assert_eq!(
        settings,
        DirectorSettings {
            shared: shared.clone(),
            bind: "127.0.0.1:8080".parse().unwrap(),
            seeds: vec![],
            label: None,
            region: None,
            gossip: None,
            metrics: None,
        }
    );
    let settings = worker(&["--dev-certs"], &[]).unwrap();
    assert_eq!(settings.bind, "127.0.0.1:8081".parse().unwrap());
    assert_eq!(settings.seeds, ["127.0.0.1:8080"]);

    let settings = client(&["--dev-certs", "a", "b"], &[]).unwrap();
    assert_eq!(
        settings,
        ClientSettings {
            shared: SharedSettings { log: "warn".to_owned(), ..shared },
            directors: vec!["127.0.0.1:8080".to_owned()],
            inputs: vec!["a".into(), "b".into()],
            top: 20,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            in_flight: 64,
            repeat_for: Duration::ZERO,
            json_lines: false,
        }
    );
}

#[test]
fn the_environment_as_documented() {
    let common = [
        ("RPCNET_CERT_DIR", "/etc/rpcnet"),
        ("SEED_NODES", "a:1, b:2,,[::1]:3 "),
        ("REGION", "us-east"),
        ("METRICS_ADDR", "0.0.0.0:9090"),
        ("BIND_ADDR", "0.0.0.0"),
        ("ADVERTISE_ADDR", "node.example:8080"),
        ("RUST_LOG", "rpcnet=debug"),
    ];
    let own = [("DIRECTOR_ADDR", "0.0.0.0:1"), ("NODE_LABEL", "d1")];
    let settings = director(&[], &[&common[..], &own].concat()).unwrap();
    let shared = SharedSettings {
        certificates: Certificates::Directory("/etc/rpcnet".into()),
        advertise: Some("node.example:8080".to_owned()),
        log: "rpcnet=debug".to_owned(),
    };
    assert_eq!(settings.bind, "0.0.0.0:1".parse().unwrap());
    assert_eq!(settings.seeds, ["a:1", "b:2", "[::1]:3"]);
    assert_eq!(settings.label.as_deref(), Some("d1"));
    assert_eq!(settings.region.as_deref(), Some("us-east"));
    assert_eq!(settings.metrics, Some("0.0.0.0:9090".parse().unwrap()));
    assert_eq!(settings.gossip, Some("0.0.0.0:7946".parse().unwrap()), "its port, if none is given");
    assert_eq!(settings.shared, shared);

    let own = [("WORKER_ADDR", "0.0.0.0:2"), ("WORKER_LABEL", "w1"), ("DIRECTOR_ADDR", "d:8,b:2")];
    let settings = worker(&[], &[&common[..], &own].concat()).unwrap();
    assert_eq!(settings.bind, "0.0.0.0:2".parse().unwrap());
    assert_eq!(settings.seeds, ["d:8", "b:2", "a:1", "[::1]:3"]);
    assert_eq!(settings.label.as_deref(), Some("w1"));
    assert_eq!(settings.shared, shared);

    let own = [("DIRECTOR_ADDR", "d:8,e:8")];
    let settings = client(&["README.md"], &[&common[..], &own].concat()).unwrap();
    assert_eq!(settings.directors, ["d:8", "e:8"]);
    assert_eq!(settings.shared, shared);
}

#[test]
fn gossip_has_a_socket_of_its_own_where_it_is_told_to() {
    for (text, expected) in [
        ("10.0.0.1", "10.0.0.1:7946"),
        ("10.0.0.1:7", "10.0.0.1:7"),
        ("::", "[::]:7946"),
        ("[::1]:8", "[::1]:8"),
    ] {
        let settings = worker(&["--dev-certs", "--bind-addr", text], &[]).unwrap();
        assert_eq!(settings.gossip, Some(expected.parse().unwrap()));
    }
    let error = worker(&["--dev-certs"], &[("BIND_ADDR", "gossip:7946")]).unwrap_err().to_string();
    assert!(error.contains("BIND_ADDR") && error.contains("with or without a port"), "{error}");
}

#[test]
fn flags_stand_over_the_environment_over_the_file() {
    let file = file(
        "addr = '1.1.1.1:1'\nseed_nodes = ['f:1', 'g:1']\nlabel = 'file'\nregion = 'file'\n\
         dev_certs = true\nlog = 'trace'",
    );
    let config = ["--config", file.path().to_str().unwrap()];
    let settings = director(&config, &[]).unwrap();
    assert_eq!(settings.bind, "1.1.1.1:1".parse().unwrap());
    assert_eq!(settings.seeds, ["f:1", "g:1"]);
    assert_eq!(settings.shared.log, "trace");

    let variables = [("DIRECTOR_ADDR", "2.2.2.2:2"), ("NODE_LABEL", "env"), ("REGION", "")];
    let flags = [&config[..], &["--addr", "3.3.3.3:3", "--seed-nodes", "h:1", "--seed-nodes=i:1"]];
    let settings = director(&flags.concat(), &variables).unwrap();
    assert_eq!(settings.bind, "3.3.3.3:3".parse().unwrap());
    assert_eq!(settings.seeds, ["h:1", "i:1"]);
    assert_eq!(settings.label.as_deref(), Some("env"));
    assert_eq!(settings.region.as_deref(), Some("file"), "empty is not set");
    let development = Certificates::Development(DEVELOPMENT_CERTIFICATES.into());
    assert_eq!(settings.shared.certificates, development);
}

#[test]
fn a_file_for_the_client() {
    let file = file(
        "inputs = ['README.md']\ntop = 5\nchunk_bytes = 100\nin_flight = 2\nseconds = 3\n\
         director_addr = 'a:1,b:2'\ncert_dir = 'certs'",
    );
    let settings = client(&["--config", file.path().to_str().unwrap(), "--top", "7"], &[]).unwrap();
    assert_eq!(settings.inputs, [PathBuf::from("README.md")]);
    assert_eq!((settings.top, settings.chunk_bytes, settings.in_flight), (7, 100, 2));
    assert_eq!(settings.repeat_for, Duration::from_secs(3));
    assert_eq!(settings.directors, ["a:1", "b:2"]);
    assert_eq!(settings.shared.certificates, Certificates::Directory("certs".into()));
}

#[test]
fn a_wrong_value_is_named_with_its_origin() {
    let message =
        |flags: &[&str], variables: &[(&str, &str)]| director(flags, variables).unwrap_err().to_string();
    assert_eq!(
        message(&["--addr", "localhost:1"], &[("DIRECTOR_ADDR", "127.0.0.1:1")]),
        "--addr is `localhost:1`: give an IP address and a port, such as 127.0.0.1:8080"
    );
    assert_eq!(
        message(&[], &[("DIRECTOR_ADDR", "8080")]),
        "DIRECTOR_ADDR in the environment is `8080`: \
         give an IP address and a port, such as 127.0.0.1:8080"
    );
    assert_eq!(
        message(&[], &[("SEED_NODES", "a:1,b")]),
        "SEED_NODES in the environment is `b`: give a host and a port, such as director-1:8080"
    );
    assert_eq!(
        message(&["--seed-nodes", "::1:80"], &[]),
        "--seed-nodes is `::1:80`: put the IPv6 address in brackets, as [::1]:80"
    );
    for wrong in ["a:0", ":1", "a b:1", "a:+1", "a:65536", "http://a:1", "[::1:1", "[a]:1"] {
        let message = message(&["--advertise-addr", wrong, "--dev-certs"], &[]);
        assert!(message.contains(wrong), "{message}");
    }
    let message = message(&["--log", "rpcnet=loud", "--dev-certs"], &[]);
    assert!(message.contains("give a log filter"), "{message}");
    let message = client(&["x", "--in-flight", "0"], &[]).unwrap_err().to_string();
    assert_eq!(message, "--in-flight is `0`: give a number from 1 to 4096");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_unicode_is_named() {
    use std::os::unix::ffi::OsStringExt;

    let args = DirectorArgs::default();
    let error =
        args.resolve(|name| (name == "NODE_LABEL").then(|| OsString::from_vec(vec![0xff]))).unwrap_err();
    assert!(error.to_string().starts_with("NODE_LABEL in the environment is"), "{error}");
}

#[test]
fn a_wrong_file_is_named() {
    let message = |text: &str| {
        let file = file(text);
        let path = file.path().to_str().unwrap();
        let error = director(&["--dev-certs", "--config", path], &[]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(path) && !message.contains('\n'), "{message}");
        message.replace(path, "FILE")
    };
    assert_eq!(
        message("addr = 8080"),
        "addr in FILE is `8080`: give an IP address and a port, such as 127.0.0.1:8080"
    );
    assert_eq!(message("label = ['a', 'b']"), "label in FILE is `[a, b]`: give one value, not a list");
    assert!(message("[label]\nx = 1").contains("give a string, a number"));
    assert!(message("region = 'x'\nlable = 'x'").starts_with(
        "FILE has the unknown key `lable`: the keys are cert_dir, dev_certs, advertise_addr, log, addr"
    ));
    assert!(message("region = 'x'\nlabel = \n").starts_with("FILE, line 2: "));

    let error = director(&["--config", "/no/such.toml"], &[]).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the file of --config, `/no/such.toml`");
}

#[test]
fn what_is_missing_is_said() {
    let certificates = "no certificates: set RPCNET_CERT_DIR to a directory with ca.crt, node.crt \
                        and node.key, or pass --dev-certs to use a development CA";
    assert_eq!(director(&[], &[]).unwrap_err().to_string(), certificates);
    assert_eq!(worker(&[], &[]).unwrap_err().to_string(), certificates);
    assert_eq!(client(&["x"], &[]).unwrap_err().to_string(), certificates);
    let error = client(&["--dev-certs"], &[]).unwrap_err();
    assert!(matches!(error, SettingsError::NoInput));

    let both = worker(&["--dev-certs", "--cert-dir", "mine"], &[]).unwrap();
    let expected = Certificates::Development("mine".into());
    assert_eq!(both.shared.certificates, expected);
}
