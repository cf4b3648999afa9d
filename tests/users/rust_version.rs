//! No dependency asks for a newer Rust than the workspace does.

use std::process::Command;

use serde_json::Value;

/// A Rust version as manifests have it: `1.88` is `1.88.0`.
fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().expect("a number"));
    [0; 3].map(|_| parts.next().unwrap_or(0))
}

#[test]
fn no_dependency_asks_for_a_newer_rust() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ours = version(env!("CARGO_PKG_RUST_VERSION"));
    let packages = metadata["packages"].as_array().expect("a list");
    let asked = |package: &Value| package["rust_version"].as_str().map(version);
    assert!(packages.iter().filter(|package| asked(package).is_some()).count() > 100, "the field is read");
    let newer: Vec<_> = packages
        .iter()
        .filter(|package| asked(package) > Some(ours))
        .map(|package| {
            format!("{} {} asks for {}", package["name"], package["version"], package["rust_version"])
        })
        .collect();
    assert!(newer.is_empty(), "newer than {}:\n{}", env!("CARGO_PKG_RUST_VERSION"), newer.join("\n"));
}

#[test]
fn versions_are_compared_by_number() {
    assert_eq!(version("1.88"), [1, 88, 0]);
    assert!(version("1.100.1") > version("1.88"));
}
