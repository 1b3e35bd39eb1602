//! Relays for calls, as the operator names them: STUN and TURN servers (RFC 7064, 7065).

use std::fmt;
use std::net::Ipv6Addr;

/// Most relays of a server.
pub const RELAYS_MAX: usize = 16;

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
    pub(crate) fn name(self) -> &'static str {
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
