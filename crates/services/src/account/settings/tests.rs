//! The rule against a model that is written as the specification is spoken, and the rule's examples.

use super::*;
use crate::account::blocks::Entry;
use proptest::prelude::*;

const DOMAIN: &str = "d.example";

/// A few contacts, so that lists and questions meet.
fn contact() -> impl Strategy<Value = Contact> {
    prop_oneof![
        (0..4_u64).prop_map(|n| Contact::Phone(15_551_230_000 + n)),
        Just(Contact::Other("bot@d.example".into())),
        Just(Contact::Other("a@spam.example".into())),
        Just(Contact::Other("a@more.spam.example".into())),
    ]
}

fn audience() -> impl Strategy<Value = Audience> {
    prop_oneof![Just(Audience::Everyone), Just(Audience::Contacts), Just(Audience::Nobody)]
}

fn contacts() -> impl Strategy<Value = Vec<Contact>> {
    prop::collection::vec(contact(), 0..3)
}

fn blocked() -> impl Strategy<Value = Vec<String>> {
    let entry = prop_oneof![
        contact().prop_map(|contact| contact.jid(DOMAIN)),
        contact().prop_map(|contact| format!("{}/r", contact.jid(DOMAIN))),
        Just("spam.example".to_owned()),
        Just("d.example/r".to_owned()),
    ];
    prop::collection::vec(entry, 0..3)
}

/// The rule in plain words.
fn model(
    blocked: &[String],
    never: &[Contact],
    always: &[Contact],
    audience: Audience,
    contact: &Contact,
    is_contact: bool,
) -> bool {
    let jid = contact.jid(DOMAIN);
    let domain = jid.split_once('@').unwrap().1;
    let is_blocked = blocked.iter().any(|entry| {
        *entry == jid
            || (!entry.contains(['@', '/']) && (entry == domain || domain.ends_with(&format!(".{entry}"))))
    });
    if is_blocked || never.contains(contact) {
        false
    } else if always.contains(contact) || audience == Audience::Everyone {
        true
    } else {
        audience == Audience::Contacts && is_contact
    }
}

proptest! {
    #[test]
    fn the_rule_is_the_model(
        blocked in blocked(),
        never in contacts(),
        always in contacts(),
        audience in audience(),
        contact in contact(),
        is_contact: bool,
        what in 0..What::ALL.len(),
    ) {
        let what = What::ALL[what];
        let texts = |list: &[Contact]| Some(list.iter().map(|contact| contact.jid(DOMAIN)).collect());
        let change = RulePatch { show: Some(audience), always: texts(&always), never: texts(&never) };
        let mut settings = Settings::default();
        settings.apply(&Patch::from([(what, change)]), false, DOMAIN).unwrap();
        for entry in &blocked {
            settings.blocks.add(Entry::parse(entry, DOMAIN).unwrap()).unwrap();
        }
        let expected = model(&blocked, &never, &always, audience, &contact, is_contact);
        prop_assert_eq!(settings.shows(what, &contact, DOMAIN, || is_contact), expected);
        let again = Settings::from_document(&settings.to_document(), AccountKind::Person).unwrap();
        prop_assert_eq!(again, settings);
    }
}

#[test]
fn a_stranger_is_shown_nothing_at_first() {
    let settings = Settings::default();
    let stranger = Contact::Phone(15_551_230_001);
    for what in [What::LastSeen, What::Online, What::Photo, What::Status] {
        assert!(!settings.shows(what, &stranger, DOMAIN, || false), "{what:?}");
        assert!(settings.shows(what, &stranger, DOMAIN, || true), "{what:?}");
    }
    assert!(settings.shows(What::ReadMarks, &stranger, DOMAIN, || false));
}

#[test]
fn a_service_account_is_there_to_be_found() {
    let settings = Settings::of(AccountKind::of(AccountId::service("bot")));
    let stranger = Contact::Phone(15_551_230_001);
    for what in What::ALL {
        let is_shown = matches!(what, What::Photo | What::Status | What::ReadMarks);
        assert_eq!(settings.shows(what, &stranger, DOMAIN, || false), is_shown, "{what:?}");
    }
}

#[test]
fn small() {
    assert_eq!(size_of::<Option<Box<Settings>>>(), 8);
    assert!(size_of::<Settings>() <= 136, "{}", size_of::<Settings>());
}
