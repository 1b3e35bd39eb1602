//! What is written is read as the same, and nothing else is read.

use super::*;
use crate::effects::letter::Stamp;
use crate::places::{Incarnation, Node, Place};
use crate::wire::SessionId;
use chaski_store::ShardIndex;
use chaski_xmpp::sm::StanzaIndex;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

fn any(seed: u64) -> Envelope {
    let mut random = StdRng::seed_from_u64(seed);
    Envelope { to: Data::any(&mut random), letter: Data::any(&mut random), stamp: Data::any(&mut random) }
}

fn encoded(envelope: &Envelope) -> Vec<u8> {
    let mut bytes = Vec::new();
    envelope.encode(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_letter_is_read_as_it_was_written(seed: u64) {
        let written = encoded(&any(seed));
        let read = Envelope::decode(&written).expect("what is written can be read");
        prop_assert_eq!(encoded(&read), written);
    }

    #[test]
    fn what_is_cut_off_or_followed_by_something_is_none(seed: u64, at: prop::sample::Index) {
        let mut written = encoded(&any(seed));
        written.push(0);
        prop_assert_eq!(Envelope::decode(&written).err(), Some(Malformed::Trailing));
        let at = at.index(written.len() - 1);
        prop_assert!(Envelope::decode(&written[..at]).is_err());
    }

    #[test]
    fn damage_is_no_harm(seed: u64, at: prop::sample::Index, bytes: [u8; 4]) {
        let mut written = encoded(&any(seed));
        for (at, byte) in (at.index(written.len())..written.len()).zip(bytes) {
            written[at] = byte;
        }
        if let Ok(read) = Envelope::decode(&written) {
            let again = encoded(&read);
            prop_assert_eq!(encoded(&Envelope::decode(&again).expect("it was read before")), again);
        }
    }

    #[test]
    fn a_version_that_is_not_known_is_refused_whole(seed: u64, version: u8) {
        let mut written = encoded(&any(seed));
        written[0] = version;
        let refused = (version != VERSION).then_some(Malformed::Version(version));
        prop_assert_eq!(Envelope::decode(&written).err(), refused);
    }
}

/// What runs of other versions write and read: never to be changed without another [`VERSION`].
#[test]
fn the_form_of_a_version_is_the_same_for_good() {
    let to = Place { node: Node(1), shard: ShardIndex(2), incarnation: Incarnation(3) };
    let origin = Origin { place: to, session: SessionId(4), index: StanzaIndex::from_bits(5) };
    let place = "0100".to_owned() + "0200" + "0300000000000000";
    let head = "01".to_owned() + &place;
    let settled = head.clone() + "02" + "01000000" + &place + "0400000000000000" + "05000000" + "00";
    let numbers = "0600000000000000".to_owned() + "0700000000000000" + "0800000000000000";
    let stamped = head.clone() + "0b" + "01" + &place + &numbers + "0001";
    let stamp = Stamp::new(to, 6, [7, 8], [false, true]);
    for (envelope, form) in [
        (Envelope::new(to, Letter::Settled(vec![origin])), settled),
        (Envelope::new(to, Letter::LookAtAll), head + "0900"),
        (Envelope::stamped(to, stamp, Letter::Seen), stamped),
    ] {
        let written: String = encoded(&envelope).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, form);
    }
}

#[test]
fn each_letter_comes_up() {
    let kinds: std::collections::HashSet<u8> = (0..500).map(|seed| encoded(&any(seed))[13]).collect();
    assert_eq!(kinds.len(), 14);
}

/// The fuzzer's corpus, as names and hexadecimal bytes: a few of each kind.
#[test]
#[ignore = "prints what `fuzz/corpus/letters` is made of"]
fn print_corpus() {
    let mut kinds = [0; 14];
    for letter in (0..500).map(|seed| encoded(&any(seed))).filter(|letter| letter.len() < 2_000) {
        let count = &mut kinds[usize::from(letter[13])];
        *count += 1;
        if *count <= 6 {
            let bytes: String = letter.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{}-{count} {bytes}", letter[13]);
        }
    }
}
