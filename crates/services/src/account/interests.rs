//! The PEP nodes of which a client wants notifications: those of its features that end in `+notify` (XEP-0163 §4.3.1).

use crate::data::{Data, Malformed, Unread, put_count};
use chaski_xmpp::{ElementRef, ns};

/// Most interests of a session. Clients have some twenty.
const INTERESTS_MAX: usize = 64;
/// The bytes of all their names.
const BYTES_MAX: usize = 4 * 1024;

/// Names of PEP nodes, in order, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interests(Box<[Box<str>]>);

impl Interests {
    /// The interests in a `disco#info` result. Those beyond the bounds are left out.
    pub(crate) fn of(query: &ElementRef<'_>) -> Self {
        let features = query.children().filter(|child| child.is("feature", ns::DISCO_INFO));
        let mut bytes = 0;
        let mut names: Vec<Box<str>> = features
            .filter_map(|feature| Some(Box::<str>::from(feature.attr("var")?.strip_suffix("+notify")?)))
            .filter(|name| !name.is_empty())
            .take(INTERESTS_MAX)
            .take_while(|name| {
                bytes += name.len();
                bytes <= BYTES_MAX
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into())
    }

    /// Whether the node is among them.
    pub(crate) fn has(&self, node: &str) -> bool {
        self.0.binary_search_by(|name| (**name).cmp(node)).is_ok()
    }

    /// Whether the client wants no notifications.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The interests that are not among `others`.
    pub(crate) fn without(&self, others: &Self) -> Self {
        Self(self.0.iter().filter(|name| !others.has(name)).cloned().collect())
    }
}

/// In order, each once, and within the bounds.
impl Data for Interests {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.0.len(), out);
        Data::put_all(&self.0, out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        let names = Vec::<Box<str>>::take(from)?;
        let bytes: usize = names.iter().map(|name| name.len()).sum();
        let can_be =
            names.is_sorted_by(|one, next| one < next) && names.len() <= INTERESTS_MAX && bytes <= BYTES_MAX;
        if can_be { Ok(Self(names.into())) } else { Err(Malformed::No("Interests")) }
    }

    #[cfg(test)]
    fn any(random: &mut rand::rngs::StdRng) -> Self {
        let names = std::collections::BTreeSet::from_iter(Vec::<Box<str>>::any(random));
        Self(names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_xmpp::Stanza;

    fn of(features: impl Iterator<Item = String>) -> Interests {
        let features: String = features.map(|var| format!("<feature var='{var}'/>")).collect();
        let query = format!("<query xmlns='{}'>{features}</query>", ns::DISCO_INFO);
        Interests::of(&Stanza::parse(query.as_bytes()).unwrap().root())
    }

    #[test]
    fn what_ends_in_notify_and_nothing_else() {
        let found = of(["b+notify", "a+notify", "c", "+notify", "a+notify"].map(String::from).into_iter());
        assert_eq!(found, Interests(["a".into(), "b".into()].into()));
        assert!(found.has("a") && !found.has("c") && !found.has(""));
        let less = of(["a+notify".to_owned()].into_iter());
        assert_eq!(found.without(&less), Interests(["b".into()].into()));
        assert!(less.without(&found).is_empty());
    }

    #[test]
    fn bounded_in_number_and_length() {
        assert_eq!(of((0..200).map(|number| format!("{number}+notify"))).0.len(), INTERESTS_MAX);
        let long = of((0..60).map(|number| format!("{}{number}+notify", "x".repeat(500))));
        assert!(long.0.iter().map(|name| name.len()).sum::<usize>() <= BYTES_MAX);
    }
}
