//! What streams, logins and transports implement, as data: the documents' table is made from it together with the
//! rooms' own declarations ([`chaski_services::owner::dispatch::specs`]). Nothing here is announced by service discovery; stream
//! features and host-meta announce it.

use chaski_services::effects::iq::Xep;

/// An RFC that is implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// What of it is missing; empty if nothing is.
    pub lacks: &'static str,
}

impl Rfc {
    /// A declaration.
    pub const fn new(number: u16, name: &'static str) -> Self {
        Self { number, name, lacks: "" }
    }

    /// The same, of which this is missing.
    pub const fn lacking(self, what: &'static str) -> Self {
        Self { lacks: what, ..self }
    }
}

/// The RFCs, those of the rooms too.
pub const RFCS: &[Rfc] = &[
    Rfc::new(4616, "SASL PLAIN (inside TLS)"),
    Rfc::new(5802, "SCRAM-SHA-1, also -PLUS"),
    Rfc::new(5929, "Channel binding tls-server-end-point"),
    Rfc::new(6120, "XMPP Core").lacking("streams between servers, on purpose: one domain"),
    Rfc::new(6121, "Instant Messaging and Presence"),
    Rfc::new(7395, "XMPP over WebSocket"),
    Rfc::new(7590, "Use of TLS in XMPP"),
    Rfc::new(7622, "Address Format"),
    Rfc::new(7677, "SCRAM-SHA-256, also -PLUS"),
    Rfc::new(8264, "PRECIS Framework"),
    Rfc::new(8265, "PRECIS of user names and resources")
        .lacking("passwords, which SCRAM (RFC 5802) wants by SASLprep"),
    Rfc::new(9266, "Channel binding tls-exporter"),
];

/// The XEPs of streams and transports.
pub const SPEC: &[Xep] = &[
    Xep::new(156, "1.4.0", "Discovering Alternative XMPP Connection Methods", &[]),
    Xep::new(305, "0.3", "XMPP Quickstart", &[]),
    Xep::new(368, "1.1.0", "SRV records for XMPP over TLS", &[]),
    Xep::new(386, "1.1.0", "Bind 2", &[]),
    Xep::new(388, "1.0.4", "Extensible SASL Profile", &[]),
    Xep::new(440, "1.0.0", "SASL Channel-Binding Type Capability", &[]),
    Xep::new(484, "0.2.0", "Fast Authentication Streamlining Tokens", &[]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_services::owner::dispatch::specs;

    #[test]
    fn each_specification_is_declared_once() {
        for xep in SPEC {
            assert!(!specs().any(|other| other.number == xep.number), "{xep:?}");
        }
    }
}
