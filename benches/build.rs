//! Tells `instructions` which compiler it was built with: what that makes of the code is what is counted.

use std::{env, process::Command};

fn main() {
    let rustc = env::var_os("RUSTC").expect("cargo tells build scripts");
    let version = Command::new(rustc).arg("--version").output().expect("rustc has just been run");
    let version = String::from_utf8_lossy(&version.stdout);
    // `rustc 1.95.0 (59807616e 2026-04-14)`: what follows the number says the same again.
    let number = version.split_ascii_whitespace().nth(1).unwrap_or_default();
    println!("cargo::rustc-env=RUSTC_VERSION={number}");
    println!("cargo::rerun-if-changed=build.rs");
}
