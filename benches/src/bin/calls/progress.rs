//! Progress messages for a waiting user.

use std::io::{self, IsTerminal, Write};

/// Shows the current step on a terminal, in one line that is overwritten.
pub(crate) fn progress(what: &str) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r\x1b[K{what}");
        let _ = terminal.flush();
    }
}
