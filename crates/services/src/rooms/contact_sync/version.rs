//! The version of a result: a hash of its entries, so that a client gets an empty result if nothing has changed.
//!
//! Computed as Quicksy's app computes it: base64 of SHA-1 over the entries in order of their numbers, joined by U+001D; each
//! entry is its number and its JID, joined by U+001E. SHA-1 proves nothing here; the versions are only compared.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The version of an answer with these entries (number, JID), in any order.
pub(crate) fn version<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable();
    let mut hash = Sha1::new();
    for (place, (number, jid)) in entries.into_iter().enumerate() {
        if place > 0 {
            hash.update(b"\x1d");
        }
        hash.update(number);
        hash.update(b"\x1e");
        hash.update(jid);
    }
    STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_an_app_computes_it() {
        let entries = [("+15551230002", "+15551230002@d"), ("+15551230001", "+15551230001@d")];
        let text = "+15551230001\u{1e}+15551230001@d\u{1d}+15551230002\u{1e}+15551230002@d";
        assert_eq!(version(entries.into_iter()), STANDARD.encode(Sha1::digest(text)));
        assert_eq!(version(std::iter::empty()), "2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "of nothing");
    }

    proptest! {
        #[test]
        fn order_means_nothing_and_content_everything(mut numbers in prop::collection::btree_set(10_000u64..99_999, 1..20)) {
            let texts = |numbers: &[u64]| -> Vec<(String, String)> {
                numbers.iter().map(|n| (format!("+{n}"), format!("+{n}@d"))).collect()
            };
            let of = |texts: &[(String, String)]| version(texts.iter().map(|(n, j)| (n.as_str(), j.as_str())));
            let ascending: Vec<u64> = numbers.iter().copied().collect();
            let descending: Vec<u64> = numbers.iter().rev().copied().collect();
            prop_assert_eq!(of(&texts(&ascending)), of(&texts(&descending)));
            numbers.pop_first();
            let fewer: Vec<u64> = numbers.into_iter().collect();
            prop_assert_ne!(of(&texts(&ascending)), of(&texts(&fewer)));
        }
    }
}
