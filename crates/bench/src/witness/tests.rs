//! What the witness tells of a run, faultless and spoiled.

use super::*;

fn text(from: usize, id: &str, body: &str, stanza_id: Option<&str>) -> Received {
    Received {
        from: format!("{}@localhost/one", crate::accounts::number(from)),
        id: Some(id.into()),
        body: Some(body.into()),
        stanza_id: stanza_id.map(str::to_owned),
        ..Received::default()
    }
}

/// Two accounts, both connected; one has sent messages to the other.
fn sent(count: u64) -> (Witness, Vec<(u64, String, String)>) {
    let mut witness = Witness::new(1, 2);
    witness.connected(0, false);
    witness.connected(1, false);
    let sent = (0..count).map(|_| witness.send(0, 1)).collect();
    (witness, sent)
}

fn judged(witness: &mut Witness) -> u64 {
    witness.settle();
    witness.violations().1
}

#[tokio::test]
async fn a_faultless_run_with_duplicates() {
    let (mut witness, sent) = sent(3);
    for (mark, id, body) in &sent {
        assert!(id.len() >= 8);
        witness.received(1, &text(0, id, body, Some(&format!("id{mark}"))));
    }
    witness.lost(1);
    witness.left(1);
    witness.connected(1, false);
    let (mark, id, body) = &sent[1];
    witness.received(1, &text(0, id, body, Some(&format!("id{mark}"))));
    assert!(!witness.is_settled());
    let marks: Vec<u64> = sent.iter().map(|sent| sent.0).collect();
    witness.accepted(0, &marks);
    assert!(witness.is_settled());
    assert_eq!(judged(&mut witness), 0, "{:?}", witness.violations());
    assert_eq!((witness.totals().delivered, witness.totals().duplicates), (3, 1));
}

#[tokio::test]
async fn what_is_accepted_and_lost_is_seen() {
    let (mut witness, sent) = sent(2);
    witness.accepted(0, &[sent[0].0, sent[1].0]);
    witness.received(1, &text(0, &sent[0].1, &sent[0].2, Some("a")));
    assert_eq!(judged(&mut witness), 1);
}

#[tokio::test]
async fn a_swapped_pair_another_stanza_id_and_a_stranger_are_seen() {
    let (mut witness, sent) = sent(2);
    witness.accepted(0, &[sent[0].0, sent[1].0]);
    witness.received(1, &text(0, &sent[1].1, &sent[1].2, Some("b")));
    witness.received(1, &text(0, &sent[0].1, &sent[0].2, Some("a")));
    assert_eq!(judged(&mut witness), 1, "order: {:?}", witness.violations());
    let (mut witness, _) = self::sent(0);
    witness.received(1, &text(0, "never-sent", "hello", Some("a")));
    assert_eq!(judged(&mut witness), 1);
    let (mut witness, sent) = self::sent(1);
    witness.accepted(0, &[sent[0].0]);
    witness.received(1, &text(0, &sent[0].1, &sent[0].2, Some("a")));
    witness.lost(1);
    witness.connected(1, true);
    witness.received(1, &text(0, &sent[0].1, &sent[0].2, Some("b")));
    assert!(judged(&mut witness) >= 1);
}

#[tokio::test]
async fn a_session_that_ends_for_good_is_seen_unless_its_account_was_removed() {
    let (mut witness, _) = sent(0);
    witness.lost(1);
    witness.connected(1, false);
    assert_eq!(judged(&mut witness), 1, "{:?}", witness.violations());
    let (mut witness, _) = sent(0);
    witness.leaving(1);
    witness.removed(1);
    witness.made(1);
    witness.connected(1, false);
    assert_eq!(judged(&mut witness), 0, "{:?}", witness.violations());
}

#[tokio::test]
async fn what_a_removed_account_had_is_not_the_next_ones() {
    let (mut witness, sent) = sent(1);
    witness.accepted(0, &[sent[0].0]);
    witness.leaving(1);
    witness.removed(1);
    witness.made(1);
    witness.connected(1, false);
    witness.received(1, &text(0, &sent[0].1, &sent[0].2, Some("a")));
    assert_eq!(judged(&mut witness), 1, "{:?}", witness.violations());
}
