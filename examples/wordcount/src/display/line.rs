//! A line of text in parts, each with a tone.

use std::fmt::Write;

use crossterm::style::{Attribute, Color, ContentStyle, Stylize};

/// The meaning of a piece of text. Colours are the terminal's own eight, so that they fit its theme.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary text.
    #[default]
    Plain,
    /// The most important text.
    Strong,
    /// The least important text.
    Dim,
    /// Bars and other quantities.
    Accent,
    /// An expected outcome.
    Good,
    /// A noteworthy event.
    Warning,
    /// A loss or failure.
    Bad,
}

impl Tone {
    /// A mark that shows the tone without colour.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Plain | Self::Strong | Self::Dim => "·",
            Self::Accent => "+",
            Self::Good => "✓",
            Self::Warning => "◐",
            Self::Bad => "✗",
        }
    }

    fn style(self) -> ContentStyle {
        let plain = ContentStyle::new();
        match self {
            Self::Plain => plain,
            Self::Strong => plain.attribute(Attribute::Bold),
            Self::Dim => plain.attribute(Attribute::Dim),
            Self::Accent => plain.with(Color::DarkCyan),
            Self::Good => plain.with(Color::DarkGreen),
            Self::Warning => plain.with(Color::DarkYellow),
            Self::Bad => plain.with(Color::DarkRed),
        }
    }
}

/// A line of the display. Every character is assumed to be one column wide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    parts: Vec<(String, Tone)>,
}

impl Line {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// The line with more text at its end. Control characters become spaces.
    #[must_use]
    pub fn with(mut self, text: impl AsRef<str>, tone: Tone) -> Self {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let text = text.as_ref().chars().map(printable).collect();
        self.parts.push((text, tone));
        self
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.parts.iter().map(|(text, _)| text.chars().count()).sum()
    }

    /// The text alone.
    pub fn plain(&self) -> String {
        let text: String = self.parts.iter().map(|(text, _)| text.as_str()).collect();
        text.trim_end().to_owned()
    }

    /// The text with the escape sequences of its tones.
    pub fn ansi(&self) -> String {
        let mut out = String::new();
        for (text, tone) in &self.parts {
            if *tone == Tone::Plain || text.trim().is_empty() {
                out.push_str(text);
            } else {
                // Writing to a `String` can't fail.
                let _ = write!(out, "{}", tone.style().apply(text));
            }
        }
        out
    }

    /// Adds spaces up to a width.
    pub(super) fn pad(self, width: usize) -> Self {
        let missing = width.saturating_sub(self.width());
        self.with(" ".repeat(missing), Tone::Plain)
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.parts.extend(other.parts);
    }

    /// Cuts a wider line, with an ellipsis in the last column.
    pub(super) fn truncate(mut self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        for (text, _) in &mut self.parts {
            *text = text.chars().take(left).collect();
            left -= text.chars().count();
        }
        self.parts.retain(|(text, _)| !text.is_empty());
        if width == 0 {
            return self;
        }
        self.with("…", Tone::Dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_its_width() {
        let line = Line::new().with("abc", Tone::Strong).with("dé\nf", Tone::Bad);
        assert_eq!(line.width(), 7);
        for (width, expected) in [(7, "abcdé f"), (6, "abcdé…"), (3, "ab…"), (1, "…"), (0, "")] {
            assert_eq!(line.clone().truncate(width).plain(), expected);
        }
    }

    #[test]
    fn tones_become_escape_sequences() {
        let line = Line::new().with("up", Tone::Strong).with(" x", Tone::Plain);
        assert_eq!(line.ansi(), "\u{1b}[1mup\u{1b}[0m x");
        assert_eq!(Line::new().with("  ", Tone::Bad).ansi(), "  ");
    }
}
