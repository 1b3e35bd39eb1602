//! Turns of a shard: how much of one is an account's, whatever it sends and on however many sessions.
//!
//! The edge is played here: it reads of each session as much as it may, once a turn.

use super::interests::announce;
use super::*;
use crate::realm::Limits;

/// A session with stanzas in its socket.
struct Socket {
    client: Client,
    stanza: String,
    waiting: usize,
    was_read: bool,
}

impl Socket {
    fn of(client: Client, stanza: String, waiting: usize) -> Self {
        Self { client, stanza, waiting, was_read: false }
    }
}

/// One turn of the first shard; how many stanzas it has taken of this client and of all others. Who was put off is first in
/// the next.
fn turn(stage: &mut Stage, sockets: &mut [Socket], client: Client) -> (usize, usize) {
    stage.call(0, |room, _| room.renew_shares());
    let (mut its, mut others) = (0, 0);
    for socket in &mut *sockets {
        let session = stage.session(socket.client).expect("it is bound");
        let most = stage.call(0, |room, _| room.readable_bytes(session)) / socket.stanza.len();
        let count = most.min(socket.waiting);
        (0..count).for_each(|_| stage.send(socket.client, &socket.stanza));
        stage.call(0, |room, _| room.has_read(session, count * socket.stanza.len()));
        socket.waiting -= count;
        socket.was_read = count > 0;
        *(if socket.client == client { &mut its } else { &mut others }) += count;
    }
    sockets.sort_by_key(|socket| socket.was_read);
    (its, others)
}

fn sessions(stage: &mut Stage, local: &str, count: usize) -> Vec<Client> {
    (0..count).map(|number| stage.arrive(local, &format!("r{number}")).0).collect()
}

#[test]
fn sixteen_sessions_of_one_account_have_the_share_of_one() {
    let mut stage = Stage::new(1);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (nurse, _) = stage.arrive(NURSE, "hall");
    let headline = format!("<message to='{}' type='headline'><body>x</body></message>", jid(NURSE));
    let mut sockets: Vec<Socket> = sessions(&mut stage, ROMEO, 16)
        .into_iter()
        .map(|client| Socket::of(client, headline.clone(), 10_000))
        .collect();
    let (mut all, mut hers) = (0, 0);
    for _ in 0..50 {
        sockets.push(Socket::of(juliet, headline.clone(), 20));
        let (its, others) = turn(&mut stage, &mut sockets, juliet);
        sockets.retain(|socket| socket.client != juliet);
        (all, hers) = (all + others, hers + its);
        stage.received(nurse);
        stage.acknowledge(nurse, 0);
    }
    assert_eq!(hers, 50 * 20, "who sends little is read in every turn");
    let share = all / 50;
    assert!((20..150).contains(&share), "of sixteen sessions, {share} stanzas a turn");
    assert!(sockets.iter().all(|socket| socket.waiting < 10_000), "and each has its turn");
}

#[test]
fn what_is_carried_to_many_is_paid_for_in_turns() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let presence = format!("<presence><status>{}</status></presence>", "x".repeat(2_000));
    let mut alone = [Socket::of(romeo, presence.clone(), 1_000)];
    let quiet: usize = (0..20).map(|_| turn(&mut stage, &mut alone, romeo).0).sum();
    for number in 0..60 {
        let local = format!("+155512301{number:02}");
        let (friend, _) = stage.arrive(&local, "phone");
        stage.send(friend, &format!("<presence type='subscribe' to='{}'/>", jid(ROMEO)));
        stage.send(romeo, &format!("<presence type='subscribed' to='{}'/>", jid(&local)));
    }
    let mut sockets = [Socket::of(romeo, presence, 1_000)];
    let carried: usize = (0..20).map(|_| turn(&mut stage, &mut sockets, romeo).0).sum();
    assert!(carried * 3 < quiet, "{carried} in 20 turns, {quiet} while nobody heard of it");
    assert!(carried >= 5, "{carried}");
}

/// So many friends of Romeo, who see him and are there.
fn friends(stage: &mut Stage, romeo: Client, count: usize) -> Vec<Client> {
    let arrive = |number| {
        let local = format!("+15551231{number:03}");
        let (friend, _) = stage.arrive(&local, "phone");
        announce(stage, friend, &["urn:x"]);
        stage.send(friend, &format!("<presence type='subscribe' to='{}'/>", jid(ROMEO)));
        stage.send(romeo, &format!("<presence type='subscribed' to='{}'/>", jid(&local)));
        stage.received(friend);
        friend
    };
    (0..count).map(arrive).collect()
}

/// How many of them hear something with these words, turn by turn.
fn heard(stage: &mut Stage, friends: &[Client], words: &str) -> Vec<usize> {
    let mut heard = Vec::new();
    loop {
        let more = stage.end_turn(0);
        let of = |friend: &Client| stage.stanzas(*friend).iter().filter(|it| it.contains(words)).count();
        heard.push(friends.iter().map(of).sum());
        if !more {
            return heard;
        }
    }
}

#[test]
fn a_publication_for_many_is_carried_in_several_turns() {
    let mut stage = Stage::turned(1, &[("pep.notifications_per_turn", 4)]);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let friends = friends(&mut stage, romeo, 12);
    let publish = "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:x'>\
                   <item id='1'><x xmlns='urn:x'/></item></publish></pubsub></iq>";
    stage.begin_send(romeo, publish);
    let heard = heard(&mut stage, &friends, "<event");
    assert_eq!(heard.iter().sum::<usize>(), 12, "{heard:?}");
    assert!(heard.iter().all(|count| *count <= 4), "{heard:?}");
}

#[test]
fn a_presence_for_very_many_is_told_in_several_turns() {
    let mut stage = Stage::with_limits(1, Limits { told_per_turn: 20, ..Default::default() });
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let friends = friends(&mut stage, romeo, 70);
    stage.begin_send(romeo, "<presence><status>all of you</status></presence>");
    let heard = heard(&mut stage, &friends, "all of you");
    assert_eq!(heard.iter().sum::<usize>(), 70, "{heard:?}");
    assert!(heard.iter().all(|count| *count <= 20), "{heard:?}");
    stage.begin_send(romeo, "<presence type='unavailable'><status>gone</status></presence>");
    stage.lose(romeo, crate::wire::Closed::Clean);
    let gone = friends.iter().filter(|friend| stage.stanzas(**friend).concat().contains("gone"));
    assert_eq!(gone.count(), 70, "an end reaches everybody");
}

/// What is sent behind it to one of its recipients would else pass it by: the last of them would see Romeo come after she was
/// blocked.
#[test]
fn nothing_passes_a_presence_for_very_many() {
    for shards in [1, 2] {
        let mut stage = Stage::with_limits(shards, Limits { told_per_turn: 2, ..Default::default() });
        let (romeo, _) = stage.arrive(ROMEO, "orchard");
        friends(&mut stage, romeo, 130);
        let last = format!("+15551231{:03}", 129);
        let (phone, _) = stage.arrive(&last, "phone");
        stage.received(phone);
        stage.begin_send(romeo, "<presence><status>hello</status></presence>");
        stage.begin_send(
            romeo,
            &format!("<message to='{}' type='chat'><body>first</body></message>", jid(&last)),
        );
        let item = format!("<block xmlns='urn:xmpp:blocking'><item jid='{}'/></block>", jid(&last));
        stage.begin_send(romeo, &format!("<iq type='set' id='b'>{item}</iq>"));
        stage.settle();
        let got = stage.stanzas(phone);
        let place = |words: &str| got.iter().position(|it| it.contains(words));
        let (hello, first, gone) = (place("hello"), place("first"), place("unavailable"));
        assert!(hello.is_some() && hello < first && first < gone, "{shards} shards: {got:?}");
        assert_eq!(got.len(), 3, "{got:?}");
    }
}
