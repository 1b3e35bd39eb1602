//! The lists of all rooms: what each implements and which requests it takes, which rooms listen to events, and which ad-hoc
//! commands, metrics, kinds of records and knobs there are. A new room is one line in each list that it needs.
//!
//! What the owner itself does and announces (carbons, CSI, service discovery) stands in the same lists.

use super::{disco, entity};
use crate::account::contact_sync_quota::ContactSyncKnobs;
use crate::account::nodes::{ITEMS, NODES};
use crate::account::roster::RosterKnobs;
use crate::account::roster::document::ROSTERS;
use crate::account::settings::SETTINGS;
use crate::effects::iq::{self, AdHocCommand, Door, Scope, Xep};
use crate::effects::pep::PepKnobs;
use crate::effects::turn::Listener;
use crate::knobs::Knobs;
use crate::metrics::{Declare, RoomMetrics};
use crate::owner::session::csi::CsiKnobs;
use crate::owner::session::{carbons, csi};
use crate::rooms::blocking::{BlockingMetrics, REPORTS};
use crate::rooms::contact_sync::BookMetrics;
use crate::rooms::presence::PresenceKnobs;
use crate::rooms::upload::UploadMetrics;
use crate::rooms::{
    blocking, calls, cancelled_registration, caps, commands, contact_sync, pep, presence, privacy, private,
    profile, roster, upload,
};
use chaski_store::Table;
use chaski_telemetry::Registry;
use chaski_xmpp::ns;

/// What a room implements, and the doors at which it takes requests.
type Room = (&'static [Xep], &'static [Door]);

const ROOMS: &[Room] = &[
    (blocking::SPEC, blocking::DOORS),
    (&[], contact_sync::quicksy::DOORS),
    (calls::SPEC, calls::DOORS),
    (caps::SPEC, &[]),
    (carbons::SPEC, carbons::DOORS),
    (commands::SPEC, &[]),
    (disco::SPEC, &[]),
    (entity::SPEC, &[]),
    (csi::SPEC, &[]),
    (cancelled_registration::SPEC, cancelled_registration::DOORS),
    (pep::SPEC, pep::DOORS),
    (private::SPEC, private::DOORS),
    (profile::SPEC, profile::DOORS),
    (roster::SPEC, roster::DOORS),
    (upload::SPEC, &[]),
    (CARRIED, &[]),
];

/// The rooms that listen to events of an account, in the order in which they are told.
const LISTENERS: &[Listener] = &[pep::heard, presence::heard, roster::heard, caps::heard];

/// Ad-hoc commands of rooms, in the order in which they are shown.
pub(super) const COMMANDS: &[&AdHocCommand] = &[&privacy::COMMAND];

/// Metrics of rooms.
const METRICS: &[Declare] = &[
    RoomMetrics::declare::<BlockingMetrics>,
    RoomMetrics::declare::<BookMetrics>,
    RoomMetrics::declare::<UploadMetrics>,
];

/// The sets of knobs that rooms declare.
const KNOBS: &[fn(&mut Knobs)] = &[
    Knobs::declare::<ContactSyncKnobs>,
    Knobs::declare::<CsiKnobs>,
    Knobs::declare::<PepKnobs>,
    Knobs::declare::<PresenceKnobs>,
    Knobs::declare::<RosterKnobs>,
];

/// XEPs that are implemented where stanzas are routed, stored and delivered (router, mailbox, sessions).
const CARRIED: &[Xep] = &[
    Xep::new(160, "1.0.1", "Best Practices for Handling Offline Messages", &[(Scope::Domain, "msgoffline")]),
    Xep::new(198, "1.6.2", "Stream Management", &[]),
    Xep::new(203, "2.0", "Delayed Delivery", &[]),
    Xep::new(334, "0.4", "Message Processing Hints", &[]),
    Xep::new(359, "0.7.0", "Unique and Stable Stanza IDs", &[(Scope::Account, ns::STANZA_ID)]),
];

/// All XEPs that are declared.
pub fn specs() -> impl Iterator<Item = &'static Xep> {
    ROOMS.iter().flat_map(|(spec, _)| spec.iter())
}

/// All metrics of the rooms of one shard.
pub(crate) fn metrics(registry: &mut Registry) -> RoomMetrics {
    let mut metrics = RoomMetrics::default();
    METRICS.iter().for_each(|declare| declare(&mut metrics, registry));
    metrics
}

/// The kinds of records that rooms keep under accounts' keys. The store makes a table for each, and a removal takes what is in it.
pub const TABLES: &[Table] = &[ROSTERS, SETTINGS, NODES, ITEMS, REPORTS];

/// All knobs, as they are declared.
pub fn knobs() -> Knobs {
    let mut knobs = Knobs::default();
    KNOBS.iter().for_each(|declare| declare(&mut knobs));
    knobs
}

/// All doors.
pub(super) fn doors() -> impl Iterator<Item = &'static Door> {
    ROOMS.iter().flat_map(|(_, doors)| doors.iter())
}

/// All listeners.
pub(super) fn listeners() -> impl Iterator<Item = &'static Listener> {
    LISTENERS.iter()
}

/// The features that are announced in these scopes, sorted, each once.
pub(super) fn features(scopes: &[Scope]) -> Vec<&'static str> {
    iq::features(specs(), scopes)
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
        let mut numbers: Vec<_> = specs().map(|xep| xep.number).collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
    }

    #[test]
    fn no_two_doors_are_of_one_namespace() {
        let mut taken = std::collections::BTreeSet::new();
        for door in doors() {
            assert!(taken.insert(door.ns), "only the first of two doors is found: {}", door.ns);
        }
    }
}
