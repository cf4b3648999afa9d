//! What goes on, for whoever waits.

use std::io::{self, IsTerminal, Write};

/// Says on a terminal what goes on; the line is written over.
pub(crate) fn progress(what: &str) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r\x1b[K{what}");
        let _ = terminal.flush();
    }
}
