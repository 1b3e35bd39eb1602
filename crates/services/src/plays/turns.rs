//! Turns of a shard: how much of one is an account's, whatever it sends and on however many sessions.
//!
//! The edge is played here: it reads of each session as much as it may, once a turn.

use super::interests::announce;
use super::*;
use crate::context::Limits;

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

#[test]
fn a_publication_for_many_is_carried_in_several_turns() {
    let mut stage = Stage::with_limits(1, Limits { tidings_per_turn: 4, ..Default::default() });
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let mut friends = Vec::new();
    for number in 0..12 {
        let local = format!("+155512301{number:02}");
        let (friend, _) = stage.arrive(&local, "phone");
        announce(&mut stage, friend, &["urn:x"]);
        stage.send(friend, &format!("<presence type='subscribe' to='{}'/>", jid(ROMEO)));
        stage.send(romeo, &format!("<presence type='subscribed' to='{}'/>", jid(&local)));
        stage.received(friend);
        friends.push(friend);
    }
    stage.leave_unjudged("the publication goes past the stage, so that each turn can be looked at");
    let session = stage.session(romeo).expect("it is bound");
    let publish = "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:x'>\
                   <item id='1'><x xmlns='urn:x'/></item></publish></pubsub></iq>";
    let publish = chaski_xmpp::Stanza::parse(publish.as_bytes()).expect("it is well-formed");
    stage.call(0, |room, ctx| room.element(ctx, session, &publish));
    let mut heard = Vec::new();
    loop {
        let more = stage.call(0, |room, ctx| room.end_turn(ctx));
        let mut told = 0;
        for friend in &friends {
            told += stage.stanzas(*friend).iter().filter(|stanza| stanza.contains("<event")).count();
        }
        heard.push(told);
        if !(stage.complete(0) || more) {
            break;
        }
    }
    assert_eq!(heard.iter().sum::<usize>(), 12, "{heard:?}");
    assert!(heard.iter().all(|count| *count <= 4), "{heard:?}");
}
