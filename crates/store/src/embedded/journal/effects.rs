//! What a frame has SQLite do: changes of records and of phone books, and removals of accounts, as they stand in the journal.
//!
//! Written by fronts and by [`super::super::records::EmbeddedRecords`], read back by recovery. A frame's effects are carried out in their
//! order, after those of every frame before it, by SQLite's one writer (`sqlite_writer/apply.rs`), once: how far that has come stands in
//! SQLite itself, in the same transaction. To carry them out again from any place where it had come to gives the same.
//!
//! Promises: what is encoded is decoded to the same; no bytes panic the decoder. `journal/format.rs` describes the record that holds an
//! effect; in it, all integers are little-endian, and a text or document is a u32 length and its bytes:
//!
//! ```text
//! effect    u64 revision of its first write, u8 kind, then
//! 1 puts    u32 count, puts
//! 2 if      put, u8 whether a record is expected, u64 its revision
//! 3 book    u64 owner, u32 count, u64 numbers to be added, u32 count, u64 numbers to be removed, u32 count, puts
//! 4 purge   u32 count, u64 accounts, u64 seq: of each the mailbox up to here, and all else but its record
//! 5 media   edit (`effects/media.rs`)
//! put       text name of the table, text key, u8 whether there is a document, document
//! ```

mod media;

use super::format::Fields;
use crate::media::Edit;
use crate::records::{Put, Revision, Table};
use crate::{AccountId, Seq, books};

/// One thing that SQLite is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Writes and deletes records without looking at what is there.
    Puts(Vec<Put>),
    /// Writes or deletes a record if its revision is `expected` (`None`: if there is none).
    If { put: Put, expected: Option<Revision> },
    /// Changes a phone book, and records with it.
    Book { owner: AccountId, add: Vec<u64>, remove: Vec<u64>, puts: Vec<Put> },
    /// Drops accounts: of each its mailbox up to here, its book, its media, its records but that in [`Table::ACCOUNTS`].
    Purge { accounts: Vec<AccountId>, upto: Seq },
    /// Changes the index of media.
    Media(Edit),
}

/// An effect and the revision that the first record it writes gets; the next gets the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) revision: Revision,
    pub(crate) effect: Effect,
}

const PUTS: u8 = 1;
const IF: u8 = 2;
const BOOK: u8 = 3;
const PURGE: u8 = 4;
const MEDIA: u8 = 5;

impl Effect {
    /// The records that it writes for certain, which can be read before it is carried out.
    pub(crate) fn puts(&self) -> &[Put] {
        match self {
            Self::Puts(puts) | Self::Book { puts, .. } => puts,
            Self::If { .. } | Self::Purge { .. } | Self::Media(_) => &[],
        }
    }

    /// How many revisions it needs.
    pub(crate) fn revisions(&self) -> u64 {
        match self {
            Self::If { .. } => 1,
            _ => self.puts().len() as u64,
        }
    }

    /// Whether it may change what a question about phone books, or a search for what removed accounts have left, finds: who is in
    /// whose book, and which numbers are accounts. An account's record that is written by itself, without a look at what is there, is
    /// one that is there already.
    pub(crate) fn touches_books(&self) -> bool {
        let is_account = |put: &Put| put.table == Table::ACCOUNTS;
        match self {
            Self::Puts(puts) => {
                puts.iter().any(|put| is_account(put) && (put.value.is_none() || puts.len() > 1))
            }
            Self::If { put, .. } => is_account(put),
            Self::Book { .. } | Self::Purge { .. } => true,
            Self::Media(_) => false,
        }
    }

    /// About how many bytes it takes of memory, and of the journal.
    pub(crate) fn size(&self) -> usize {
        let put = |put: &Put| 24 + put.key.len() + put.value.as_ref().map_or(0, Vec::len);
        let own = match self {
            Self::If { put: one, .. } => put(one),
            Self::Book { add, remove, .. } => 8 * (add.len() + remove.len()),
            Self::Purge { accounts, .. } => 8 * accounts.len(),
            Self::Media(edit) => media::size(edit),
            Self::Puts(_) => 0,
        };
        32 + own + self.puts().iter().map(put).sum::<usize>()
    }
}

/// From a caller's edit of a phone book.
impl From<books::Edit> for Effect {
    fn from(books::Edit::Change { owner, add, remove, puts }: books::Edit) -> Self {
        Self::Book { owner, add, remove, puts }
    }
}

impl Numbered {
    /// Adds it to a buffer.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.revision.0.to_le_bytes());
        match &self.effect {
            Effect::Puts(puts) => {
                out.push(PUTS);
                encode_puts(out, puts);
            }
            Effect::If { put, expected } => {
                out.push(IF);
                encode_put(out, put);
                out.push(expected.is_some().into());
                out.extend_from_slice(&expected.map_or(0, |expected| expected.0).to_le_bytes());
            }
            Effect::Book { owner, add, remove, puts } => {
                out.push(BOOK);
                out.extend_from_slice(&owner.to_bits().to_le_bytes());
                encode_numbers(out, add.iter().copied());
                encode_numbers(out, remove.iter().copied());
                encode_puts(out, puts);
            }
            Effect::Purge { accounts, upto } => {
                out.push(PURGE);
                encode_numbers(out, accounts.iter().map(|account| account.to_bits()));
                out.extend_from_slice(&upto.0.to_le_bytes());
            }
            Effect::Media(edit) => {
                out.push(MEDIA);
                media::encode(out, edit);
            }
        }
    }

    /// The inverse. `None` if it doesn't follow the format, or names a table that this program doesn't know.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let revision = Revision(fields.u64()?);
        let effect = match fields.u8()? {
            PUTS => Effect::Puts(decode_puts(&mut fields)?),
            IF => {
                let put = decode_put(&mut fields)?;
                let (is_expected, expected) = (fields.u8()?, fields.u64()?);
                Effect::If { put, expected: (is_expected != 0).then_some(Revision(expected)) }
            }
            BOOK => Effect::Book {
                owner: AccountId::from_bits(fields.u64()?),
                add: decode_numbers(&mut fields)?,
                remove: decode_numbers(&mut fields)?,
                puts: decode_puts(&mut fields)?,
            },
            PURGE => Effect::Purge {
                accounts: decode_numbers(&mut fields)?.into_iter().map(AccountId::from_bits).collect(),
                upto: Seq(fields.u64()?),
            },
            MEDIA => Effect::Media(media::decode(&mut fields)?),
            _ => return None,
        };
        fields.0.is_empty().then_some(Self { revision, effect })
    }
}

fn encode_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn decode_bytes<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let length = fields.u32()? as usize;
    fields.take(length)
}

fn encode_numbers(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u64>) {
    out.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
    numbers.for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn decode_numbers(fields: &mut Fields<'_>) -> Option<Vec<u64>> {
    (0..fields.u32()?).map(|_| fields.u64()).collect()
}

fn encode_puts(out: &mut Vec<u8>, puts: &[Put]) {
    out.extend_from_slice(&(puts.len() as u32).to_le_bytes());
    puts.iter().for_each(|put| encode_put(out, put));
}

fn decode_puts(fields: &mut Fields<'_>) -> Option<Vec<Put>> {
    (0..fields.u32()?).map(|_| decode_put(fields)).collect()
}

fn encode_put(out: &mut Vec<u8>, put: &Put) {
    encode_bytes(out, put.table.name().as_bytes());
    encode_bytes(out, put.key.as_bytes());
    out.push(put.value.is_some().into());
    encode_bytes(out, put.value.as_deref().unwrap_or_default());
}

fn decode_put(fields: &mut Fields<'_>) -> Option<Put> {
    let table = Table::named(std::str::from_utf8(decode_bytes(fields)?).ok()?)?;
    let key = std::str::from_utf8(decode_bytes(fields)?).ok()?.to_owned();
    let has_value = fields.u8()? != 0;
    let value = decode_bytes(fields)?.to_vec();
    Some(Put { table, key, value: has_value.then_some(value) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn put() -> impl Strategy<Value = Put> {
        let table = prop::sample::select(vec![Table::ACCOUNTS, Table::new("a_kind"), Table::REMOVALS]);
        (table, ".{0,20}", prop::option::of(vec(any::<u8>(), 0..40))).prop_map(|(table, key, value)| Put {
            table,
            key,
            value,
        })
    }

    fn effect() -> impl Strategy<Value = Effect> {
        prop_oneof![
            vec(put(), 0..5).prop_map(Effect::Puts),
            (put(), prop::option::of(any::<u64>().prop_map(Revision)))
                .prop_map(|(put, expected)| Effect::If { put, expected }),
            (any::<u64>(), vec(any::<u64>(), 0..9), vec(any::<u64>(), 0..9), vec(put(), 0..3)).prop_map(
                |(owner, add, remove, puts)| Effect::Book {
                    owner: AccountId::from_bits(owner),
                    add,
                    remove,
                    puts
                }
            ),
            media::tests::edit().prop_map(Effect::Media),
            (vec(any::<u64>().prop_map(AccountId::from_bits), 0..9), any::<u64>())
                .prop_map(|(accounts, upto)| Effect::Purge { accounts, upto: Seq(upto) }),
        ]
    }

    proptest! {
        #[test]
        fn an_effect_is_read_back(effect in effect(), revision: u64) {
            let numbered = Numbered { revision: Revision(revision), effect };
            let mut bytes = Vec::new();
            numbered.encode(&mut bytes);
            prop_assert!(bytes.len() <= numbered.effect.size() + 64);
            prop_assert_eq!(Numbered::decode(&bytes), Some(numbered));
            // Nothing that is cut off or goes on is taken for one.
            prop_assert_eq!(Numbered::decode(&bytes[..bytes.len() - 1]), None);
            bytes.push(0);
            prop_assert_eq!(Numbered::decode(&bytes), None);
        }

        #[test]
        fn no_bytes_panic_the_decoder(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Numbered::decode(&bytes);
        }
    }

    #[test]
    fn what_makes_or_removes_an_account_is_told_from_what_changes_it() {
        let put = |table, value: Option<&str>| Put {
            table,
            key: "+15550100001".into(),
            value: value.map(|value| value.as_bytes().to_vec()),
        };
        let (there, gone) = (put(Table::ACCOUNTS, Some("{}")), put(Table::ACCOUNTS, None));
        let roster = put(Table::new("rosters"), Some("{}"));
        assert!(!Effect::Puts(vec![there.clone()]).touches_books());
        assert!(!Effect::Puts(vec![roster.clone(), roster.clone()]).touches_books());
        assert!(Effect::Puts(vec![gone]).touches_books());
        assert!(Effect::Puts(vec![roster, there.clone()]).touches_books(), "as an account arrives");
        assert!(Effect::If { put: there, expected: None }.touches_books());
    }
}
