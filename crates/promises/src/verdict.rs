//! What the checker says: which promise was broken, by which events, in one sentence.
//!
//! Every [`Rule`] belongs to one promise of docs/promises.md, which names the rule in turn; `cargo xtask tidy` compares both.

use std::fmt;

macro_rules! rules {
    ($($(#[doc = $doc:literal])* $name:ident = $promise:literal, $text:literal;)*) => {
        /// A rule of the checker: one way to break a promise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[doc = $doc])* $name,)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The promise that it is about, as docs/promises.md numbers it.
            pub fn promise(self) -> &'static str {
                match self { $(Self::$name => $promise,)* }
            }

            /// Its name in documents and reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

rules! {
    /// Accepted, then a crash, and it never came.
    LostInCrash = "M1", "lost-in-crash";
    /// An error after the `<a/>`.
    RefusedAfterAccepted = "M1", "refused-after-accepted";
    /// Nowhere to be found before anybody has acknowledged it.
    GoneTooEarly = "M1", "gone-too-early";
    /// Accepted, no crash, and it never came.
    NeverShown = "M2", "never-shown";
    /// Shown to somebody else.
    WrongAccount = "M2", "wrong-account";
    /// Shown, and nobody has sent it so.
    NeverSent = "M2", "never-sent";
    /// A second copy without a fault.
    CopyWithoutFault = "M2", "copy-without-fault";
    /// A second copy with another stanza-id.
    AnotherStanzaId = "M2", "another-stanza-id";
    /// First shown after a later one.
    OutOfOrder = "M3", "out-of-order";
    /// Delivered after the acknowledgement.
    AfterAcknowledged = "M4", "after-acknowledged";
    /// Bytes of it a minute after.
    StillReadable = "M4", "still-readable";
    /// Shown after the error.
    ShownAfterError = "M5", "shown-after-error";
    /// Equal identity, another stanza-id.
    IdentityNotKept = "M6", "identity-not-kept";
    /// Equal identity and other bytes, accepted and dropped.
    DroppedUnequal = "M6", "dropped-unequal";
    /// Older than messages become, and nobody was told.
    SilentExpiry = "M7", "silent-expiry";
    /// Taken away by age before its time.
    ExpiredTooEarly = "M7", "expired-too-early";
    /// The same gap told twice.
    GapTwice = "M7", "gap-twice";
    /// Accepted for a number that is nobody's, without an error.
    AcceptedForNobody = "M7", "accepted-for-nobody";
    /// A session ended for good without a cause.
    EndedWithoutCause = "M8", "ended-without-cause";
    /// `h` covers what was never sent, or goes back.
    WrongCount = "M8", "wrong-count";
    /// A stanza that `h` never covers.
    NotCounted = "M8", "not-counted";
    /// A session of an older key begins or goes on.
    OldKeyEnters = "A1", "old-key-enters";
    /// A session of an older key is shown something.
    OldKeyReads = "A1", "old-key-reads";
    /// What a session of an older key sends is accepted or shown.
    OldKeySends = "A1", "old-key-sends";
    /// A removed account's session begins, goes on, is shown something.
    RemovedLives = "A2", "removed-lives";
    /// A removed account's session sends something that is accepted or shown.
    RemovedSends = "A2", "removed-sends";
    /// What a removed account had is shown to who has its number now.
    RemovedInherited = "A2", "removed-inherited";
    /// Bytes of it a minute after.
    RemovedReadable = "A2", "removed-readable";
    /// Shown to who has registered the number after its owner without the right to it.
    WrongHeir = "A3", "wrong-heir";
    /// Registered over a lock that stands.
    LockIgnored = "A3", "lock-ignored";
    /// A blocked sender's message was shown.
    BlockedShown = "P2", "blocked-shown";
    /// A blocked sender was told so.
    BlockedTold = "P2", "blocked-told";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.promise(), self.name())
    }
}

/// A promise was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub rule: Rule,
    /// By what: places in the history, from 0, in order.
    pub events: Vec<u64>,
    /// In a sentence.
    pub text: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (events {:?})", self.rule, self.text, self.events)
    }
}
