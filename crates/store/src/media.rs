//! The media contract: which files there are, whose they are, under which names they can be fetched, and where they lie.
//!
//! Four kinds of rows. A *reference* is what somebody has uploaded or forwarded: a name that nobody can guess, an owner, a type, a
//! time to end. An *object* is content as it lies in a backend, with the number of its references. What has no references any more is
//! *doomed*: its file is to be deleted, and it is on that list until it durably is. What the operator does not want here is *blocked*,
//! by its hash, whether it is here or not. Contents are never here, only in a backend (`crates/media`). What a slot is made of, and how it is signed, is in [`slot`]; what a file may be called in [`file_name`].
//!
//! Called by the HTTP side through [`Index`] (it blocks), and by the services through [`crate::ShardMedia::ask_media`] and
//! [`crate::ShardMedia::edit_media`]; the answer is a [`crate::Completion::Media`]. There is no other way to these rows.
//!
//! # Promises
//! - An edit is one transaction. A name is given once: a second [`Edit::Store`] or [`Edit::Refer`] for it changes nothing.
//! - A reference is made for an account that has a record, within its quota, and never for one that is being removed: its
//!   removal takes the record first and the references then, so that whichever transaction comes second sees the other. Nor is one made for
//!   whoever has the number now, if what makes it was agreed under an earlier key (A1 and A2 of docs/promises.md).
//! - An object is in the list of the doomed from the transaction that takes its last reference until [`Edit::Deleted`]. Nothing refers
//!   to it meanwhile or later: an object's id is not its content's hash but its own, and content that comes again gets another.
//! - Nothing here answers a question about a content across accounts: [`Source::Own`] finds what this account refers to,
//!   [`Source::Named`] what it can fetch anyway. Equal contents become one object afterwards, by [`Edit::Merge`].
//! - From the transaction of [`Edit::Block`] until that of [`Edit::Unblock`] no query finds a reference to that content and no edit makes one;
//!   those that there were go page by page ([`Edit::DropBlocked`]). Whether a content is blocked is the operator's word alone: no answer
//!   about it, and no work for that answer, depends on whether anybody has it or had it.
//! - A name that [`Edit::Remove`] has taken is not given again until the time that it says.
//!
//! In a cluster a reference is its owner's row, and an object's count is kept at the home of its id: what joins the two is the same
//! [`Edit`], carried by an outbox.

pub mod file_name;
pub mod slot;

use crate::{AccountId, StoreError};
use std::fmt;

/// What a reference costs of its owner's quota besides the bytes of the file, so that no number of empty files is free.
pub const REFERENCE_BYTES: u64 = 4_096;
/// Most objects or references that one query or edit deals with.
pub const PAGE_MAX: usize = 512;
/// Up to so many of a kind are counted by [`Query::Standing`], so that it takes no time.
pub const COUNTED_MAX: usize = 100_000;

/// A reference's name. Whoever knows it can fetch the file, so that no log shows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub u128);

impl Name {
    /// As it stands in a URL: 32 hexadecimal digits.
    pub fn to_text(self) -> String {
        format!("{:032x}", self.0)
    }

    /// From a URL, exactly as [`to_text`](Self::to_text) writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(is_digit)).then_some(())?;
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name(…)")
    }
}

/// A stored object. Made by chance for each that is stored, also of equal content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u128);

/// Where an object lies: the name of a backend in the settings; empty: the first folder, which is always there. It is kept with the object's row
/// until its file is gone, so that what the settings say of new files moves none and loses none.
pub type Place = Box<str>;

/// SHA-256 of a content.
pub type Digest = [u8; 32];

/// What a content is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// Its hash.
    pub sha256: Digest,
    /// Its length.
    pub size: u64,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.sha256;
        write!(f, "Content({a:02x}{b:02x}…, {} B)", self.size)
    }
}

/// What a file is for (XEP-0363 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// For a message: it ends.
    Message,
    /// For a profile: it stays while it is among the account's newest of this kind.
    Profile,
}

impl Purpose {
    /// As one byte.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::Profile => 1,
        }
    }

    /// The inverse.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Message),
            1 => Some(Self::Profile),
            _ => None,
        }
    }
}

/// A name under which a file can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name.
    pub name: Name,
    /// Who has uploaded or forwarded it.
    pub owner: AccountId,
    /// What it is.
    pub content: Content,
    /// Which object that is.
    pub object: ObjectId,
    /// Where it lies. The object's, as [`Edit::Store`] has said: of a [`Edit::Refer`] it is not looked at.
    pub place: Place,
    /// Its media type, as the slot said.
    pub media_type: Box<str>,
    /// What it is called.
    pub file_name: Box<str>,
    /// What it is for.
    pub purpose: Purpose,
    /// When it was made.
    pub created_unix_ms: u64,
    /// From when on it is not there any more; `None`: that is not decided by time.
    pub expires_unix_ms: Option<u64>,
}

/// Where an account says that the server has a content already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The account refers to it itself.
    Own(Content),
    /// It can be fetched under this name.
    Named(Name),
}

/// A content that the operator does not want here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Its hash.
    pub sha256: Digest,
    /// Since when.
    pub since_unix_ms: u64,
    /// Why, in the operator's words, or "".
    pub reason: Box<str>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Query {
    /// The reference of this name, if it has not ended by now.
    Reference {
        /// Which.
        name: Name,
        /// Age time.
        now_unix_ms: u64,
    },
    /// How much an account has, and whether it may refer to this.
    Usage {
        /// Whose.
        owner: AccountId,
        /// What it would refer to.
        source: Option<Source>,
        /// The hash of what it would upload, if it says that.
        announced: Option<Digest>,
        /// Age time.
        now_unix_ms: u64,
    },
    /// What is to be seen to.
    Due {
        /// Age time.
        now_unix_ms: u64,
        /// Of the doomed objects those that lie here,
        place: Place,
        /// and come behind this one.
        after: Option<ObjectId>,
        /// So many of them are named: at most [`PAGE_MAX`].
        limit: usize,
    },
    /// Which of these objects have references.
    Known {
        /// At most [`PAGE_MAX`].
        objects: Vec<ObjectId>,
    },
    /// Which of these objects have references or are doomed.
    Listed {
        /// At most [`PAGE_MAX`].
        objects: Vec<ObjectId>,
    },
    /// A page of all objects that have references, in order.
    Lying {
        /// The last one of the page before.
        after: Option<ObjectId>,
        /// At most [`PAGE_MAX`].
        limit: usize,
    },
    /// The places that rows name, of objects and of the doomed.
    Places,
    /// A page of the contents that are blocked, in order.
    Blocked {
        /// The last one of the page before.
        after: Option<Digest>,
        /// At most [`PAGE_MAX`].
        limit: usize,
    },
    /// What there is besides references and objects.
    Standing {
        /// Age time.
        now_unix_ms: u64,
    },
}

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A content has come in full and lies durably in its backend: its first reference, and the object.
    Store {
        /// The reference.
        reference: Reference,
        /// When the owner's key was made under which this was agreed. [`Refused::NoAccount`] if the record says another time by now.
        registered_unix_ms: u64,
        /// What the owner may have.
        quota_bytes: u64,
    },
    /// Another reference to what lies there already; it is refused with [`Refused::NoSource`] if it doesn't. The
    /// reference's object is not looked at, and of its content the size must be the source's.
    Refer {
        /// The reference.
        reference: Reference,
        /// What it refers to.
        source: Source,
        /// As in [`Edit::Store`].
        registered_unix_ms: u64,
        /// What the owner may have.
        quota_bytes: u64,
    },
    /// Looks for the equals of objects that are new, in the same place, and makes one of two.
    Merge {
        /// Of so many, at most [`PAGE_MAX`].
        limit: usize,
    },
    /// Drops references that have ended, and gives free the names of which that is so.
    Expire {
        /// Age time.
        now_unix_ms: u64,
        /// At most [`PAGE_MAX`].
        limit: usize,
    },
    /// An account's references for its profile end at this time, but for the newest.
    Retire {
        /// Whose.
        owner: AccountId,
        /// How many stay.
        keep: usize,
        /// When the others end, unless they end before.
        expires_unix_ms: u64,
    },
    /// The files of these are durably gone.
    Deleted {
        /// At most [`PAGE_MAX`].
        objects: Vec<ObjectId>,
    },
    /// Drops the reference of this name, if there is one.
    Remove {
        /// Which.
        name: Name,
        /// So long the name is not given again: a slot may still be open for it. There are as many of these as an operator removes in
        /// that time.
        until_unix_ms: u64,
    },
    /// A content is not to be here any more, whether it is or not. Of one that is blocked already this changes
    /// the reason, if it says one.
    Block {
        /// The content, and why.
        blocked: Blocked,
        /// How many there may be.
        most: usize,
    },
    /// It may be here again. References that are not dropped yet are there again with it.
    Unblock {
        /// Its hash.
        sha256: Digest,
    },
    /// Drops references to one of the contents that are blocked.
    DropBlocked {
        /// At most [`PAGE_MAX`].
        limit: usize,
    },
}

/// What an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of its files, and [`REFERENCE_BYTES`] for each.
    pub bytes: u64,
    /// When the next of them ends.
    pub next_expiry_unix_ms: Option<u64>,
    /// What the source that was asked about is, if there is such.
    pub source: Option<Content>,
    /// What it would upload is blocked.
    pub is_blocked: bool,
}

/// What there is besides references and objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Objects whose files are to be deleted; counted up to [`COUNTED_MAX`].
    pub doomed: u64,
    /// References that have ended and are not dropped yet; counted up to [`COUNTED_MAX`].
    pub ended: u64,
    /// Contents that are blocked.
    pub blocked: u64,
    /// When the next reference ends.
    pub next_expiry_unix_ms: Option<u64>,
}

/// Where an object lies, and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lying {
    /// Which.
    pub object: ObjectId,
    /// Where.
    pub place: Place,
    /// How many bytes.
    pub size: u64,
    /// How many references.
    pub uses: u64,
}

/// What is to be seen to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// There are objects whose equals were not looked for.
    pub has_new: bool,
    /// There are references that have ended, or names to be given free.
    pub has_ended: bool,
    /// There may be references to contents that are blocked.
    pub has_blocked: bool,
    /// Objects in the place that was asked about whose files are to be deleted.
    pub doomed: Vec<ObjectId>,
}

/// Why an edit has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is such a name.
    Taken,
    /// There is no such account, or it has another key by now.
    NoAccount,
    /// It would have more than it may.
    Quota,
    /// There is no such content for this account.
    NoSource,
    /// The content is blocked.
    Blocked,
    /// As many contents are blocked as may be.
    Full,
}

/// The answer to a [`Query`] or an [`Edit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Reference`].
    Reference(Option<Box<Reference>>),
    /// To [`Query::Usage`].
    Usage(Usage),
    /// To [`Query::Due`].
    Due(Due),
    /// To [`Query::Known`] and [`Query::Listed`].
    Objects(Vec<ObjectId>),
    /// To [`Query::Lying`].
    Lying(Vec<Lying>),
    /// To [`Query::Places`], in order.
    Places(Vec<Place>),
    /// To [`Query::Blocked`].
    Blocked(Vec<Blocked>),
    /// To [`Query::Standing`].
    Standing(Standing),
    /// To an edit: it is done. The number of rows that [`Edit::Merge`], [`Edit::Expire`] and [`Edit::DropBlocked`] have dealt with, for which
    /// the limit means that there may be more; of [`Edit::Block`] how many references there are to drop; of [`Edit::Remove`] and
    /// [`Edit::Unblock`] how many rows went; 1 for the others.
    Done(usize),
    /// To [`Edit::Store`], [`Edit::Refer`] and [`Edit::Block`]: it is not done.
    Refused(Refused),
}

/// Blocking access to the index. Shared by threads; never called on a shard's thread.
pub trait Index: Send + Sync {
    /// Asks.
    fn ask(&self, query: Query) -> Result<Answer, StoreError>;

    /// Changes. Durable on return.
    fn edit(&self, edit: Edit) -> Result<Answer, StoreError>;
}

/// What a file of this size takes of a quota.
pub fn charge(size: u64) -> u64 {
    size.saturating_add(REFERENCE_BYTES)
}

/// The contract of the index of media, as one shard sees it: never blocks.
pub trait ShardMedia {
    /// Asks something of the index of media.
    fn ask_media(&mut self, query: Query, ticket: crate::Ticket);

    /// Changes the index of media. Edits become durable in order.
    fn edit_media(&mut self, edit: Edit, ticket: crate::Ticket);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_not_otherwise() {
        for name in [Name(0), Name(7), Name(u128::MAX), Name(0x0123_4567_89ab_cdef << 64)] {
            assert_eq!(Name::parse(&name.to_text()), Some(name));
        }
        let upper = Name(u128::MAX).to_text().to_uppercase();
        for bad in ["", "7", &upper, &"0".repeat(33), &format!("+{}", "0".repeat(31)), &"ä".repeat(16)] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{:?}", Name(7)), "Name(…)");
    }
}
