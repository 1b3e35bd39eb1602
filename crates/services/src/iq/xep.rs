//! What the rooms implement, as data: service discovery announces from it, and the documents' table is made from it.

use chaski_xmpp::ns;

/// Where a feature is announced by service discovery (XEP-0030).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// On the domain.
    Domain,
    /// On an account's bare JID.
    Account,
    /// On the domain of a server that names relays for calls.
    DomainWithRelays,
    /// On the address of the upload service.
    Upload,
    /// On both the domain and accounts.
    Everywhere,
}

/// A specification that a room implements, declared beside the code that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xep {
    /// Its number; 0 for the RFCs.
    pub number: u16,
    /// The version of it that was read.
    pub version: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What service discovery says of it, and where.
    pub features: &'static [(Scope, &'static str)],
    /// What of it is missing, for the documents' table; empty if nothing is.
    pub lacks: &'static str,
}

impl Xep {
    /// A declaration.
    pub const fn new(
        number: u16,
        version: &'static str,
        name: &'static str,
        features: &'static [(Scope, &'static str)],
    ) -> Self {
        Self { number, version, name, features, lacks: "" }
    }

    /// The same, of which this is missing.
    pub const fn lacking(self, what: &'static str) -> Self {
        Self { lacks: what, ..self }
    }
}

/// Every declaration of the rooms.
pub const SPECS: &[&[Xep]] = &[
    super::entity::SPEC,
    crate::blocking::SPEC,
    crate::calls::SPEC,
    crate::caps::SPEC,
    crate::commands::SPEC,
    crate::leaving::SPEC,
    crate::disco::SPEC,
    crate::pep::SPEC,
    crate::private::SPEC,
    crate::profile::SPEC,
    crate::roster::SPEC,
    crate::session::carbons::SPEC,
    crate::session::hold::SPEC,
    crate::upload::SPEC,
    CARRIED,
];

/// What is done where stanzas are routed, kept and delivered (the router, mailbox and session rooms).
const CARRIED: &[Xep] = &[
    Xep::new(160, "1.0.1", "Best Practices for Handling Offline Messages", &[(Scope::Domain, "msgoffline")]),
    Xep::new(198, "1.6.2", "Stream Management", &[]),
    Xep::new(203, "2.0", "Delayed Delivery", &[]),
    Xep::new(334, "0.4", "Message Processing Hints", &[]),
    Xep::new(359, "0.7.0", "Unique and Stable Stanza IDs", &[(Scope::Account, ns::STANZA_ID)]),
];

/// The features announced in these scopes, sorted, each once.
pub(crate) fn features(scopes: &[Scope]) -> Vec<&'static str> {
    let mut features: Vec<_> = SPECS
        .iter()
        .flat_map(|specs| specs.iter())
        .flat_map(|xep| xep.features)
        .filter(|(place, _)| {
            scopes.contains(place) || (*place == Scope::Everywhere && scopes != [Scope::Upload])
        })
        .map(|(_, feature)| *feature)
        .collect();
    features.sort_unstable();
    features.dedup();
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_refuse_on_purpose_is_not_announced() {
        for scope in [Scope::Domain, Scope::DomainWithRelays, Scope::Account, Scope::Upload] {
            let features = features(&[scope]);
            assert!(!features.iter().any(|f| f.starts_with("urn:xmpp:mam:")), "no archive");
            assert!(!features.contains(&"http://jabber.org/protocol/offline"));
        }
    }

    #[test]
    fn each_specification_is_declared_once() {
        let mut numbers: Vec<_> = SPECS.iter().flat_map(|specs| specs.iter()).map(|xep| xep.number).collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
    }
}
