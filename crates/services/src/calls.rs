//! Relays for calls: the STUN and TURN servers that the operator names, with a login for those that want one (XEP-0215).
//!
//! Owns what they are ([`Relays`], from the configuration) and the logins, which are made as coturn's `use-auth-secret` checks
//! them: the user is a time and a name, the password is made of that by a secret which both servers know. Nothing is kept.
//! Called by [`crate::iq`] for an account's own sessions. Promises: a login tells the relay neither number nor account: its
//! name is another one each day, the same within one, so that the relay can count what somebody uses; without relays nothing is
//! announced and nothing answered. Pure: time comes with the turn.

use crate::context::Realm;
use crate::directory::Account;
use crate::iq::{Door, Reply, Request, Scope, Xep, xml};
use crate::outbox::Turn;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::sasl::{Hash, base64};
use chaski_xmpp::{ElementRef, StanzaCondition, Writer, datetime, ns};
use std::fmt;
use std::net::Ipv6Addr;

/// What this room implements.
pub const SPEC: &[Xep] =
    &[Xep::new(215, "1.0.0", "External Service Discovery", &[(Scope::DomainWithRelays, ns::EXTDISCO)])];

/// Requests that this room answers.
pub(crate) const DOORS: &[Door] = &[Door { ns: ns::EXTDISCO, owner: None, other: None, domain: Some(asked) }];

/// Most relays of a server.
pub const RELAYS_MAX: usize = 16;
/// The name of a login is another one after this long.
const NAME_MS: u64 = 24 * 3_600_000;

/// What a client can use for a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Relays {
    /// In the order in which clients are told.
    pub relays: Vec<Relay>,
    /// What the TURN servers know, too.
    pub secret: Secret,
    /// How long a login is good for a new call.
    pub login_ms: u64,
}

/// A secret that no log shows.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub Box<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a relay speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayKind {
    /// STUN (RFC 8489): tells a client its own address.
    Stun,
    /// TURN (RFC 8656): carries what can't go directly.
    Turn,
    /// The same inside TLS.
    Turns,
}

impl RelayKind {
    fn name(self) -> &'static str {
        match self {
            Self::Stun => "stun",
            Self::Turn => "turn",
            Self::Turns => "turns",
        }
    }
}

/// One relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// What it speaks.
    pub kind: RelayKind,
    /// A name or an address; IPv6 without brackets.
    pub host: Box<str>,
    /// Where it listens.
    pub port: u16,
    /// `udp` or `tcp`.
    pub transport: &'static str,
}

/// A text is not the URI of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not such as \"stun:relay.example.org\", \"turn:relay.example.org:3478?transport=udp\" or \
     \"turns:relay.example.org:443?transport=tcp\""
)]
pub struct NotARelay;

impl Relay {
    /// Reads a URI of RFC 7064 or 7065.
    pub fn parse(uri: &str) -> Result<Self, NotARelay> {
        let (scheme, rest) = uri.split_once(':').ok_or(NotARelay)?;
        let (kind, port, transport) = match scheme {
            "stun" => (RelayKind::Stun, 3478, "udp"),
            "turn" => (RelayKind::Turn, 3478, "udp"),
            "turns" => (RelayKind::Turns, 5349, "tcp"),
            _ => return Err(NotARelay),
        };
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let transport = match query {
            None => transport,
            Some("transport=udp") if kind == RelayKind::Turn => "udp",
            Some("transport=tcp") if kind != RelayKind::Stun => "tcp",
            Some(_) => return Err(NotARelay),
        };
        let (host, given_port) = split_port(place).ok_or(NotARelay)?;
        let port = match given_port {
            None => port,
            Some(digits) => digits.parse().ok().filter(|port| *port > 0).ok_or(NotARelay)?,
        };
        Ok(Self { kind, host: host.into(), port, transport })
    }

    /// Whether it wants a login.
    pub fn wants_login(&self) -> bool {
        self.kind != RelayKind::Stun
    }

    fn write(&self, login: &Login, writer: &mut Writer<'_>) {
        writer.open("service").attr("type", self.kind.name()).attr("host", &self.host);
        writer.attr("port", &self.port.to_string()).attr("transport", self.transport);
        if self.wants_login() {
            writer
                .attr("restricted", "1")
                .attr("username", &login.username)
                .attr("password", &login.password);
            writer.attr("expires", &login.expires);
        }
        writer.close();
    }

    /// Whether a client asks for the login of this one (§3.3): by host and type, and port if it names one.
    fn is_meant(&self, service: &ElementRef<'_>) -> bool {
        service.attr("type").as_deref() == Some(self.kind.name())
            && service.attr("host").is_some_and(|host| host.eq_ignore_ascii_case(&self.host))
            && service.attr("port").is_none_or(|port| port == self.port.to_string())
    }
}

/// Host and port of a URI's authority.
fn split_port(place: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return if rest.is_empty() {
            Some((host, None))
        } else {
            Some((host, Some(rest.strip_prefix(':')?)))
        };
    }
    let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (host.len() <= 253 && host.split('.').all(is_label)).then_some((host, port))
}

/// What an account logs in with.
struct Login {
    username: String,
    password: String,
    expires: String,
}

impl Login {
    fn new(realm: &Realm, account: AccountId, now_unix_ms: u64) -> Self {
        let expires_unix_ms = now_unix_ms + realm.relays.login_ms;
        let who =
            [&b"relay"[..], account.record_key().as_bytes(), &(now_unix_ms / NAME_MS).to_be_bytes()].concat();
        let name = Hash::Sha256.hmac(&realm.secret, &who);
        let name: String = name[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let username = format!("{}:{name}", expires_unix_ms / 1000);
        let password =
            base64::encode(&Hash::Sha1.hmac(realm.relays.secret.0.as_bytes(), username.as_bytes()));
        Self { username, password, expires: datetime::format(expires_unix_ms) }
    }
}

fn asked(turn: &mut Turn<'_>, account: &mut Account, _: SessionId, request: &Request<'_>, reply: Reply) {
    match answer(turn, account, request) {
        Ok(payload) => reply.result(turn.outbox, &payload),
        Err(condition) => reply.error(turn.outbox, condition),
    }
}

fn answer(turn: &Turn<'_>, account: &Account, request: &Request<'_>) -> Result<Vec<u8>, StanzaCondition> {
    let relays = &turn.realm.relays.relays;
    if relays.is_empty() {
        return Err(StanzaCondition::ServiceUnavailable);
    }
    let login = || Login::new(turn.realm, account.id, turn.shown(turn.unix_ms));
    if request.gets("services", ns::EXTDISCO) {
        let kind = request.child.attr("type");
        let wanted =
            relays.iter().filter(|relay| kind.as_deref().is_none_or(|kind| kind == relay.kind.name()));
        return Ok(list("services", kind.as_deref(), wanted, &login()));
    }
    if request.gets("credentials", ns::EXTDISCO) {
        let mut asked = request.child.children().filter(|child| child.is("service", ns::EXTDISCO));
        let (Some(service), None) = (asked.next(), asked.next()) else {
            return Err(StanzaCondition::BadRequest);
        };
        let meant: Vec<&Relay> = relays.iter().filter(|relay| relay.is_meant(&service)).collect();
        if meant.is_empty() {
            return Err(StanzaCondition::ItemNotFound);
        }
        return Ok(list("credentials", None, meant.into_iter(), &login()));
    }
    Err(StanzaCondition::BadRequest)
}

fn list<'r>(
    name: &'static str,
    kind: Option<&str>,
    relays: impl Iterator<Item = &'r Relay>,
    login: &Login,
) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns(name, ns::EXTDISCO).attr_opt("type", kind);
        relays.for_each(|relay| relay.write(login, writer));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_are_read() {
        for (uri, shown) in [
            ("stun:relay.example", "stun relay.example 3478 udp"),
            ("turn:relay.example:80?transport=tcp", "turn relay.example 80 tcp"),
            ("turn:192.0.2.1", "turn 192.0.2.1 3478 udp"),
            ("turns:[2001:db8::1]:443?transport=tcp", "turns 2001:db8::1 443 tcp"),
            ("turns:relay.example", "turns relay.example 5349 tcp"),
        ] {
            let Relay { kind, host, port, transport } = Relay::parse(uri).unwrap();
            assert_eq!(format!("{} {host} {port} {transport}", kind.name()), shown);
        }
        for bad in [
            "",
            "relay.example",
            "stun:",
            "stun:a b",
            "http://a",
            "stun:a:0",
            "stun:a:99999",
            "turn:a:x",
            "turn:[::1",
            "turn:[a]:1",
            "turn:a?transport=sctp",
            "stun:a?transport=tcp",
            "turns:a?transport=udp",
            "stun:a..b",
        ] {
            assert_eq!(Relay::parse(bad), Err(NotARelay), "{bad}");
        }
    }

    #[test]
    fn no_log_shows_the_secret() {
        let relays = Relays { secret: Secret("hush".into()), ..Relays::default() };
        assert!(!format!("{relays:?}").contains("hush"));
    }
}
