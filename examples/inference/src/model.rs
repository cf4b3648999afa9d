//! A language model: the words that follow each pair of words, as counted in a text.
//!
//! This is a Markov chain of order 2 (Shannon, "A Mathematical Theory of Communication", 1948, section 3). If the text
//! does not have the last two words in sequence, the model uses the last one. If the text does not have that one
//! either, the model draws any word.

use std::collections::HashMap;

/// The number of a word among all words.
type Word = u32;

/// A trained model.
#[derive(Debug)]
pub struct Model {
    words: Vec<String>,
    numbers: HashMap<String, Word>,
    /// The text, as numbers of words.
    text: Vec<Word>,
    /// The places in the text that follow each pair of words: one for each occurrence.
    after_two: HashMap<(Word, Word), Vec<u32>>,
    after_one: HashMap<Word, Vec<u32>>,
}

impl Model {
    /// Trains a model on a text. Returns `None` if the text has no words.
    pub fn train(text: &str) -> Option<Self> {
        let mut this = Self {
            words: Vec::new(),
            numbers: HashMap::new(),
            text: Vec::new(),
            after_two: HashMap::new(),
            after_one: HashMap::new(),
        };
        // Places in the text are numbers of 32 bits.
        for word in text.split_whitespace().take(u32::MAX as usize) {
            let next = this.words.len() as Word;
            let number = *this.numbers.entry(word.to_owned()).or_insert(next);
            if number == next {
                this.words.push(word.to_owned());
            }
            let place = this.text.len() as u32;
            if let [.., last] = this.text[..] {
                this.after_one.entry(last).or_default().push(place);
            }
            if let [.., before, last] = this.text[..] {
                this.after_two.entry((before, last)).or_default().push(place);
            }
            this.text.push(number);
        }
        (!this.text.is_empty()).then_some(this)
    }

    /// The number of different words that the model knows.
    pub fn vocabulary(&self) -> usize {
        self.words.len()
    }

    /// The hash of the text that the model was trained on, by which two models are told apart.
    pub fn fingerprint(&self) -> u64 {
        let words = self.words.iter().flat_map(|word| word.bytes().chain([b' ']));
        let places = self.text.iter().flat_map(|word| word.to_le_bytes());
        // FNV-1a: https://datatracker.ietf.org/doc/html/rfc9923
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        words.chain(places).fold(0xcbf2_9ce4_8422_2325, step)
    }

    /// The words that follow a prompt, without end. They are the same for the same text, prompt and seed, in all
    /// processes.
    pub fn generate(&self, prompt: &str, seed: u64) -> Generation {
        let mut last = [None; 2];
        for word in prompt.split_whitespace() {
            last = [last[1], self.numbers.get(word).copied()];
        }
        Generation { random: SplitMix(seed), last }
    }

    /// Draws the next word.
    fn next(&self, generation: &mut Generation) -> &str {
        let known = match generation.last {
            [Some(before), Some(last)] => self.after_two.get(&(before, last)),
            _ => None,
        };
        let known = known.or_else(|| self.after_one.get(&generation.last[1]?));
        let number = match known {
            Some(places) => {
                let place = places[generation.random.below(places.len())];
                self.text[place as usize]
            }
            None => self.text[generation.random.below(self.text.len())],
        };
        generation.last = [generation.last[1], Some(number)];
        &self.words[number as usize]
    }
}

/// A text that is being generated.
#[derive(Debug, Clone)]
pub struct Generation {
    random: SplitMix,
    /// The last two words, if the model knows them.
    last: [Option<Word>; 2],
}

impl Generation {
    /// The next word.
    pub fn next<'a>(&mut self, model: &'a Model) -> &'a str {
        model.next(self)
    }
}

/// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014). A library's generator may
/// give other numbers in its next release, while a stream may go on between workers of two releases.
#[derive(Debug, Clone)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn say(model: &Model, prompt: &str, seed: u64, count: usize) -> Vec<String> {
        let mut generation = model.generate(prompt, seed);
        (0..count).map(|_| generation.next(model).to_owned()).collect()
    }

    #[test]
    fn two_words_say_what_follows() {
        let model = Model::train("the cat sat. the dog ran. a cat slept.").expect("the text has words");
        assert_eq!(say(&model, "watch the dog", 1, 3), ["ran.", "a", "cat"]);
        assert_eq!(model.vocabulary(), 7);
        // The text has no other continuation for any seed. After its end any word may come.
        for seed in 0..20 {
            assert_eq!(say(&model, "a cat", seed, 1), ["slept."]);
            assert!(["sat.", "slept."].contains(&&*say(&model, "some cat", seed, 1)[0]));
            assert_eq!(say(&model, "words that it never heard", seed, 50).len(), 50);
        }
    }

    #[test]
    fn the_seed_counts() {
        let model = Model::train(crate::DEFAULT_TEXT).expect("the text has words");
        assert_eq!(say(&model, "A worker", 7, 100), say(&model, "A worker", 7, 100));
        assert_ne!(say(&model, "A worker", 7, 100), say(&model, "A worker", 8, 100));
        let other = Model::train("to be or not to be").expect("the text has words");
        assert_ne!(model.fingerprint(), other.fingerprint());
    }

    #[test]
    fn no_words_no_model() {
        assert!(Model::train(" \n ").is_none());
        let one = Model::train("echo").expect("a word");
        assert_eq!(say(&one, "", 1, 3), ["echo", "echo", "echo"]);
    }

    #[test]
    fn numbers_do_not_change_from_release_to_release() {
        // The numbers are from the reference implementation, with the seed 1234567.
        let mut random = SplitMix(1_234_567);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    proptest! {
        /// Each generated pair of words occurs in the text, or continues after its end.
        #[test]
        fn each_pair_has_stood_in_the_text(text in "[a-d]( [a-d]){1,60}", prompt in "[a-e ]{0,6}", seed: u64) {
            let model = Model::train(&text).expect("the text has words");
            let said = say(&model, &prompt, seed, 40);
            let all: Vec<&str> = text.split(' ').collect();
            for pair in said.windows(2) {
                let follows = all.windows(2).any(|two| two == [&*pair[0], &*pair[1]]);
                prop_assert!(follows || all.last() == Some(&&*pair[0]), "{:?}", pair);
            }
        }
    }
}
