//! Where words begin and end.
//!
//! A *word* is a maximal run of [alphanumeric](char::is_alphanumeric) characters. An apostrophe (`'` or `’`) belongs to
//! it when it stands between two of them: `don't` is one word, `'tis` is `tis`, `rock''n` is two. A run longer than
//! [`MAX_WORD_BYTES`] is several words, cut from its start at the last character that fits.
//!
//! The machine has one state outside of words, which is also the state at the start of a text. Where it passes through
//! that state, or would begin a word anew, the text may be cut: the right part alone is read as it is read in the whole.
//! That is all the chunker relies on, and what its property test checks.

/// The longest word in bytes of UTF-8: 1 MiB. What is longer counts as several words.
///
/// The bound is what lets text of any size be counted and cut in bounded memory.
pub const MAX_WORD_BYTES: usize = 1 << 20;

/// What a character is to the word before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Outside of words; a word before it has ended, before its apostrophe if one was pending.
    Gap,
    /// The first character of a word; a word before it has ended.
    Begin,
    /// A further character of the word, which a pending apostrophe is part of too.
    Continue,
    /// An apostrophe after a word, part of it only if the next step is [`Step::Continue`].
    Pending,
}

impl Step {
    /// Whether the text may be cut before this character.
    pub(super) fn may_cut_before(self) -> bool {
        matches!(self, Self::Gap | Self::Begin)
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Outside,
    /// In a word of so many bytes.
    Inside(usize),
    /// After an apostrophe that follows a word; both together have so many bytes.
    Apostrophe(usize),
}

/// The state machine, fed character by character.
#[derive(Debug, Clone)]
pub(super) struct Boundary {
    longest: usize,
    state: State,
}

impl Boundary {
    pub(super) fn new(longest: usize) -> Self {
        Self { longest, state: State::Outside }
    }

    pub(super) fn step(&mut self, character: char) -> Step {
        let length = character.len_utf8();
        let (state, step) = if character.is_alphanumeric() {
            match self.state {
                State::Inside(bytes) | State::Apostrophe(bytes) if bytes + length <= self.longest => {
                    (State::Inside(bytes + length), Step::Continue)
                }
                _ => (State::Inside(length), Step::Begin),
            }
        } else {
            match self.state {
                State::Inside(bytes) if matches!(character, '\'' | '’') => {
                    (State::Apostrophe(bytes + length), Step::Pending)
                }
                _ => (State::Outside, Step::Gap),
            }
        };
        self.state = state;
        step
    }

    /// The text has ended; the next character is the first of another.
    pub(super) fn reset(&mut self) {
        self.state = State::Outside;
    }
}
