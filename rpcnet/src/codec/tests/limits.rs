//! Bounds that hold for any frame.

use super::*;

#[test]
fn zero_size_elements_are_bounded() {
    assert!(matches!(reason::<Vec<()>>(&length(1 << 60)), Reason::TooManyElements { .. }));
    assert!(matches!(reason::<HashMap<(), ()>>(&length(1 << 60)), Reason::TooManyElements { .. }));
    let honest = vec![(); FREE_ELEMENTS];
    assert_eq!(decode::<Vec<()>>(&encode(&honest).expect("encodes")).expect("a moderate number"), honest);
    // Many collections together have no more than one.
    let each = vec![(); FREE_ELEMENTS / 2];
    let together = encode(&vec![each.clone(), each.clone(), each]).expect("encodes");
    assert!(matches!(reason::<Vec<Vec<()>>>(&together), Reason::TooManyElements { .. }));
}

#[test]
fn depth_is_bounded() {
    let frame = vec![0; 1 << 20];
    assert!(matches!(reason::<List>(&frame), Reason::TooDeep { limit: DEPTH }));
    assert!(matches!(reason::<Endless>(&[]), Reason::TooDeep { .. }));
    let frame = vec![1; 1 << 20];
    assert!(matches!(reason::<Chain>(&frame), Reason::TooDeep { .. }));
    assert!(matches!(reason::<Tree>(&frame), Reason::TooDeep { .. }));
    assert!(matches!(reason::<Named>(&[1, 0].repeat(1 << 19)), Reason::TooDeep { .. }));
    assert!(matches!(reason::<WideChain>(&frame), Reason::TooDeep { .. }));
}

#[test]
fn large_values_may_stand_in_others() {
    type Matrix = [[[u8; 32]; 32]; 32];
    let value = Some((1u8, Some(Box::new([[[7u8; 32]; 32]; 32]))));
    let frame = encode(&value).expect("encodes");
    assert_eq!(decode::<Option<(u8, Option<Box<Matrix>>)>>(&frame).expect("decodes"), value);
}

/// Tokio gives a worker 2 MiB, and something is below us on its stack.
#[test]
fn what_is_deep_enough_fits_the_stack() {
    let decoding = || {
        let mut list = vec![0; DEPTH as usize - 1];
        list.push(1);
        assert_eq!(encode(&decode::<List>(&list).expect("within the limit")).expect("encodes"), list);
        list.insert(0, 0);
        assert!(matches!(reason::<List>(&list), Reason::TooDeep { .. }));
        // Each of these refuses at the last level that it reaches.
        let frame = vec![1; 1 << 16];
        reason::<Chain>(&frame);
        reason::<Tree>(&frame);
        reason::<WideChain>(&frame);
        reason::<WideTree>(&vec![0; 1 << 16]);
        reason::<Named>(&[1, 0].repeat(1 << 15));
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(decoding).expect("a thread");
    thread.join().expect("half the stack is enough");
}

#[test]
fn large_values_of_small_encodings_are_bounded() {
    let nones = FREE_MEMORY / size_of::<Wide>() * 2;
    let frame = encode(&vec![Wide::None; nones]).expect("encodes");
    assert!(matches!(reason::<Vec<Wide>>(&frame), Reason::TooMuchMemory { .. }));
    assert!(matches!(reason::<Vec<Box<Wide>>>(&frame), Reason::TooMuchMemory { .. }));
    assert!(matches!(reason::<Vec<Box<Option<Wide>>>>(&frame), Reason::TooMuchMemory { .. }));
    let few = encode(&vec![Wide::None; 1000]).expect("encodes");
    assert_eq!(decode::<Vec<Wide>>(&few).expect("few").len(), 1000);
    let honest = vec![Wide::All([[u64::MAX; 16]; 8]); 1000];
    assert_eq!(decode::<Vec<Wide>>(&encode(&honest).expect("encodes")).expect("as large"), honest);
}

/// A kibibyte in memory where the frame has nothing.
#[derive(Debug, Deserialize)]
struct Skipped {
    #[expect(dead_code, reason = "it is there to take room")]
    #[serde(skip, default = "zeros")]
    filler: [u64; 128],
}

fn zeros() -> [u64; 128] {
    [0; 128]
}

#[test]
fn large_values_of_no_encoding_are_bounded_in_boxes_too() {
    let most = FREE_MEMORY / size_of::<Skipped>();
    assert_eq!(decode::<Vec<Box<Skipped>>>(&length(most as u64)).expect("as many").len(), most);
    assert!(matches!(reason::<Vec<Box<Skipped>>>(&length(2 * most as u64)), Reason::TooMuchMemory { .. }));
    assert!(matches!(reason::<Vec<Box<(Skipped,)>>>(&length(2 * most as u64)), Reason::TooMuchMemory { .. }));
}

#[test]
fn wide_values_of_narrow_encodings_fit() {
    let value = vec![0u128; 60_000];
    let frame = encode(&value).expect("encodes");
    assert_eq!(decode::<Vec<u128>>(&frame).expect("sixteen bytes for one"), value);
    let value = vec![Vec::<String>::new(); 1 << 20];
    assert_eq!(decode::<Vec<Vec<String>>>(&encode(&value).expect("encodes")).expect("24 for one"), value);
}

#[test]
fn a_lying_length_is_refused_before_it_is_allocated() {
    for claimed in [9, 1 << 20, 1 << 40, u64::MAX] {
        let mut frame = length(claimed);
        frame.extend([0; 8]);
        assert!(matches!(reason::<String>(&frame), Reason::Ended { .. }));
        assert!(matches!(reason::<Bytes>(&frame), Reason::Ended { .. }));
        assert!(decode::<Vec<u64>>(&frame).is_err());
        assert!(decode::<HashMap<u64, String>>(&frame).is_err());
        let frame = Bytes::from(frame);
        assert!(decode_value::<Bytes>(&frame).is_err());
        assert!(decode_value::<Vec<u8>>(&frame).is_err());
    }
}

/// A sequence that notes what it would have allocated.
struct Hinted<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Hinted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reading<T> {
            type Value = Hinted<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Hinted<T>, A::Error> {
                // No frame of the tests below is longer.
                assert!(elements.size_hint().expect("a hint") <= 1000, "trusts the peer");
                while elements.next_element::<T>()?.is_some() {}
                Ok(Hinted(PhantomData))
            }
        }

        deserializer.deserialize_seq(Reading(PhantomData))
    }
}

#[test]
fn size_hints_are_never_more_than_what_is_left() {
    let mut frame = length(FREE_ELEMENTS as u64);
    frame.extend([0; 500]);
    assert!(matches!(reason::<Hinted<u64>>(&frame), Reason::Ended { .. }));
    // A level each, and each would like to allocate.
    let frame = [length(u64::from(DEPTH)), length(400).repeat(300)].concat();
    assert!(decode::<Hinted<Hinted<Hinted<u8>>>>(&frame).is_err());
}

#[test]
fn nested_lies_share_one_allowance() {
    // 24 bytes an element, a mebibyte a level as serde allocates, were each believed by itself.
    let frame = length(FREE_ELEMENTS as u64).repeat(100);
    assert!(matches!(reason::<Tree>(&frame), Reason::TooManyElements { .. }));
}
