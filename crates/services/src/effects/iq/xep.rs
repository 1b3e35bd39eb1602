//! What a room implements, as data: service discovery announces its features, and the table of XEPs in the documents is made from
//! it.

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
    /// Its number.
    pub number: u16,
    /// The version of the specification that was read.
    pub version: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The features that service discovery announces, and where.
    pub features: &'static [(Scope, &'static str)],
    /// What is not implemented, for the table in the documents; empty if nothing is missing.
    pub lacks: &'static str,
}

impl Xep {
    /// A declaration. `features` are those that service discovery announces.
    pub const fn new(
        number: u16,
        version: &'static str,
        name: &'static str,
        features: &'static [(Scope, &'static str)],
    ) -> Self {
        assert!(number > 0, "what has no number is not declared");
        Self { number, version, name, features, lacks: "" }
    }

    /// This declaration, with what is not implemented.
    pub const fn lacking(self, what: &'static str) -> Self {
        Self { lacks: what, ..self }
    }
}

/// The features that these specifications declare for these scopes, sorted, each once.
pub(crate) fn features(specs: impl IntoIterator<Item = &'static Xep>, scopes: &[Scope]) -> Vec<&'static str> {
    let mut features: Vec<_> = specs
        .into_iter()
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
