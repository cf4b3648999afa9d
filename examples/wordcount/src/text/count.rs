//! Counting of words, and sums of counts.

use std::collections::HashMap;

use super::boundary::{Boundary, MAX_WORD_BYTES, Step};

/// The number of occurrences of each word. Words are in lower case, and their apostrophes are `'`.
pub type Counts = HashMap<String, u64>;

/// Counts the words of `text`.
///
/// A word is a maximal run of [alphanumeric](char::is_alphanumeric) characters, in lower case, with the apostrophes
/// (`'`, `’`) that stand between two of them. Combining marks that are not alphabetic separate words, like any other
/// character. A run longer than [`MAX_WORD_BYTES`] counts as several words.
pub fn count_words(text: &str) -> Counts {
    let mut counter = WordCounter::new();
    counter.push(text);
    counter.finish()
}

/// Adds the counts of `from` to those of `into`. Counts saturate.
pub fn merge(into: &mut Counts, from: Counts) {
    for (word, count) in from {
        let sum = into.entry(word).or_default();
        *sum = sum.saturating_add(count);
    }
}

/// The counts of `times` repetitions of the counted text. Counts saturate. Zero repetitions have no words.
pub fn multiply(mut counts: Counts, times: u64) -> Counts {
    if times == 0 {
        return Counts::new();
    }
    for count in counts.values_mut() {
        *count = count.saturating_mul(times);
    }
    counts
}

/// The `n` most frequent words, the most frequent first. Equally frequent words are ordered by their text.
pub fn top(counts: &Counts, n: usize) -> Vec<(&str, u64)> {
    let mut words: Vec<(&str, u64)> = counts.iter().map(|(word, &n)| (word.as_str(), n)).collect();
    let order = |a: &(&str, u64), b: &(&str, u64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0));
    if n > 0 && n < words.len() {
        words.select_nth_unstable_by(n - 1, order);
    }
    words.truncate(n);
    words.sort_unstable_by(order);
    words
}

/// Counts a text that arrives in parts, which may be cut anywhere. Holds the counts and one word.
#[derive(Debug, Clone)]
pub struct WordCounter {
    boundary: Boundary,
    word: String,
    apostrophe: bool,
    counts: Counts,
}

impl Default for WordCounter {
    fn default() -> Self {
        Self::new()
    }
}

impl WordCounter {
    /// A counter without text.
    pub fn new() -> Self {
        Self::with_longest_word(MAX_WORD_BYTES)
    }

    pub(super) fn with_longest_word(bytes: usize) -> Self {
        Self { boundary: Boundary::new(bytes), word: String::new(), apostrophe: false, counts: Counts::new() }
    }

    /// Takes the next part of the text.
    pub fn push(&mut self, text: &str) {
        for character in text.chars() {
            match self.boundary.step(character) {
                Step::Gap => self.end_word(),
                Step::Begin => {
                    self.end_word();
                    self.word.push(character);
                }
                Step::Continue => {
                    if std::mem::take(&mut self.apostrophe) {
                        self.word.push('\'');
                    }
                    self.word.push(character);
                }
                Step::Pending => self.apostrophe = true,
            }
        }
    }

    /// Ends the text and its last word. The part that is pushed next belongs to another text.
    pub fn end_text(&mut self) {
        self.end_word();
        self.boundary.reset();
    }

    /// The counts of all texts.
    pub fn finish(mut self) -> Counts {
        self.end_text();
        self.counts
    }

    fn end_word(&mut self) {
        self.apostrophe = false;
        if self.word.is_empty() {
            return;
        }
        if self.word.is_ascii() {
            self.word.make_ascii_lowercase();
        } else {
            self.word = self.word.to_lowercase();
        }
        match self.counts.get_mut(&self.word) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                self.counts.insert(self.word.clone(), 1);
            }
        }
        self.word.clear();
    }
}
