//! Painting on the terminal.
//!
//! On a terminal, each frame is one write. It moves up to the last frame's first line, writes every line over the old
//! one, and clears the rest. Nothing is erased before it is overwritten, so nothing flickers, and the last frame stays
//! in place when the demo ends. The last column and the last row stay free, so that the terminal neither wraps nor
//! scrolls by itself.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};

use crossterm::cursor::{Hide, MoveTo, MoveToColumn, MoveUp, Show};
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, size};
use crossterm::{execute, queue};

use super::Snapshot;
use super::render::{happening, render, summary};

/// The assumed size of a terminal that does not report its size.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// The stream whose cursor is hidden, for the panic hook: 0 none, 1 stdout, 2 stderr.
static HIDDEN_ON: AtomicU8 = AtomicU8::new(0);

/// Shows snapshots.
///
/// On a terminal the display is live. Otherwise it writes a line a second and one for each happening. A live display
/// hides the cursor. Dropping the display, or a panic of any thread, shows the cursor again; [`std::process::exit`]
/// does not.
pub struct Display {
    output: Box<dyn Write + Send>,
    mode: Mode,
}

enum Mode {
    Live {
        size: fn() -> (u16, u16),
        /// The last frame.
        painted: Painted,
        /// The number to put into [`HIDDEN_ON`].
        stream: u8,
    },
    Lines {
        /// The second of the last line.
        second: Option<u64>,
        /// The number of happenings that were written.
        happenings: usize,
    },
}

/// The frame that is on the terminal.
#[derive(Default)]
struct Painted {
    lines: u16,
    /// The terminal's size when the frame was painted; zero before the first frame.
    size: (u16, u16),
}

impl fmt::Debug for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = matches!(self.mode, Mode::Live { .. });
        f.debug_struct("Display").field("live", &live).finish_non_exhaustive()
    }
}

impl Display {
    /// A display on stdout, or on stderr if stdout is for JSON.
    pub fn new(json: bool) -> Self {
        let capable = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let (output, terminal, stream): (Box<dyn Write + Send>, bool, u8) = if json {
            (Box::new(io::stderr()), io::stderr().is_terminal(), 2)
        } else {
            (Box::new(io::stdout()), io::stdout().is_terminal(), 1)
        };
        if terminal && capable {
            show_cursor_on_panic();
            return Self::live(output, stream, || size().unwrap_or(USUAL_SIZE));
        }
        Self::lines(output)
    }

    fn live(output: Box<dyn Write + Send>, stream: u8, size: fn() -> (u16, u16)) -> Self {
        let painted = Painted::default();
        let mode = Mode::Live { size, painted, stream };
        Self { output, mode }
    }

    fn lines(output: Box<dyn Write + Send>) -> Self {
        let mode = Mode::Lines { second: None, happenings: 0 };
        Self { output, mode }
    }

    /// Returns whether the display paints in place. If so, nothing else should write to the terminal.
    pub fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live { .. })
    }

    /// Shows the snapshot: a frame, or the lines that are due. About ten times a second is enough.
    ///
    /// # Errors
    ///
    /// The output can't be written to.
    pub fn update(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let due = match &self.mode {
            Mode::Live { .. } => true,
            Mode::Lines { second, .. } => *second < Some(snapshot.elapsed.as_secs()),
        };
        self.show(snapshot, due)
    }

    /// Shows the last snapshot, and leaves the cursor below it.
    ///
    /// # Errors
    ///
    /// The output can't be written to. The terminal is restored as far as that is possible.
    pub fn finish(mut self, snapshot: &Snapshot) -> io::Result<()> {
        self.show(snapshot, true)
    }

    fn show(&mut self, snapshot: &Snapshot, due: bool) -> io::Result<()> {
        let mut bytes = Vec::new();
        match &mut self.mode {
            Mode::Live { size, painted, stream } => {
                HIDDEN_ON.store(*stream, Ordering::Relaxed);
                frame(&mut bytes, snapshot, size(), painted)?;
            }
            Mode::Lines { second, happenings } => {
                for entry in snapshot.happenings.iter().skip(*happenings) {
                    writeln!(bytes, "{}", happening(entry).plain())?;
                }
                *happenings = snapshot.happenings.len();
                if due {
                    *second = Some(snapshot.elapsed.as_secs());
                    writeln!(bytes, "{}", summary(snapshot))?;
                }
            }
        }
        self.output.write_all(&bytes)?;
        self.output.flush()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if self.is_live() {
            HIDDEN_ON.store(0, Ordering::Relaxed);
            // A terminal that is gone has no cursor to show.
            let _ = execute!(self.output, EndSynchronizedUpdate, Show);
        }
    }
}

fn frame(
    bytes: &mut Vec<u8>,
    snapshot: &Snapshot,
    size: (u16, u16),
    painted: &mut Painted,
) -> io::Result<()> {
    let (width, height) = (size.0.saturating_sub(1), size.1.saturating_sub(1));
    let lines = render(snapshot, width.into(), height.into());

    queue!(bytes, BeginSynchronizedUpdate, Hide, MoveToColumn(0))?;
    if painted.lines > 0 && painted.size != size {
        // The way in which a terminal wraps or moves old lines when its size changes is not known.
        queue!(bytes, Clear(ClearType::All), MoveTo(0, 0))?;
    } else if painted.lines > 0 {
        queue!(bytes, MoveUp(painted.lines))?;
    }
    for line in &lines {
        bytes.extend_from_slice(line.ansi().as_bytes());
        queue!(bytes, Clear(ClearType::UntilNewLine))?;
        bytes.extend_from_slice(b"\r\n");
    }
    queue!(bytes, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
    *painted = Painted { lines: u16::try_from(lines.len()).unwrap_or(height), size };
    Ok(())
}

/// Shows the cursor if a thread panics: a panic may end the process without dropping the display, and its message
/// should not be painted over.
fn show_cursor_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A failure to show the cursor must not hide the panic.
            let _ = match HIDDEN_ON.swap(0, Ordering::Relaxed) {
                1 => execute!(io::stdout(), EndSynchronizedUpdate, Show),
                2 => execute!(io::stderr(), EndSynchronizedUpdate, Show),
                _ => Ok(()),
            };
            previous(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::display::{Happening, Tone};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn take(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(bytes).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn at(millis: u64) -> Snapshot {
        Snapshot { elapsed: Duration::from_millis(millis), ..Snapshot::default() }
    }

    #[test]
    fn without_a_terminal_a_line_a_second_and_one_a_happening() {
        let written = Written::default();
        let mut display = Display::lines(Box::new(written.clone()));
        let mut snapshot = at(100);
        display.update(&snapshot).unwrap();
        assert_eq!(
            written.take(),
            "  0.1 s  0 workers up, 0 calls/s, 0.0 kB/s, p50 0 µs, p99 0 µs, 0 chunks, 0 failed\n"
        );
        snapshot.elapsed = Duration::from_millis(900);
        display.update(&snapshot).unwrap();
        assert_eq!(written.take(), "");
        snapshot.happenings.push(Happening {
            at: Duration::from_millis(900),
            tone: Tone::Bad,
            text: "killed worker-2".to_owned(),
        });
        display.update(&snapshot).unwrap();
        assert_eq!(written.take(), "  0.9 s  ✗ killed worker-2\n");
        snapshot.elapsed = Duration::from_millis(1_050);
        display.update(&snapshot).unwrap();
        assert!(written.take().starts_with("  1.1 s  0 workers up"));
        display.finish(&snapshot).unwrap();
        assert!(written.take().starts_with("  1.1 s  0 workers up"));
    }

    #[test]
    fn a_frame_goes_over_the_last_one_and_the_cursor_comes_back() {
        let written = Written::default();
        let mut display = Display::live(Box::new(written.clone()), 0, || (40, 10));
        display.update(&at(0)).unwrap();
        let first = written.take();
        let lines = first.matches("\r\n").count();
        assert!(first.contains("\u{1b}[?25l") && !first.contains("\u{1b}[?25h"));
        assert!(!first.contains(&format!("\u{1b}[{lines}A")));
        display.update(&at(100)).unwrap();
        assert!(written.take().contains(&format!("\u{1b}[1G\u{1b}[{lines}A")));
        drop(display);
        assert!(written.take().ends_with("\u{1b}[?25h"));
    }

    #[test]
    fn another_size_starts_afresh() {
        let mut painted = Painted::default();
        let mut text = |size| {
            let mut bytes = Vec::new();
            frame(&mut bytes, &at(0), size, &mut painted).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert!(!text((80, 24)).contains("\u{1b}[2J"));
        assert!(!text((80, 24)).contains("\u{1b}[2J"));
        assert!(text((40, 24)).contains("\u{1b}[2J\u{1b}[1;1H"));
        assert!(text((0, 0)).contains("\u{1b}[2J"));
    }
}
