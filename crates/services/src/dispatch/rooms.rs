//! What all rooms implement together.

use crate::iq::{self, Scope, Xep};
use chaski_xmpp::ns;

/// Every declaration of the rooms.
pub const SPECS: &[&[Xep]] = &[
    super::entity::SPEC,
    crate::blocking::SPEC,
    crate::calls::SPEC,
    crate::caps::SPEC,
    crate::commands::SPEC,
    crate::leaving::SPEC,
    super::disco::SPEC,
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

/// The features that are announced in these scopes, sorted, each once.
pub(super) fn features(scopes: &[Scope]) -> Vec<&'static str> {
    iq::features(SPECS, scopes)
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
