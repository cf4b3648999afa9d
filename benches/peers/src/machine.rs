//! The machine on which figures were measured: without it they say nothing.

use std::{env::consts, fs, thread};

/// Describes processor, kernel and present load on one line. Facts that the system does not report are left out.
pub(crate) fn describe() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut parts = vec![format!("{cores} cores")];
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    parts.extend(model(&information).map(str::to_owned));
    if let Ok(release) = fs::read_to_string("/proc/sys/kernel/osrelease") {
        parts.push(format!("Linux {} {}", release.trim(), consts::ARCH));
    }
    if let Some(load) = fs::read_to_string("/proc/loadavg").ok().and_then(|text| first_word(&text)) {
        parts.push(format!("load average before the run {load}"));
    }
    parts.join(", ")
}

fn model(information: &str) -> Option<&str> {
    let line = information.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

fn first_word(text: &str) -> Option<String> {
    text.split_ascii_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_named_where_the_system_tells() {
        assert_eq!(model("processor\t: 0\nmodel name\t: A Fine One @ 2 GHz\n"), Some("A Fine One @ 2 GHz"));
        assert_eq!(model("processor\t: 0\n"), None);
    }
}
