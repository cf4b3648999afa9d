//! Operations on a simulated cluster, and lists of them that can be printed and read back.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;

use super::network::Fault;

/// An operation on a simulated cluster.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Starts a node: a new life at the same address, with a later generation, and without tags. A node that runs is
    /// killed first.
    Start {
        /// The index of the node.
        node: usize,
        /// True if the node looks for the members that it knew, besides its seeds.
        remembering: bool,
    },
    /// Ends a node at once.
    Crash(usize),
    /// Lets a node leave the cluster. It runs on, and answers that it has left.
    Leave(usize),
    /// Sets a tag of a node.
    SetTag {
        /// The index of the node.
        node: usize,
        /// The tag's key.
        key: String,
        /// The tag's value.
        value: String,
    },
    /// Removes a tag of a node.
    RemoveTag {
        /// The index of the node.
        node: usize,
        /// The tag's key.
        key: String,
    },
    /// Gives all nodes a value under a key, as [`Node::broadcast`](crate::swim::Node::broadcast) does.
    Broadcast {
        /// The index of the node that broadcasts.
        node: usize,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Takes the value away from a key.
    Withdraw {
        /// The index of the node that withdraws.
        node: usize,
        /// The key.
        key: String,
    },
    /// Puts a node's clock forward, as when its host was suspended.
    Forward {
        /// The index of the node.
        node: usize,
        /// The time by which the clock jumps.
        by: Duration,
    },
    /// Puts back the clock that a node's generation is taken from when it is started the next time.
    Back {
        /// The index of the node.
        node: usize,
        /// The time by which the clock is put back.
        by: Duration,
    },
    /// Disturbs network or process for a time.
    Fault {
        /// The disturbance.
        fault: Fault,
        /// Its duration.
        lasting: Duration,
    },
}

impl Operation {
    /// The time for which the operation goes on disturbing.
    pub(super) fn lasting(&self) -> Duration {
        match self {
            Self::Fault { lasting, .. } => *lasting,
            _ => Duration::ZERO,
        }
    }
}

/// A list of operations, each with a time after the start of the simulation. The text form has one line for each
/// operation.
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet_cluster::testing::{Fault, Operation, ParseScriptError, Script};
///
/// # fn main() -> Result<(), ParseScriptError> {
/// let fault = Fault::Cut { from: 0, to: 1 };
/// let script = Script::new()
///     .at(Duration::from_secs(1), Operation::Crash(2))
///     .at(Duration::from_secs(5), Operation::Fault { fault, lasting: Duration::from_secs(10) });
/// assert_eq!(script.to_string(), "1000ms crash 2\n5000ms cut 0 1 for 10000ms\n");
/// assert_eq!(script.to_string().parse::<Script>()?, script);
/// assert_eq!(script.end(), Duration::from_secs(15));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    operations: Vec<(Duration, Operation)>,
}

impl Script {
    /// A script without operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an operation, after the operations at the same time.
    #[must_use]
    pub fn at(mut self, at: Duration, operation: Operation) -> Self {
        let index = self.operations.partition_point(|(other, _)| *other <= at);
        self.operations.insert(index, (at, operation));
        self
    }

    /// The operations by time.
    pub fn operations(&self) -> &[(Duration, Operation)] {
        &self.operations
    }

    /// The time at which all operations are done and all faults are over.
    pub fn end(&self) -> Duration {
        self.operations.iter().map(|(at, operation)| *at + operation.lasting()).max().unwrap_or_default()
    }

    /// This script without the operations at these indices.
    pub(super) fn without(&self, places: std::ops::Range<usize>) -> Self {
        let mut operations = self.operations.clone();
        operations.drain(places);
        Self { operations }
    }
}

struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { node, remembering: true } => write!(f, "start {node} remembering"),
            Self::Start { node, remembering: false } => write!(f, "start {node}"),
            Self::Crash(node) => write!(f, "crash {node}"),
            Self::Leave(node) => write!(f, "leave {node}"),
            Self::SetTag { node, key, value } => write!(f, "tag {node} {key} {value}"),
            Self::RemoveTag { node, key } => write!(f, "untag {node} {key}"),
            Self::Broadcast { node, key, value } => write!(f, "broadcast {node} {key} {value}"),
            Self::Withdraw { node, key } => write!(f, "withdraw {node} {key}"),
            Self::Forward { node, by } => write!(f, "forward {node} {}", Millis(*by)),
            Self::Back { node, by } => write!(f, "back {node} {}", Millis(*by)),
            Self::Fault { fault, lasting } => {
                match fault {
                    Fault::Latency { least, most } => {
                        write!(f, "latency {} {}", Millis(*least), Millis(*most))?
                    }
                    Fault::Loss(share) => write!(f, "loss {share}")?,
                    Fault::Duplication(share) => write!(f, "duplicate {share}")?,
                    Fault::Reordering { share, by } => write!(f, "reorder {share} {}", Millis(*by))?,
                    Fault::Cut { from, to } => write!(f, "cut {from} {to}")?,
                    Fault::Partition(groups) => {
                        let groups: Vec<_> = groups.iter().map(|group| join(group)).collect();
                        write!(f, "partition {}", groups.join("|"))?;
                    }
                    Fault::Pause(node) => write!(f, "pause {node}")?,
                    Fault::Block(node) => write!(f, "block {node}")?,
                }
                write!(f, " for {}", Millis(*lasting))
            }
        }
    }
}

fn join(nodes: &[usize]) -> String {
    nodes.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, operation) in &self.operations {
            writeln!(f, "{} {operation}", Millis(*at))?;
        }
        Ok(())
    }
}

/// The error for text that is no [`Script`].
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[error("line {line} is no operation: {text:?}")]
pub struct ParseScriptError {
    line: usize,
    text: String,
}

impl FromStr for Script {
    type Err = ParseScriptError;

    /// Reads the text that [`Display`](fmt::Display) writes. Empty lines are skipped.
    fn from_str(text: &str) -> Result<Self, ParseScriptError> {
        let mut script = Self::new();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let mut words = Words(text.split_whitespace());
            let parsed = words.time().and_then(|at| Some((at, words.operation()?)));
            let (at, operation) = parsed
                .filter(|_| words.0.next().is_none())
                .ok_or_else(|| ParseScriptError { line, text: text.trim().to_owned() })?;
            script = script.at(at, operation);
        }
        Ok(script)
    }
}

struct Words<'a>(std::str::SplitWhitespace<'a>);

impl Words<'_> {
    fn parsed<T: FromStr>(&mut self) -> Option<T> {
        self.0.next()?.parse().ok()
    }

    fn time(&mut self) -> Option<Duration> {
        self.0.next()?.strip_suffix("ms")?.parse().ok().map(Duration::from_millis)
    }

    fn operation(&mut self) -> Option<Operation> {
        Some(match self.0.next()? {
            "start" => {
                let node = self.parsed()?;
                let remembering = match self.0.next() {
                    None => false,
                    Some("remembering") => true,
                    Some(_) => return None,
                };
                Operation::Start { node, remembering }
            }
            "crash" => Operation::Crash(self.parsed()?),
            "leave" => Operation::Leave(self.parsed()?),
            "tag" => Operation::SetTag { node: self.parsed()?, key: self.parsed()?, value: self.parsed()? },
            "untag" => Operation::RemoveTag { node: self.parsed()?, key: self.parsed()? },
            "broadcast" => {
                Operation::Broadcast { node: self.parsed()?, key: self.parsed()?, value: self.parsed()? }
            }
            "withdraw" => Operation::Withdraw { node: self.parsed()?, key: self.parsed()? },
            "forward" => Operation::Forward { node: self.parsed()?, by: self.time()? },
            "back" => Operation::Back { node: self.parsed()?, by: self.time()? },
            fault => {
                let fault = self.fault(fault)?;
                let "for" = self.0.next()? else { return None };
                Operation::Fault { fault, lasting: self.time()? }
            }
        })
    }

    fn fault(&mut self, name: &str) -> Option<Fault> {
        Some(match name {
            "latency" => Fault::Latency { least: self.time()?, most: self.time()? },
            "loss" => Fault::Loss(self.parsed()?),
            "duplicate" => Fault::Duplication(self.parsed()?),
            "reorder" => Fault::Reordering { share: self.parsed()?, by: self.time()? },
            "cut" => Fault::Cut { from: self.parsed()?, to: self.parsed()? },
            "partition" => {
                let group = |text: &str| text.split(',').map(|node| node.parse().ok()).collect();
                Fault::Partition(self.0.next()?.split('|').map(group).collect::<Option<_>>()?)
            }
            "pause" => Fault::Pause(self.parsed()?),
            "block" => Fault::Block(self.parsed()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_read_as_they_are_written() {
        let text = "\
0ms start 3 remembering
0ms start 4
10ms crash 1
20ms leave 2
30ms tag 2 role worker
40ms untag 2 role
40ms broadcast 2 rules strict
40ms withdraw 2 rules
50ms forward 1 20000ms
60ms back 1 3600000ms
70ms latency 10ms 200ms for 5000ms
70ms loss 0.25 for 5000ms
70ms duplicate 0.5 for 5000ms
70ms reorder 0.1 300ms for 5000ms
70ms cut 1 2 for 5000ms
70ms partition 0,1|2,3 for 60000ms
80ms pause 1 for 10ms
80ms block 1 for 10ms
";
        let script: Script = text.parse().unwrap();
        assert_eq!(script.to_string(), text);
        assert_eq!(script.end(), Duration::from_millis(60_070));
    }

    #[test]
    fn what_is_no_script_is_named() {
        for text in
            ["start 1", "1ms", "1ms start", "1ms begin 3", "1ms crash 1 2", "1ms loss 0.1", "1s crash 1"]
        {
            let error = format!("\n{text}").parse::<Script>().unwrap_err();
            assert_eq!(error.to_string(), format!("line 2 is no operation: {text:?}"));
        }
    }
}
