//! The boundaries of words.
//!
//! A *word* is a maximal run of [alphanumeric](char::is_alphanumeric) characters. An apostrophe (`'` or `’`) between
//! two of them belongs to the word: `don't` is one word, `'tis` is `tis`, `rock''n` is two. A run longer than
//! [`MAX_WORD_BYTES`] is several words, cut from its start at the last character that fits.
//!
//! The machine has one state outside of words, which is also the state at the start of a text. The text may be cut
//! where the machine passes through that state, or begins a new word: the right part alone is read as it is read in the
//! whole. The chunker relies on this property, and its property test checks it.

/// The longest word in bytes of UTF-8: 1 MiB. A longer run counts as several words.
///
/// This bound allows text of any size to be counted and cut in bounded memory.
pub const MAX_WORD_BYTES: usize = 1 << 20;

/// A character's relation to the word before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Outside of words. A word before the character has ended, before its apostrophe if one was pending.
    Gap,
    /// The first character of a word. A word before it has ended.
    Begin,
    /// A further character of the word. A pending apostrophe is part of the word too.
    Continue,
    /// An apostrophe after a word, part of it only if the next step is [`Step::Continue`].
    Pending,
}

impl Step {
    /// Returns whether the text may be cut before this character.
    pub(super) fn may_cut_before(self) -> bool {
        matches!(self, Self::Gap | Self::Begin)
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Outside,
    /// In a word of this many bytes.
    Inside(usize),
    /// After an apostrophe that follows a word. Both together have this many bytes.
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

    /// Ends the text. The next character is the first of another text.
    pub(super) fn reset(&mut self) {
        self.state = State::Outside;
    }
}
