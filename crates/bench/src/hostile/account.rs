//! Everything that one account may do, on as many sessions as it may have, as fast as its connections take it.
//!
//! Each session has one [`Act`]. None of them breaks the protocol: what is refused for that is the bad input's tests' matter.
//! Called by [`super::attack`].

use super::{Attack, PICKED_ON};
use crate::accounts;
use crate::error::BenchError;
use chaski_client::{Client, ClientError, Security, Settings, Target, UNMARKED};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use tokio::task::JoinSet;

/// What a session has written and the server not read.
const UNSENT_BYTES: usize = 64 << 10;
/// Before a session that was refused or cut comes again.
const PAUSE: Duration = Duration::from_millis(100);
const LARGE_BYTES: usize = 60_000;

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Headlines to numbers that nobody has: each is a load.
    HeadlinesToNobody,
    /// Messages to them, which come back.
    MessagesToNobody,
    /// Many small messages to one who is not there.
    FillOneMailbox,
    /// Large messages to several.
    FillTheDisk,
    /// Items of a node that its own other sessions get.
    Publish,
    /// Comes and goes, with a status.
    FlipPresence,
    /// Other interests each time: last items are due.
    FlipInterests,
    /// Asks what it and others can and have.
    Discover,
    /// Asks for others' cards.
    Cards,
    /// Its own roster and private data.
    Own,
    /// Wants to be everybody's contact.
    Subscribe,
    /// Presence for chosen ones.
    Direct,
    /// Pings.
    Ping,
    /// Avatars, one after the other.
    Avatars,
    /// Messages to itself: each of its sessions gets them.
    ToItself,
    /// Logs in and out.
    Flap,
}

/// So many sessions an account has by default.
const SESSIONS: usize = 16;

impl Act {
    /// As the command line and the report have it: `fill-the-disk`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        ACTS.into_iter().find(|act| act.name() == name)
    }
}

/// All of them.
pub const ACTS: [Act; 16] = [
    Act::HeadlinesToNobody,
    Act::MessagesToNobody,
    Act::FillOneMailbox,
    Act::FillTheDisk,
    Act::Publish,
    Act::FlipPresence,
    Act::FlipInterests,
    Act::Discover,
    Act::Cards,
    Act::Own,
    Act::Subscribe,
    Act::Direct,
    Act::Ping,
    Act::Avatars,
    Act::ToItself,
    Act::Flap,
];

/// Until it is killed.
pub(super) async fn run(attack: &Attack) -> Result<(), BenchError> {
    let account = attack.account as usize;
    let target = Target {
        host: "127.0.0.1".into(),
        port: attack.ports.0,
        security: Security::Plain,
        domain: "localhost".into(),
    };
    let mut sessions = JoinSet::new();
    for (index, act) in attack.acts.iter().copied().cycle().take(SESSIONS).enumerate() {
        let mut settings =
            Settings::new(target.clone(), accounts::number(account), accounts::key(attack.seed, account));
        settings.resource = Some(format!("{act:?}{index}"));
        settings.stream_management = index % 2 == 0;
        let rng = StdRng::seed_from_u64(attack.seed ^ index as u64);
        sessions.spawn(Hostile { act, account, rng, count: 0 }.live(settings));
    }
    while sessions.join_next().await.is_some() {}
    Err(BenchError::Server("the hostile account's sessions are over".into()))
}

struct Hostile {
    act: Act,
    account: usize,
    rng: StdRng,
    count: u64,
}

impl Hostile {
    async fn live(mut self, settings: Settings) {
        let mut client = Client::new(settings);
        loop {
            client.forget_session();
            if client.connect().await.is_ok() {
                // However it ends: it comes again.
                let _ = self.act(&mut client).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn act(&mut self, client: &mut Client) -> Result<(), ClientError> {
        client.send(UNMARKED, b"<presence/>".to_vec())?;
        if self.act == Act::Flap {
            client.close().await;
            return Ok(());
        }
        loop {
            while client.unsent_bytes() < UNSENT_BYTES && client.has_room() {
                let stanza = self.stanza();
                client.send(UNMARKED, stanza.into_bytes())?;
            }
            client.next().await?;
        }
    }

    fn stanza(&mut self) -> String {
        self.count += 1;
        let count = self.count;
        let nobody = format!("+1888{:07}@localhost", self.rng.random_range(0..10_000_000));
        let victims = self.account + 1..self.account + PICKED_ON as usize;
        let victim = format!("{}@localhost", accounts::number(self.rng.random_range(victims)));
        let first = format!("{}@localhost", accounts::number(self.account + 1));
        let own = format!("{}@localhost", accounts::number(self.account));
        match self.act {
            Act::HeadlinesToNobody => {
                format!("<message to='{nobody}' type='headline'><body>x</body></message>")
            }
            Act::MessagesToNobody => message(&nobody, count, "x"),
            Act::FillOneMailbox => message(&first, count, "x"),
            Act::FillTheDisk => message(&victim, count, &"y".repeat(LARGE_BYTES)),
            Act::ToItself => message(&own, count, "z"),
            Act::Publish => publish(
                count,
                "urn:example:hostile",
                &format!("<x xmlns='urn:example:hostile'>{}</x>", "p".repeat(LARGE_BYTES)),
            ),
            Act::Avatars => publish(
                count,
                "urn:xmpp:avatar:data",
                &format!("<data xmlns='urn:xmpp:avatar:data'>{}</data>", "QUFB".repeat(LARGE_BYTES / 4)),
            ),
            Act::FlipPresence if count.is_multiple_of(2) => {
                format!("<presence><status>{count}</status></presence>")
            }
            Act::FlipPresence => "<presence type='unavailable'/>".into(),
            Act::FlipInterests => format!(
                "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:example:{count}' ver='{count}'/></presence>"
            ),
            Act::Discover => {
                let (about, what) = if count.is_multiple_of(2) { (&own, "items") } else { (&victim, "info") };
                iq(count, about, "get", &format!("<query xmlns='http://jabber.org/protocol/disco#{what}'/>"))
            }
            Act::Cards => iq(count, &victim, "get", "<vCard xmlns='vcard-temp'/>"),
            Act::Own if count.is_multiple_of(2) => {
                iq(count, &own, "get", "<query xmlns='jabber:iq:roster'/>")
            }
            Act::Own => {
                let diary = format!("<diary xmlns='urn:example:diary'>{}</diary>", "d".repeat(8_000));
                iq(count, &own, "set", &format!("<query xmlns='jabber:iq:private'>{diary}</query>"))
            }
            Act::Subscribe => format!("<presence to='{nobody}' type='subscribe'/>"),
            Act::Direct => format!("<presence to='{victim}'><status>{count}</status></presence>"),
            Act::Ping | Act::Flap => iq(count, "localhost", "get", "<ping xmlns='urn:xmpp:ping'/>"),
        }
    }
}

fn message(to: &str, count: u64, body: &str) -> String {
    format!("<message to='{to}' type='chat' id='hostile-{count}'><body>{body}</body></message>")
}

fn iq(count: u64, to: &str, kind: &str, payload: &str) -> String {
    format!("<iq to='{to}' type='{kind}' id='h{count}'>{payload}</iq>")
}

fn publish(count: u64, node: &str, payload: &str) -> String {
    let item = format!("<publish node='{node}'><item id='{count}'>{payload}</item></publish>");
    format!(
        "<iq type='set' id='h{count}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>{item}</pubsub></iq>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_xmpp::Stanza;

    #[test]
    fn every_act_has_a_name() {
        assert_eq!(Act::FillTheDisk.name(), "fill-the-disk");
        assert!(ACTS.iter().all(|act| Act::from_name(&act.name()) == Some(*act)));
        assert_eq!(Act::from_name("sleep"), None);
    }

    #[test]
    fn every_act_is_well_formed() {
        for act in ACTS {
            let mut hostile = Hostile { act, account: 7, rng: StdRng::seed_from_u64(1), count: 0 };
            for _ in 0..4 {
                let stanza = hostile.stanza();
                assert!(Stanza::parse(stanza.as_bytes()).is_ok(), "{stanza:.200}");
            }
        }
    }
}
