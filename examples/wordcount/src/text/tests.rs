use proptest::collection::vec;
use proptest::prelude::*;

use super::count::WordCounter;
use super::*;

fn counts(words: &[(&str, u64)]) -> Counts {
    words.iter().map(|&(w, n)| (w.to_owned(), n)).collect()
}

/// Text with frequent words, apostrophes and long runs among any Unicode characters.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![any::<String>(), "[a-c'’ ]{0,12}", "[αΣςéß'’.\u{301}]{0,8}", "(a|é|漢|𝒳){1,40}",]
        .prop_map(|piece| piece.replace('\0', ""));
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn cut(chunker: &mut Chunker, bytes: &[u8], reads: &[usize]) -> Result<Vec<String>, NotText> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    for &size in reads.iter().cycle() {
        let (read, after) = rest.split_at(size.min(rest.len()));
        chunker.push(read)?;
        chunks.extend(std::iter::from_fn(|| chunker.poll_chunk()));
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    chunker.finish()?;
    chunks.extend(std::iter::from_fn(|| chunker.poll_chunk()));
    Ok(chunks)
}

fn count_with(longest: usize, text: &str) -> Counts {
    let mut counter = WordCounter::with_longest_word(longest);
    counter.push(text);
    counter.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn cutting_never_changes_the_counts(
        before in "[a-c' ]{0,9}",
        text in text(),
        target in 1_usize..40,
        longest in 1_usize..24,
        reads in vec(1_usize..30, 1..5),
    ) {
        let mut chunker = Chunker::with_longest_word(target, longest);
        cut(&mut chunker, before.as_bytes(), &reads).unwrap();
        let chunks = cut(&mut chunker, text.as_bytes(), &reads).unwrap();
        prop_assert_eq!(chunks.concat(), text.clone());
        let mut merged = Counts::new();
        for chunk in &chunks {
            prop_assert!(!chunk.is_empty());
            prop_assert!(chunk.len() <= target.max(longest + 8), "{} bytes", chunk.len());
            merge(&mut merged, count_with(longest, chunk));
        }
        prop_assert_eq!(merged, count_with(longest, &text));
    }

    #[test]
    fn the_public_functions_agree(text in text(), target in 1_usize..200) {
        let chunks = cut(&mut Chunker::new(target), text.as_bytes(), &[17]).unwrap();
        let mut merged = Counts::new();
        for chunk in chunks {
            merge(&mut merged, count_words(&chunk));
        }
        prop_assert_eq!(merged, count_words(&text));
    }

    #[test]
    fn a_text_parted_anywhere_counts_the_same(text in text(), reads in vec(0_usize..9, 1..5)) {
        let mut counter = WordCounter::new();
        let mut characters = text.chars();
        for size in reads {
            counter.push(&characters.by_ref().take(size).collect::<String>());
        }
        counter.push(characters.as_str());
        prop_assert_eq!(counter.finish(), count_words(&text));
    }

    #[test]
    fn arbitrary_bytes_are_judged_alike_however_they_are_read(
        bytes in vec(prop_oneof![any::<u8>(), Just(0), Just(0xe2), Just(0x80), b'a'..b'c'], 0..40),
        reads in vec(1_usize..6, 1..4),
    ) {
        let expected = match std::str::from_utf8(&bytes) {
            Ok(text) => text.find('\0').map(|at| NotText::Nul { offset: at as u64 }),
            Err(error) => {
                let valid = &bytes[..error.valid_up_to()];
                Some(valid.iter().position(|&byte| byte == 0).map_or(
                    NotText::InvalidUtf8 { offset: valid.len() as u64 },
                    |at| NotText::Nul { offset: at as u64 },
                ))
            }
        };
        let mut check = TextCheck::new();
        let mut rest = bytes.as_slice();
        let mut verdict = Ok(());
        for &size in reads.iter().cycle() {
            let (read, after) = rest.split_at(size.min(rest.len()));
            verdict = verdict.and_then(|()| check.push(read));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        verdict = verdict.and_then(|()| check.finish());
        prop_assert_eq!(verdict.err(), expected);
        prop_assert_eq!(cut(&mut Chunker::new(8), &bytes, &reads).err(), expected);
    }
}

#[test]
fn what_a_word_is() {
    let cases: [(&str, &[(&str, u64)]); 9] = [
        ("", &[]),
        (" .,-\n", &[]),
        ("The the THE", &[("the", 3)]),
        ("don't don’t", &[("don't", 2)]),
        ("'tis dogs' rock''n'roll", &[("tis", 1), ("dogs", 1), ("rock", 1), ("n'roll", 1)]),
        ("x86_64 3.14", &[("x86", 1), ("64", 1), ("3", 1), ("14", 1)]),
        ("Straße ΟΔΟΣ οδος", &[("straße", 1), ("οδος", 2)]),
        ("\u{feff}漢字、かな", &[("漢字", 1), ("かな", 1)]),
        ("a-b a\u{a0}b", &[("a", 2), ("b", 2)]),
    ];
    for (text, expected) in cases {
        assert_eq!(count_words(text), counts(expected), "{text:?}");
    }
}

#[test]
fn a_word_longer_than_the_cap_is_several() {
    let text = "漢".repeat(MAX_WORD_BYTES / 3 + 3);
    let mut expected = Counts::new();
    expected.insert("漢".repeat(MAX_WORD_BYTES / 3), 1);
    expected.insert("漢漢漢".to_owned(), 1);
    assert!(count_words(&text) == expected);

    let chunks = cut(&mut Chunker::new(1000), text.as_bytes(), &[4096]).unwrap();
    let sizes: Vec<usize> = chunks.iter().map(String::len).collect();
    assert_eq!(sizes, [MAX_WORD_BYTES / 3 * 3, 9]);
}

#[test]
fn a_word_longer_than_a_chunk_stays_whole() {
    let long = "x".repeat(100_000);
    let text = format!("before {long} after");
    let chunks = cut(&mut Chunker::new(DEFAULT_CHUNK_BYTES), text.as_bytes(), &[8192]).unwrap();
    assert_eq!(chunks, ["before ".to_owned(), format!(" {long}").split_off(1), " after".to_owned()]);
}

#[test]
fn chunks_come_near_to_their_size() {
    let text = "lorem ipsum dolor sit amet ".repeat(10_000);
    let chunks = cut(&mut Chunker::new(4096), text.as_bytes(), &[1 << 16]).unwrap();
    let (last, full) = chunks.split_last().unwrap();
    assert!(full.iter().all(|chunk| (4088..=4096).contains(&chunk.len())));
    assert!(last.len() <= 4096);
}

#[test]
fn a_chunker_can_be_used_again() {
    let mut chunker = Chunker::new(100);
    assert_eq!(cut(&mut chunker, b"one", &[2]).unwrap(), ["one"]);
    assert_eq!(cut(&mut chunker, b"two", &[2]).unwrap(), ["two"]);
    assert_eq!(cut(&mut chunker, b"cut \xe2\x82", &[9]).unwrap_err(), NotText::InvalidUtf8 { offset: 4 });
}

#[test]
fn the_top_is_sorted_by_count_then_word() {
    let counts = counts(&[("b", 2), ("a", 2), ("c", 9), ("d", 1)]);
    assert_eq!(top(&counts, 3), [("c", 9), ("a", 2), ("b", 2)]);
    assert_eq!(top(&counts, 0), []);
    assert_eq!(top(&counts, 99).len(), 4);
}

#[test]
fn counts_multiply() {
    assert_eq!(multiply(count_words("a b a"), 3), count_words("a b a a b a a b a"));
    assert_eq!(multiply(count_words("a"), 0), Counts::new());
}
