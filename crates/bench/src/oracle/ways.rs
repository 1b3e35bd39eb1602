//! The ways of asking after which nothing may be known of a number (docs/promises.md, P1): before any login, and by an account that
//! is a stranger to the number's owner, or is blocked.
//!
//! Called by [`super::run`]. First messages and contact sync are none of them: they may tell whether a number is registered.

use super::line::Line;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chaski_xmpp::sasl::token::{Claim, TokenMechanism};
use chaski_xmpp::stream::client::{Authenticate, write_authenticate};
use chaski_xmpp::stream::{ClientId, TokenUse, Wishes};
use std::io;
use tokio::time::Instant;

/// Accounts that ask, all at a time where answers are told late.
pub(super) const ASKERS: usize = 24;
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// What came of one question.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Whether the number has an account.
    pub(super) is_somebody: bool,
    /// Whether the same was asked of it before.
    pub(super) is_again: bool,
    pub(super) bytes: usize,
    /// Elements and what is between them.
    pub(super) pieces: usize,
    /// All that was heard, in order, without what is made up at random and what was asked with.
    pub(super) form: String,
    /// From the question to the last of it.
    pub(super) us: u64,
}

/// One way of asking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) ask: Ask,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Ask {
    /// The first message of SCRAM: the challenge.
    Challenge(Profile, &'static str),
    /// A proof that is wrong.
    Proof(Profile, &'static str),
    /// A password that is wrong.
    Plain(Profile),
    /// A token that nobody was given.
    Token,
    /// A key that is wrong, over HTTP.
    Http(&'static str, &'static str, &'static str),
    /// A stanza; `TO` is the number's address. True: an answer of its own follows.
    Stanza(&'static str, bool),
}

/// RFC 6120 or XEP-0388.
#[derive(Debug, Clone, Copy)]
pub(super) enum Profile {
    Sasl,
    Sasl2,
}

/// All of them.
pub(super) const WAYS: [Way; 22] = {
    use Profile::{Sasl, Sasl2};
    const fn way(name: &'static str, ask: Ask) -> Way {
        Way { name, ask }
    }
    [
        way("challenge", Ask::Challenge(Sasl, "SCRAM-SHA-256")),
        way("challenge-sha1", Ask::Challenge(Sasl, "SCRAM-SHA-1")),
        way("challenge-sasl2", Ask::Challenge(Sasl2, "SCRAM-SHA-256")),
        way("proof", Ask::Proof(Sasl, "SCRAM-SHA-256")),
        way("proof-sasl2", Ask::Proof(Sasl2, "SCRAM-SHA-1")),
        way("token", Ask::Token),
        way("plain", Ask::Plain(Sasl)),
        way("plain-sasl2", Ask::Plain(Sasl2)),
        way("http-contacts", Ask::Http("GET", "/v1/contacts", "")),
        way("http-lock", Ask::Http("PUT", "/v1/registration-lock", "{\"pin\":\"123456\"}")),
        way("http-account", Ask::Http("DELETE", "/v1/account", "")),
        way("ping", Ask::Stanza("<iq to='TO/phone' type='get' ID><ping xmlns='urn:xmpp:ping'/></iq>", true)),
        way(
            "info",
            Ask::Stanza(
                "<iq to='TO' type='get' ID><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
                true,
            ),
        ),
        way(
            "info-full",
            Ask::Stanza(
                "<iq to='TO/phone' type='get' ID><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
                true,
            ),
        ),
        way("last", Ask::Stanza("<iq to='TO' type='get' ID><query xmlns='jabber:iq:last'/></iq>", true)),
        way("vcard", Ask::Stanza("<iq to='TO' type='get' ID><vCard xmlns='vcard-temp'/></iq>", true)),
        way(
            "avatar",
            Ask::Stanza(
                "<iq to='TO' type='get' ID><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub></iq>",
                true,
            ),
        ),
        way(
            "publish",
            Ask::Stanza(
                "<iq to='TO' type='set' ID><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='x'><item/></publish></pubsub></iq>",
                true,
            ),
        ),
        way("headline", Ask::Stanza("<message to='TO' type='headline' ID><body>x</body></message>", false)),
        way(
            "passing",
            Ask::Stanza(
                "<message to='TO/phone' type='chat' ID><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>",
                false,
            ),
        ),
        way("presence", Ask::Stanza("<presence to='TO' ID/>", false)),
        way("probe", Ask::Stanza("<presence to='TO' type='probe' ID/>", false)),
    ]
};

impl Way {
    /// How many ask at a time. What is told late would take hours one after the other, and what goes through the worker for slow checks
    /// would only wait there if many came at once.
    pub(super) fn at_a_time(self) -> usize {
        match self.ask {
            Ask::Challenge(..) | Ask::Stanza(_, false) => 1,
            Ask::Proof(..) | Ask::Token | Ask::Stanza(_, true) => ASKERS,
            Ask::Plain(_) | Ask::Http(..) => 8,
        }
    }
}

/// Where the server listens: without TLS, and HTTP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) http: u16,
}

/// Asks as somebody without an account, on a connection of its own. What was heard, without what is random, and how long it took.
pub(super) fn ask_as_nobody(ask: Ask, ports: Ports, number: &str) -> io::Result<(String, u64)> {
    let mut line = match ask {
        Ask::Http(..) => Line::to(ports.http)?,
        _ => Line::stream(ports.plain)?,
    };
    let (heard, us) = match ask {
        Ask::Challenge(profile, mechanism) => {
            let first = profile.begin(mechanism, format!("n,,n={number},r=asked").as_bytes());
            let (challenge, us) = timed(&mut line, &first, |line| line.until("</challenge>"))?;
            (unchallenged(&challenge)?, us)
        }
        Ask::Proof(profile, mechanism) => {
            line.say(&profile.begin(mechanism, format!("n,,n={number},r=asked").as_bytes()))?;
            let nonce = field(&challenged(&line.until("</challenge>")?)?, "r=");
            let bytes = if mechanism == "SCRAM-SHA-1" { 20 } else { 32 };
            let proof = BASE64.encode(&[7; 32][..bytes]);
            let last = profile.response(format!("c=biws,r={nonce},p={proof}").as_bytes());
            timed(&mut line, &last, |line| line.until("</failure>"))?
        }
        Ask::Plain(profile) => {
            let first = profile.begin("PLAIN", format!("\0{number}\0guessed").as_bytes());
            timed(&mut line, &first, |line| line.until("</failure>"))?
        }
        Ask::Token => {
            let claim = Claim::write(number, "guessed", &[]);
            let first = Profile::Sasl2.begin(TokenMechanism::Unbound.name(), &claim);
            timed(&mut line, &first, |line| line.until("</failure>"))?
        }
        Ask::Http(method, path, body) => {
            let proof = BASE64.encode(format!("{number}:guessed"));
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {proof}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let (response, us) = timed(&mut line, &request, Line::response)?;
            let lines = response.split_inclusive('\n');
            (lines.filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect(), us)
        }
        Ask::Stanza(..) => return Err(io::Error::other("a stanza needs a session")),
    };
    Ok((heard.replace(number, "NUMBER"), us))
}

/// As [`Asker::ask`] tells it.
pub(super) const ACKNOWLEDGEMENT: &str = "<a xmlns='urn:xmpp:sm:3' H/>";

/// An account that asks.
pub(super) struct Asker {
    line: Line,
    own: String,
    asked: u64,
    /// Stanzas that the server has sent it.
    counted: u32,
}

impl Asker {
    pub(super) fn log_in(ports: Ports, number: &str, key: &str) -> io::Result<Self> {
        let mut line = Line::session(ports.plain, number, key)?;
        line.say("<enable xmlns='urn:xmpp:sm:3'/>")?;
        line.until("<enabled")?;
        line.until("/>")?;
        Ok(Self { line, own: format!("{number}@localhost"), asked: 0, counted: 0 })
    }

    /// As [`ask_as_nobody`]. The acknowledgement that is asked for with a stanza is an answer, too.
    pub(super) fn ask(&mut self, stanza: &str, is_answered: bool, number: &str) -> io::Result<(String, u64)> {
        self.asked += 1;
        let id = format!("id='q{}'", self.asked);
        let to = format!("{number}@localhost");
        let question = format!("{}{REQUEST}", stanza.replace("TO", &to).replace("ID", &id));
        let (heard, us) = timed(&mut self.line, &question, |line| {
            line.take(|heard| {
                let acknowledged = end_of(heard, "<a xmlns='urn:xmpp:sm:3'", "/>")?;
                let answered = if is_answered { end_of(heard, &id, "</iq>")? } else { 0 };
                Some(acknowledged.max(answered))
            })
        })?;
        let stanzas = ["<iq ", "<message ", "<presence "];
        self.counted += stanzas.iter().map(|name| heard.matches(name).count() as u32).sum::<u32>();
        if heard.contains(REQUEST) {
            let counted = self.counted;
            self.line.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{counted}'/>"))?;
        }
        let heard =
            heard.replace(REQUEST, "").replace(&id, "ID").replace(&to, "TO").replace(&self.own, "OWN");
        Ok((heard.replace(&format!(" h='{}'", self.asked), " H"), us))
    }
}

/// Where the first `end` behind the first `begin` ends.
fn end_of(heard: &[u8], begin: &str, end: &str) -> Option<usize> {
    let at = memchr::memmem::find(heard, begin.as_bytes())?;
    Some(at + memchr::memmem::find(&heard[at..], end.as_bytes())? + end.len())
}

fn timed(
    line: &mut Line,
    question: &str,
    answer: impl FnOnce(&mut Line) -> io::Result<String>,
) -> io::Result<(String, u64)> {
    let begun = Instant::now();
    line.say(question)?;
    let heard = answer(line)?;
    Ok((heard, begun.elapsed().as_micros() as u64))
}

/// What a challenge says.
fn challenged(challenge: &str) -> io::Result<String> {
    let inner = challenge.rsplit_once("</").and_then(|(before, _)| before.rsplit_once('>'));
    let data = inner.and_then(|(_, data)| BASE64.decode(data).ok());
    let text = data.and_then(|data| String::from_utf8(data).ok());
    text.ok_or_else(|| io::Error::other(format!("no challenge: {challenge}")))
}

/// The same without nonce and salt.
fn unchallenged(challenge: &str) -> io::Result<String> {
    let text = challenged(challenge)?;
    let (nonce, salt) = (field(&text, "r="), field(&text, "s="));
    Ok(text.replace(&nonce, "NONCE").replace(&salt, &"S".repeat(salt.len())))
}

fn field(text: &str, name: &str) -> String {
    text.split(',').find_map(|field| field.strip_prefix(name)).unwrap_or_default().to_owned()
}

impl Profile {
    fn begin(self, mechanism: &str, initial: &[u8]) -> String {
        match self {
            Self::Sasl => format!(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{}</auth>",
                BASE64.encode(initial)
            ),
            Self::Sasl2 => {
                let wishes = Wishes { client: Some(ClientId([0xD4; 16])), ..Wishes::default() };
                let token_use = TokenMechanism::from_name(mechanism).map(|_| TokenUse::default());
                let first = Authenticate { mechanism, initial, software: None, wishes: &wishes, token_use };
                let mut text = Vec::new();
                write_authenticate(&first, &mut text);
                String::from_utf8_lossy(&text).into_owned()
            }
        }
    }

    fn response(self, data: &[u8]) -> String {
        let ns = match self {
            Self::Sasl => "urn:ietf:params:xml:ns:xmpp-sasl",
            Self::Sasl2 => "urn:xmpp:sasl:2",
        };
        format!("<response xmlns='{ns}'>{}</response>", BASE64.encode(data))
    }
}
