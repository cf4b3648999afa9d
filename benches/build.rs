//! Passes the compiler's version to `instructions`, which counts the instructions of this compiler's code.

use std::{env, process::Command};

fn main() {
    let rustc = env::var_os("RUSTC").expect("cargo tells build scripts");
    let version = Command::new(rustc).arg("--version").output().expect("rustc has just been run");
    let version = String::from_utf8_lossy(&version.stdout);
    // `rustc 1.95.0 (59807616e 2026-04-14)`: the part after the number identifies the same release.
    let number = version.split_ascii_whitespace().nth(1).unwrap_or_default();
    println!("cargo::rustc-env=RUSTC_VERSION={number}");
    println!("cargo::rerun-if-changed=build.rs");
}
