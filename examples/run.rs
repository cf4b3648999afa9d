//! Runs each page as a process and compares what it prints.

use std::{path::Path, time::Duration};

use tokio::{process::Command, time::timeout};

/// The longest that a page may take. A page usually takes less than a second; the bound holds on a busy machine too.
const BOUND: Duration = Duration::from_secs(60);

/// The most lines of a page.
const LINES: usize = 80;

async fn printed(binary: &str) -> Vec<String> {
    let output = Command::new(binary).kill_on_drop(true).output();
    let output = timeout(BOUND, output).await.expect("the page ends").expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("a page prints text").lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn hello() {
    assert_eq!(printed(env!("CARGO_BIN_EXE_hello")).await, ["hello, Ada"]);
}

#[tokio::test]
async fn streams() {
    let lines = ["line 8", "line 9", "2 lines loaded", "Some(\"HELLO\")", "None"];
    assert_eq!(printed(env!("CARGO_BIN_EXE_streams")).await, lines);
}

#[tokio::test]
async fn cluster() {
    let lines = [
        "hello Ada, this is worker-1",
        "hello Ada, this is worker-2",
        "hello Bob, this is worker-2",
        "hello Bob, this is worker-2",
        "hello Bob, this is worker-2",
    ];
    assert_eq!(printed(env!("CARGO_BIN_EXE_cluster")).await, lines);
}

#[tokio::test]
async fn relay() {
    let lines = ["Direct: hello Ada, I was called by client", "Relay: hello Ada, I was called by director"];
    assert_eq!(printed(env!("CARGO_BIN_EXE_relay")).await, lines);
}

#[tokio::test]
async fn interceptor() {
    let lines = ["refused: unauthenticated: x-token is missing or wrong", "welcome, Ali Baba"];
    assert_eq!(printed(env!("CARGO_BIN_EXE_interceptor")).await, lines);
}

/// `testing.rs` is a test itself, which cargo runs.
#[test]
fn a_page_can_be_read_at_once() {
    for page in ["hello", "streams", "cluster", "relay", "interceptor", "testing"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page).with_extension("rs");
        let text = std::fs::read_to_string(&path).expect("the page is here");
        let lines = text.lines().count();
        assert!(lines <= LINES, "{page} has {lines} lines, more than {LINES}");
    }
}
