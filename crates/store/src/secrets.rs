//! The realm's secrets: what salts, tokens, stanza-ids and tickets follow from.
//!
//! An [`Engine`](crate::Engine) keeps them, rooms and doors derive from them, each under a label of its own. They are the realm's: whatever clients hold that
//! is to be good at every machine of it hangs on them. A data directory has another one for what lies in it (its journal's checksums and its seals), which
//! nobody outside [`crate::embedded`] sees.
//!
//! There are two, because not everything can be made anew. The **root** stays for the realm's whole life: accounts' salts follow from it (a name's
//! salt that changed would tell who is registered, for his stays), and so do the hashes of PINs, the keys of limits and the names of devices. The **current** one is
//! what clients hold something of: FAST tokens, upload tickets, TLS tickets, names at relays, stanza-ids. It can be replaced
//! ([`crate::embedded::replace_realm_secret`]); what follows from the **former** is taken for [`OVERLAP_MS`] more.
//!
//! Stanza-ids are made from the former one until the end of that time, and only then from the current. Whoever sends a message again after a server's stop
//! must meet the same id (docs/promises.md, M6), and a server can't know of a message that it has forgotten which secret its id came from. So the change does not
//! fall together with a restart, after which many send again, but with a moment at which nobody does but by chance.

use std::fmt;

/// 128 random bits.
pub type Secret = [u8; 16];

/// How long what follows from a replaced secret is good: longer than any token, and than any message waits.
pub const OVERLAP_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// The realm's secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secrets {
    /// Stays for ever.
    pub root: Secret,
    /// Can be replaced. When a client comes with something, use [`Secrets::good`].
    pub current: Secret,
    /// The one before it.
    pub former: Option<Former>,
}

/// A secret that has been replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Former {
    /// The secret.
    pub secret: Secret,
    /// Until then it is good, Unix time in milliseconds.
    pub until_unix_ms: u64,
}

impl Secrets {
    /// Those under which something that a client holds may have been made, the likeliest first.
    pub fn good(&self, now_unix_ms: u64) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.current).chain(self.still_good(now_unix_ms))
    }

    /// The one that stanza-ids are made from.
    pub fn of_ids(&self, now_unix_ms: u64) -> &Secret {
        self.still_good(now_unix_ms).unwrap_or(&self.current)
    }

    /// The former one, if it is good for any time yet.
    pub fn still_good(&self, now_unix_ms: u64) -> Option<&Secret> {
        let former = self.former.as_ref()?;
        (now_unix_ms < former.until_unix_ms).then_some(&former.secret)
    }
}

impl From<Secret> for Secrets {
    /// One for everything: a directory of a version that had no other, and tests.
    fn from(secret: Secret) -> Self {
        Self { root: secret, current: secret, former: None }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("former", &self.former).finish_non_exhaustive()
    }
}

impl fmt::Debug for Former {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Former").field("until_unix_ms", &self.until_unix_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced() -> Secrets {
        let former = Former { secret: [1; 16], until_unix_ms: 1_000 };
        Secrets { root: [0; 16], current: [2; 16], former: Some(former) }
    }

    #[test]
    fn a_replaced_secret_is_good_until_its_time_is_over() {
        assert_eq!(replaced().good(999).collect::<Vec<_>>(), [&[2; 16], &[1; 16]]);
        assert_eq!(replaced().good(1_000).collect::<Vec<_>>(), [&[2; 16]]);
    }

    #[test]
    fn stanza_ids_change_when_the_former_secrets_time_is_over() {
        assert_eq!((replaced().of_ids(999), replaced().of_ids(1_000)), (&[1; 16], &[2; 16]));
        assert_eq!(Secrets::from([3; 16]).of_ids(0), &[3; 16]);
    }

    #[test]
    fn no_log_shows_a_secret() {
        let shown = format!("{:?}", Secrets { root: [77; 16], ..replaced() });
        assert_eq!(shown, "Secrets { former: Some(Former { until_unix_ms: 1000, .. }), .. }");
    }
}
