//! Settings as JSON: the document in `SETTINGS`, and what programs read and write over HTTPS.
//!
//! ```json
//! {"format":1,"rules":{"last_seen":{"show":"nobody","always":["+15551230001"]}},"blocked":["+15551230002"]}
//! ```
//! Rules that are the defaults are left out. Phone numbers of our own domain are written without the domain, as in rosters.
//! Promises that whatever is read keeps the bounds of [`super`].

use super::{AccountKind, Audience, EXCEPTIONS_BYTES_MAX, EXCEPTIONS_MAX, Exceptions, Rule, Settings, What};
use crate::account::blocks::Entry;
use crate::account::roster::Contact;
use crate::data::data;
use chaski_store::AccountId;
use chaski_xmpp::JidRef;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FORMAT: u32 = 1;

/// All rules, as shown to their owner's programs.
pub type View = BTreeMap<What, RuleView>;

/// Changes of some rules.
pub type Patch = BTreeMap<What, RulePatch>;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    /// Who sees it.
    pub show: Audience,
    /// Contacts that see it in any case: numbers (`+15551230001`) or JIDs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<String>,
    /// Contacts that do not see it in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<String>,
}

/// The change of one rule. What is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulePatch {
    /// Who sees it.
    pub show: Option<Audience>,
    /// Contacts that see it in any case: numbers (`+15551230001`) or JIDs.
    pub always: Option<Vec<String>>,
    /// Contacts that do not see it in any case.
    pub never: Option<Vec<String>>,
}

/// Why settings are not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// An exception that is no number and no bare JID.
    #[error("not a phone number or a bare JID: {0}")]
    Contact(String),
    /// Too many exceptions.
    #[error("more than {EXCEPTIONS_MAX} exceptions of one kind, or too long ones")]
    TooMany,
}

/// Why a stored document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not the JSON that we write.
    #[error("the settings' document is damaged: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer version.
    #[error("the settings' document has format {0}, this version knows {FORMAT}")]
    Format(u32),
    /// An address that can't be, or too many.
    #[error("the settings' document holds an impossible entry")]
    Entry,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    #[serde(default)]
    rules: View,
    #[serde(default)]
    blocked: Vec<String>,
}

impl Settings {
    /// The document to be saved.
    pub fn to_document(&self) -> Vec<u8> {
        let changed = What::ALL.into_iter().filter(|what| !self.rule(*what).is_default_of(*what, self.owner));
        let document = Document {
            format: FORMAT,
            rules: changed.map(|what| (what, self.rule(what).view())).collect(),
            blocked: self.blocks.entries().map(|entry| entry.to_document()).collect(),
        };
        serde_json::to_vec(&document).expect("a document of strings and numbers is always JSON")
    }

    /// Reads a saved document of an account of this kind.
    pub fn from_document(json: &[u8], owner: AccountKind) -> Result<Self, DocumentError> {
        let document: Document = serde_json::from_slice(json)?;
        if document.format != FORMAT {
            return Err(DocumentError::Format(document.format));
        }
        let mut settings = Self::of(owner);
        for (what, view) in document.rules {
            let read = |texts: Vec<String>| -> Option<Vec<Contact>> {
                texts.iter().map(|text| Contact::from_document(text)).collect()
            };
            let lists = read(view.always).zip(read(view.never));
            let (always, never) = lists.ok_or(DocumentError::Entry)?;
            *settings.rule_mut(what) =
                Rule::new(view.show, always, never).map_err(|_| DocumentError::Entry)?;
        }
        for text in &document.blocked {
            let entry = Entry::from_document(text).ok_or(DocumentError::Entry)?;
            settings.blocks.add(entry).map_err(|_| DocumentError::Entry)?;
        }
        Ok(settings)
    }

    /// All rules.
    pub fn view(&self) -> View {
        What::ALL.into_iter().map(|what| (what, self.rule(what).view())).collect()
    }

    /// Applies all of the patch or nothing. `whole`: rules that the patch does not name are reset to the defaults, and the others
    /// are changed from their defaults.
    pub fn apply(&mut self, patch: &Patch, whole: bool, domain: &str) -> Result<(), PatchError> {
        let mut rules = self.rules.clone();
        if whole {
            rules = Rule::defaults(self.owner);
        }
        for (what, change) in patch {
            let rule = &mut rules[*what as usize];
            let present = rule.exceptions.as_deref().cloned().unwrap_or_default();
            let always = contacts(change.always.as_deref(), present.always, domain)?;
            let never = contacts(change.never.as_deref(), present.never, domain)?;
            *rule = Rule::new(change.show.unwrap_or(rule.audience), always, never)?;
        }
        self.rules = rules;
        Ok(())
    }
}

impl Rule {
    fn new(
        audience: Audience,
        mut always: Vec<Contact>,
        mut never: Vec<Contact>,
    ) -> Result<Self, PatchError> {
        for list in [&mut always, &mut never] {
            list.sort_unstable();
            list.dedup();
            list.shrink_to_fit();
            let bytes: usize = list.iter().map(Contact::text_bytes).sum();
            if list.len() > EXCEPTIONS_MAX || bytes > EXCEPTIONS_BYTES_MAX {
                return Err(PatchError::TooMany);
            }
        }
        let exceptions = Exceptions { always, never };
        let exceptions = (exceptions != Exceptions::default()).then(|| Box::new(exceptions));
        Ok(Self { audience, exceptions })
    }

    fn view(&self) -> RuleView {
        let exceptions = self.exceptions.as_deref().cloned().unwrap_or_default();
        let texts = |list: Vec<Contact>| list.iter().map(Contact::to_document).collect();
        RuleView { show: self.audience, always: texts(exceptions.always), never: texts(exceptions.never) }
    }
}

/// The contacts that a user has named; the present ones if the user has named none.
fn contacts(
    texts: Option<&[String]>,
    present: Vec<Contact>,
    domain: &str,
) -> Result<Vec<Contact>, PatchError> {
    let Some(texts) = texts else { return Ok(present) };
    // Twice the bound, since some of the texts may name the same contact.
    if texts.len() > 2 * EXCEPTIONS_MAX {
        return Err(PatchError::TooMany);
    }
    texts.iter().map(|text| contact(text, domain)).collect()
}

fn contact(text: &str, domain: &str) -> Result<Contact, PatchError> {
    // The refused text is shown to the user who wrote it, but not without a bound.
    let bad = || PatchError::Contact(text.chars().take(64).collect());
    let text = text.trim();
    if text.starts_with('+') && !text.contains('@') {
        return AccountId::from_local(text).and_then(Contact::from_account).ok_or_else(bad);
    }
    let mut scratch = String::new();
    let jid = JidRef::parse(text, &mut scratch).map_err(|_| bad())?;
    if jid.local.is_none() || jid.resource.is_some() {
        return Err(bad());
    }
    Ok(Contact::new(&jid.to_string(), domain))
}

data!(struct RuleView { show, always, never });
data!(struct RulePatch { show, always, never });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::blocks::BlockList;

    const DOMAIN: &str = "d.example";

    fn patch(json: &str) -> Patch {
        serde_json::from_str(json).unwrap()
    }

    fn blocks(jids: &[&str]) -> BlockList {
        let mut list = BlockList::default();
        for jid in jids {
            list.add(Entry::parse(jid, DOMAIN).unwrap()).unwrap();
        }
        list
    }

    #[test]
    fn nothing_is_lost() {
        let mut settings = Settings::default();
        let json = r#"{"last_seen":{"show":"nobody","always":["+15551230001"]},
            "photo":{"never":["bot@d.example","+15551230001@e.example"]}}"#;
        settings.apply(&patch(json), false, DOMAIN).unwrap();
        settings.blocks = blocks(&["+15551230002@d.example", "spam.example", "a@b.example/c"]);
        let document = settings.to_document();
        assert_eq!(Settings::from_document(&document, AccountKind::Person).unwrap(), settings);
        let text = String::from_utf8(document).unwrap();
        assert!(!text.contains("read_marks") && text.contains(r#""blocked":["+15551230002","#), "{text}");
        assert!(Settings::from_document(br#"{"format":1}"#, AccountKind::Person).unwrap().is_default());
    }

    #[test]
    fn what_a_service_account_hides_stays_hidden() {
        let mut settings = Settings::of(AccountKind::Service);
        assert_eq!(settings.view()[&What::Photo].show, Audience::Everyone);
        settings.apply(&patch(r#"{"photo":{"show":"contacts"}}"#), false, DOMAIN).unwrap();
        let again = Settings::from_document(&settings.to_document(), AccountKind::Service).unwrap();
        assert_eq!((&again, again.view()[&What::Photo].show), (&settings, Audience::Contacts));
        settings.apply(&patch("{}"), true, DOMAIN).unwrap();
        assert!(settings.is_default());
    }

    #[test]
    fn damage_and_later_formats_are_refused() {
        assert!(matches!(Settings::from_document(b"[]", AccountKind::Person), Err(DocumentError::Json(_))));
        assert!(matches!(
            Settings::from_document(br#"{"format":2}"#, AccountKind::Person),
            Err(DocumentError::Format(2))
        ));
        let damaged = br#"{"format":1,"blocked":["+0"]}"#;
        assert!(matches!(Settings::from_document(damaged, AccountKind::Person), Err(DocumentError::Entry)));
    }

    #[test]
    fn what_is_not_given_stays_and_a_whole_patch_begins_anew() {
        let mut settings = Settings::default();
        settings
            .apply(&patch(r#"{"online":{"show":"nobody","never":["+15551230001"]}}"#), false, DOMAIN)
            .unwrap();
        settings.apply(&patch(r#"{"online":{"show":"everyone"}}"#), false, DOMAIN).unwrap();
        let online = settings.view().remove(&What::Online).unwrap();
        assert_eq!((online.show, &*online.never), (Audience::Everyone, &["+15551230001".to_owned()][..]));
        settings.apply(&patch(r#"{"photo":{"show":"nobody"}}"#), true, DOMAIN).unwrap();
        let view = settings.view();
        assert_eq!(view[&What::Photo].show, Audience::Nobody);
        assert_eq!(view[&What::Online], RuleView { show: Audience::Contacts, always: vec![], never: vec![] });
    }

    #[test]
    fn a_bad_patch_changes_nothing() {
        let mut settings = Settings::default();
        for bad in ["12", "", "a@", "+15551230001@d.example/x", "d.example", "+1"] {
            let change =
                RulePatch { never: Some(vec![bad.into()]), show: Some(Audience::Nobody), always: None };
            let change = Patch::from([
                (What::Online, RulePatch { show: Some(Audience::Nobody), ..RulePatch::default() }),
                (What::Photo, change),
            ]);
            assert!(matches!(settings.apply(&change, false, DOMAIN), Err(PatchError::Contact(_))), "{bad}");
        }
        let many = (0..=EXCEPTIONS_MAX as u64).map(|n| format!("+{}", 15_551_230_000 + n)).collect();
        let change = RulePatch { always: Some(many), ..RulePatch::default() };
        let refused = settings.apply(&Patch::from([(What::Status, change)]), false, DOMAIN);
        assert_eq!(refused, Err(PatchError::TooMany));
        let long = (0..100).map(|n| format!("{n:0>1000}@d.example")).collect();
        let change = RulePatch { always: Some(long), ..RulePatch::default() };
        let refused = settings.apply(&Patch::from([(What::Status, change)]), false, DOMAIN);
        assert_eq!(refused, Err(PatchError::TooMany), "few, but long");
        assert!(settings.is_default());
        assert!(serde_json::from_str::<Patch>(r#"{"shoe_size":{"show":"nobody"}}"#).is_err());
        assert!(serde_json::from_str::<Patch>(r#"{"photo":{"shown":"nobody"}}"#).is_err());
    }
}
