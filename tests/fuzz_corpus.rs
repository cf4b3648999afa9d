//! The checks of the fuzz targets, run with their corpus, with inputs that once failed, and with both of them damaged.

#[expect(unreachable_pub, reason = "it is a library where fuzzing is done")]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
};

use fuzz::{TARGETS, Target};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

/// Of a target's inputs so many damaged ones are made.
const MUTATIONS: usize = 3000;
/// An input is cut at each of its first bytes, and at so many places that are spread over the rest.
const CUTS: usize = 400;
/// The stack of a thread of tokio, in bytes.
const STACK: usize = 2 << 20;

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind)
}

/// Path and bytes of each file, in the order of their names. There need not be a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("readable"))).collect()
}

/// Runs the checks on an input. What fails is shown, to be put into `fuzz/regressions`.
fn check(target: &Target, input: &[u8], made: &str) {
    if catch_unwind(AssertUnwindSafe(|| target.run(input))).is_err() {
        let shown = input.escape_ascii().to_string();
        panic!("{}: {made}, {} bytes: b\"{shown:.2000}\"", target.name, input.len());
    }
}

fn check_target(target: &Target) {
    let corpus = files(&folder("corpus").join(target.name));
    assert!(!corpus.is_empty(), "{} has no corpus", target.name);
    let inputs = [corpus, files(&folder("regressions").join(target.name))].concat();
    check(target, b"", "nothing");
    for (path, input) in &inputs {
        let name = path.display();
        check(target, input, &format!("{name}"));
        let step = input.len().div_ceil(CUTS);
        for cut in (0..input.len()).filter(|cut| *cut < CUTS || cut % step == 0) {
            check(target, &input[..cut], &format!("{name}, cut"));
        }
        for (filler, length) in [(0, 1 << 18), (1, 1 << 18), (0xff, 1 << 18)] {
            let long = [&input[..], &vec![filler; length]].concat();
            check(target, &long, &format!("{name}, followed by {length} times {filler}"));
        }
    }
    let inputs: Vec<_> = inputs.into_iter().map(|(_, input)| input).collect();
    let mut rng = StdRng::seed_from_u64(7);
    for round in 0..MUTATIONS {
        check(target, &mutated(&inputs, &mut rng), &format!("mutation {round}"));
    }
    for length in [1 << 10, 1 << 14, 1 << 20] {
        let mut random = vec![0; length];
        rng.fill_bytes(&mut random);
        check(target, &random, "random bytes");
    }
}

/// One of the inputs with some damage.
fn mutated(inputs: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut input = inputs.choose(rng).expect("there is one").clone();
    for _ in 0..rng.random_range(1..5) {
        let at = rng.random_range(0..=input.len());
        let end = rng.random_range(at..=input.len().min(at + 32));
        match rng.random_range(0..6) {
            0 => drop(input.drain(at..end)),
            1 => {
                let again = input[at..end].repeat(rng.random_range(1..20));
                input.splice(at..at, again);
            }
            2 => {
                let other = inputs.choose(rng).expect("there is one");
                let from = rng.random_range(0..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            3 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
            4 => input.insert(at, rng.random()),
            _ => {
                // Borders of lengths, kinds and the integers of the codec.
                let border = [0, 1, 2, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xfa, 0xfb, 0xfc, 0xfd, 0xff];
                if let Some(byte) = input.get_mut(at) {
                    *byte = *border.choose(rng).expect("there are some");
                }
            }
        }
    }
    input
}

#[test]
fn whatever_a_peer_sends_is_taken_or_refused() {
    thread::scope(|scope| {
        for target in TARGETS {
            let thread = thread::Builder::new().name(target.name.into()).stack_size(STACK);
            thread.spawn_scoped(scope, || check_target(target)).expect("a thread");
        }
    });
}

#[test]
fn each_folder_and_each_binary_has_its_target() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    for kind in ["corpus", "regressions", "fuzz_targets"] {
        let entries = fs::read_dir(folder(kind)).into_iter().flatten();
        let names: BTreeSet<_> = entries
            .map(|entry| {
                entry.expect("readable").path().file_stem().expect("a name").to_string_lossy().into_owned()
            })
            .filter(|name| !name.starts_with('.'))
            .collect();
        match kind {
            "regressions" => assert!(names.is_subset(&targets), "{names:?}"),
            _ => assert_eq!(names, targets, "{kind}"),
        }
    }
}

/// The counting itself: what is held counts, what was given back does not.
#[test]
fn memory_is_counted() {
    fn hoards(input: &[u8]) {
        drop(vec![0u8; input.len()]);
        let held = vec![0u8; 2 * input.len()];
        assert_eq!(held.len(), 2 * input.len());
    }

    let target = Target::new("hoards", hoards);
    let peak = target.run(&[0; 1000]);
    assert!((2000..3000).contains(&peak), "{peak}");
}
