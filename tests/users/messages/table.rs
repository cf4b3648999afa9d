//! The table: mistakes in the order in which they were made, and what is demanded of every message.

use std::{error::Error, fmt::Write as _, fs, path::Path};

use rpcnet::CallError;

/// Longer messages are not read.
const LONGEST: usize = 900;

#[derive(Default)]
pub(crate) struct Table {
    text: String,
    mistakes: usize,
    faults: Vec<String>,
}

impl Table {
    pub(crate) fn section(&mut self, title: &str) {
        writeln!(self.text, "\n## {title}").expect("a string takes all");
    }

    /// A mistake and the error that it came to. `words` are what happened, to whom, and the next step.
    pub(crate) fn row(&mut self, mistake: &str, error: &dyn Error, words: [&str; 3]) {
        let message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            if message.contains(&cause.to_string()) {
                self.faults.push(format!("{mistake}: its chain says twice: {cause}"));
            }
            source = cause.source();
        }
        self.line(mistake, &message, words);
    }

    /// Adds a call's error: this side's own error is the source of its status, to be downcast.
    pub(crate) fn status(&mut self, mistake: &str, error: &CallError, words: [&str; 3]) {
        self.line(mistake, &error.to_string(), words);
    }

    /// Adds a message alone.
    pub(crate) fn line(&mut self, mistake: &str, message: &str, words: [&str; 3]) {
        self.mistakes += 1;
        let mut fault = |what: &str| self.faults.push(format!("{mistake}: {what}: {message}"));
        for word in words {
            if !message.contains(word) {
                fault(&format!("does not say {word:?}"));
            }
        }
        if message.contains('\n') || message.chars().any(char::is_control) {
            fault("is more than one line");
        }
        if message.starts_with(|first: char| first.is_uppercase()) && !message.starts_with("TLS ") {
            fault("begins with a capital");
        }
        if message.len() > LONGEST {
            fault("is too long");
        }
        for debug in ["Other(", "Some(", "Err(", "Error {", "Arc(", "  "] {
            if message.contains(debug) {
                fault(&format!("shows the program's inside, {debug:?}"));
            }
        }
        let message = normal(message);
        writeln!(self.text, "\n{mistake}\n> {message}").expect("a string takes all");
    }

    pub(crate) fn compare(self) {
        let Self { text, mistakes, faults } = self;
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(mistakes >= 40, "{mistakes}");
        let head = "# What users are told\n\nEach mistake with its whole message. `tests/users/messages` makes the mistakes, and \
                    compares.\nPorts, times, ids and directories are replaced.\n";
        let text = format!("{head}{text}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("users/messages/messages.md");
        if std::env::var("MESSAGES").is_ok_and(|wish| wish == "overwrite") {
            fs::write(&path, &text).expect("the source can be written");
            return;
        }
        let expected = fs::read_to_string(&path).expect("the file is beside this one");
        for (line, (found, expected)) in text.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "line {} of {}", line + 1, path.display());
        }
        assert_eq!(text.lines().count(), expected.lines().count(), "{}", path.display());
    }
}

/// The message with placeholders for what differs from run to run.
fn normal(message: &str) -> String {
    let mut normal = message.to_owned();
    if let Some(directory) = std::env::temp_dir().to_str() {
        normal = after(&normal, &format!("{directory}/"), "<directory>", |c| {
            c.is_ascii_alphanumeric() || ".-_".contains(c)
        });
    }
    for host in ["127.0.0.1:", "localhost:"] {
        normal = after(&normal, host, &format!("{host}<port>"), |c| c.is_ascii_digit());
    }
    after(&normal, "clock says ", "clock says <now>", |c| c.is_ascii_alphanumeric() || "-:".contains(c))
}

/// With this mark, and the characters of a kind that follow it, replaced, unless there are none.
fn after(text: &str, mark: &str, replacement: &str, kind: impl Fn(char) -> bool) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(mark) {
        let (before, from) = rest.split_at(start);
        let tail = &from[mark.len()..];
        let length = tail.find(|c| !kind(c)).unwrap_or(tail.len());
        result.push_str(before);
        result.push_str(if length == 0 { mark } else { replacement });
        rest = &tail[length..];
    }
    result + rest
}
