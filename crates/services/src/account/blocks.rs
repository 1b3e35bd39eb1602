//! The block list of an account: bare JIDs, full JIDs and domains, and how a JID is matched with them.
//!
//! Pure state; XEP-0191 §4. Part of [`crate::account::settings::Settings`], which is saved and loaded with it. Small: nearly every
//! entry is a phone number of our own domain, which is an integer. It promises that its bounds hold.

use super::roster::Contact;
use chaski_xmpp::{JidRef, jid::JidError};

/// Most entries of one account's list.
pub const ENTRIES_MAX: usize = 2_000;
/// Most bytes of all entries that are no phone numbers of our own.
const TEXT_BYTES_MAX: usize = 128 * 1024;

/// One entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A bare JID: all its resources.
    Account(Contact),
    /// A full JID, a domain, or a domain's resource: that resource, or all of the domain.
    Other(Box<str>),
}

/// The list is full (`policy-violation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the block list is full")]
pub struct Full;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockList {
    /// In order, each once.
    accounts: Vec<Contact>,
    /// In order, each once, each in normal form.
    others: Vec<Box<str>>,
}

impl Entry {
    /// Parses a JID that a client has sent.
    pub fn parse(text: &str, domain: &str) -> Result<Self, JidError> {
        let mut scratch = String::new();
        let jid = JidRef::parse(text, &mut scratch)?;
        let normal = jid.to_string();
        Ok(match (jid.local, jid.resource) {
            (Some(_), None) => Self::Account(Contact::new(&normal, domain)),
            _ => Self::Other(normal.into()),
        })
    }

    /// The JID.
    pub fn jid(&self, domain: &str) -> String {
        match self {
            Self::Account(contact) => contact.jid(domain),
            Self::Other(jid) => jid.to_string(),
        }
    }

    /// The entry as the document keeps it: `+number` alone for a phone number of our own domain, else the JID.
    pub(crate) fn to_document(&self) -> String {
        match self {
            Self::Account(contact) => contact.to_document(),
            Self::Other(jid) => jid.to_string(),
        }
    }

    /// The inverse of [`to_document`](Self::to_document).
    pub(crate) fn from_document(text: &str) -> Option<Self> {
        let jid = JidRef::split(text);
        match (jid.local, jid.resource) {
            (None, None) if !text.starts_with('+') => (!text.is_empty()).then(|| Self::Other(text.into())),
            (_, Some(_)) => Some(Self::Other(text.into())),
            _ => Contact::from_document(text).map(Self::Account),
        }
    }
}

impl BlockList {
    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.others.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.accounts.len() + self.others.len()
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let accounts = self.accounts.iter().cloned().map(Entry::Account);
        accounts.chain(self.others.iter().cloned().map(Entry::Other))
    }

    /// Adds an entry. True if it was not there.
    pub fn add(&mut self, entry: Entry) -> Result<bool, Full> {
        let full = self.len() >= ENTRIES_MAX || self.text_bytes() + text_bytes(&entry) > TEXT_BYTES_MAX;
        match entry {
            Entry::Account(contact) => insert(&mut self.accounts, contact, full),
            Entry::Other(jid) => insert(&mut self.others, jid, full),
        }
    }

    /// Removes an entry. True if it was there.
    pub fn remove(&mut self, entry: &Entry) -> bool {
        match entry {
            Entry::Account(contact) => take_out(&mut self.accounts, contact),
            Entry::Other(jid) => take_out(&mut self.others, jid),
        }
    }

    /// Whether stanzas from this JID (in normal form) are refused. XEP-0191 §4: an entry is a full JID, a bare JID, a domain's
    /// resource, or a domain with everything at it or below it.
    pub fn matches(&self, jid: JidRef<'_>, domain: &str) -> bool {
        let is_account = jid.local.is_some() && !self.accounts.is_empty() && {
            self.accounts.binary_search(&Contact::new(&jid.to_bare().to_string(), domain)).is_ok()
        };
        is_account || (!self.others.is_empty() && self.matches_other(jid))
    }

    /// Whether all resources of an account are refused.
    pub fn matches_contact(&self, contact: &Contact, domain: &str) -> bool {
        if self.accounts.binary_search(contact).is_ok() {
            return true;
        }
        !self.others.is_empty() && self.matches_domain(JidRef::split(&contact.jid(domain)).domain)
    }

    fn matches_other(&self, jid: JidRef<'_>) -> bool {
        (jid.resource.is_some() && self.has(&jid.to_string())) || self.matches_domain(jid.domain)
    }

    fn matches_domain(&self, domain: &str) -> bool {
        let mut rest = Some(domain);
        while let Some(name) = rest {
            if self.has(name) {
                return true;
            }
            rest = name.split_once('.').map(|(_, parent)| parent);
        }
        false
    }

    fn has(&self, jid: &str) -> bool {
        self.others.binary_search_by(|known| (**known).cmp(jid)).is_ok()
    }

    fn text_bytes(&self) -> usize {
        let accounts = self.accounts.iter().map(Contact::text_bytes).sum::<usize>();
        accounts + self.others.iter().map(|jid| jid.len()).sum::<usize>()
    }
}

/// For logs: a phone number is never whole.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account(contact) => contact.fmt(f),
            Self::Other(jid) if jid.starts_with('+') => f.write_str("+…/…"),
            Self::Other(jid) => f.write_str(jid),
        }
    }
}

fn text_bytes(entry: &Entry) -> usize {
    match entry {
        Entry::Account(contact) => contact.text_bytes(),
        Entry::Other(jid) => jid.len(),
    }
}

fn insert<T: Ord>(list: &mut Vec<T>, item: T, full: bool) -> Result<bool, Full> {
    match list.binary_search(&item) {
        Ok(_) => Ok(false),
        Err(_) if full => Err(Full),
        Err(at) => {
            list.insert(at, item);
            Ok(true)
        }
    }
}

fn take_out<T: Ord>(list: &mut Vec<T>, item: &T) -> bool {
    let found = list.binary_search(item);
    if let Ok(at) = found {
        list.remove(at);
        list.shrink_to_fit();
    }
    found.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "d.example";

    fn list(entries: &[&str]) -> BlockList {
        let mut list = BlockList::default();
        for entry in entries {
            list.add(Entry::parse(entry, DOMAIN).unwrap()).unwrap();
        }
        list
    }

    fn matches(list: &BlockList, jid: &str) -> bool {
        list.matches(JidRef::split(jid), DOMAIN)
    }

    #[test]
    fn a_bare_jid_is_all_its_resources_and_nobody_else() {
        let list = list(&["+15551230001@D.example", "bot@d.example"]);
        for blocked in ["+15551230001@d.example", "+15551230001@d.example/x", "bot@d.example/y"] {
            assert!(matches(&list, blocked), "{blocked}");
        }
        for free in ["+15551230002@d.example", "+15551230001@e.example", "d.example", "d.example/bot"] {
            assert!(!matches(&list, free), "{free}");
        }
    }

    #[test]
    fn a_full_jid_is_that_resource_alone() {
        let list = list(&["+15551230001@d.example/x", "d.example/y"]);
        assert!(matches(&list, "+15551230001@d.example/x") && matches(&list, "d.example/y"));
        for free in ["+15551230001@d.example", "+15551230001@d.example/y", "d.example", "a@d.example/y"] {
            assert!(!matches(&list, free), "{free}");
        }
        assert!(!list.matches_contact(&Contact::Phone(15_551_230_001), DOMAIN));
    }

    #[test]
    fn a_domain_is_all_at_it_and_below_it() {
        let list = list(&["spam.example"]);
        for blocked in ["spam.example", "spam.example/r", "a@spam.example/r", "a@more.spam.example"] {
            assert!(matches(&list, blocked), "{blocked}");
        }
        assert!(!matches(&list, "a@nospam.example") && !matches(&list, "a@example"));
        assert!(list.matches_contact(&Contact::Other("a@spam.example".into()), DOMAIN));
    }

    #[test]
    fn documents_round_trip() {
        for jid in [
            "+15551230001@d.example",
            "+15551230001@d.example/x",
            "bot@d.example",
            "spam.example",
            "spam.example/r",
        ] {
            let entry = Entry::parse(jid, DOMAIN).unwrap();
            assert_eq!(entry.jid(DOMAIN), jid);
            assert_eq!(Entry::from_document(&entry.to_document()), Some(entry));
        }
        assert_eq!(Entry::from_document(""), None);
        assert_eq!(Entry::from_document("+0"), None);
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for jid in ["", "@", "a@", "@d.example", "a b@d.example", "a@d.example/", "d..example"] {
            assert!(Entry::parse(jid, DOMAIN).is_err(), "{jid}");
        }
    }

    #[test]
    fn entries_are_added_once_and_bounded() {
        let mut list = BlockList::default();
        for number in 0..ENTRIES_MAX as u64 {
            assert_eq!(list.add(Entry::Account(Contact::Phone(15_551_230_000 + number))), Ok(true));
        }
        let first = Entry::Account(Contact::Phone(15_551_230_000));
        assert_eq!(list.add(first.clone()), Ok(false), "known already");
        let more = Entry::Account(Contact::Phone(1));
        assert_eq!(list.add(more.clone()), Err(Full));
        assert!(list.remove(&first) && !list.remove(&first));
        assert_eq!(list.add(more), Ok(true));
    }

    #[test]
    fn long_addresses_are_bounded_by_their_bytes() {
        let mut list = BlockList::default();
        let added = (0..ENTRIES_MAX)
            .take_while(|n| list.add(Entry::Other(format!("d.example/{n:01000}").into())).is_ok())
            .count();
        assert!((100..200).contains(&added), "{added}");
    }
}
