//! Edits of the index of media as they stand in an effect ([`crate::media::Edit`] says what each means).
//!
//! ```text
//! edit         u8 kind, then
//! 1 store      reference, u64 when the owner's key was made, u64 quota
//! 2 refer      reference, source, u64 when the owner's key was made, u64 quota
//! 3 merge      u32 limit
//! 4 expire     u64 age time, u32 limit
//! 5 retire     u64 owner, u32 how many stay, u64 when the others end
//! 6 deleted    u32 count, u128 objects
//! 7 remove     u128 name, u64 until when it is not given again
//! 8 block      hash, u64 since when, text reason, u32 how many there may be
//! 9 unblock    hash
//! 10 drop      u32 limit
//! reference    u128 name, u64 owner, content, u128 object, texts place, media type, file name, u8 purpose, u64 made, u8 whether it ends, u64 when
//! source       u8 1, content; or u8 2, u128 name
//! content      hash, u64 size
//! hash         32 bytes
//! ```

use super::{decode_bytes, encode_bytes};
use crate::AccountId;
use crate::embedded::journal::format::Fields;
use crate::media::{Blocked, Content, Digest, Edit, Name, ObjectId, Purpose, Reference, Source};

/// Adds an edit to a buffer.
pub(super) fn encode(out: &mut Vec<u8>, edit: &Edit) {
    let out = &mut Writer(out);
    match edit {
        Edit::Store { reference, registered_unix_ms, quota_bytes } => {
            out.u8(1).reference(reference).u64(*registered_unix_ms).u64(*quota_bytes)
        }
        Edit::Refer { reference, source, registered_unix_ms, quota_bytes } => {
            out.u8(2).reference(reference).source(*source).u64(*registered_unix_ms).u64(*quota_bytes)
        }
        Edit::Merge { limit } => out.u8(3).count(*limit),
        Edit::Expire { now_unix_ms, limit } => out.u8(4).u64(*now_unix_ms).count(*limit),
        Edit::Retire { owner, keep, expires_unix_ms } => {
            out.u8(5).u64(owner.to_bits()).count(*keep).u64(*expires_unix_ms)
        }
        Edit::Deleted { objects } => {
            objects.iter().fold(out.u8(6).count(objects.len()), |out, object| out.u128(object.0))
        }
        Edit::Remove { name, until_unix_ms } => out.u8(7).u128(name.0).u64(*until_unix_ms),
        Edit::Block { blocked: Blocked { sha256, since_unix_ms, reason }, most } => {
            out.u8(8).bytes(sha256).u64(*since_unix_ms).text(reason).count(*most)
        }
        Edit::Unblock { sha256 } => out.u8(9).bytes(sha256),
        Edit::DropBlocked { limit } => out.u8(10).count(*limit),
    };
}

/// The inverse. `None` if it doesn't follow the format.
pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Edit> {
    Some(match fields.u8()? {
        1 => Edit::Store {
            reference: reference(fields)?,
            registered_unix_ms: fields.u64()?,
            quota_bytes: fields.u64()?,
        },
        2 => Edit::Refer {
            reference: reference(fields)?,
            source: source(fields)?,
            registered_unix_ms: fields.u64()?,
            quota_bytes: fields.u64()?,
        },
        3 => Edit::Merge { limit: count(fields)? },
        4 => Edit::Expire { now_unix_ms: fields.u64()?, limit: count(fields)? },
        5 => Edit::Retire { owner: account(fields)?, keep: count(fields)?, expires_unix_ms: fields.u64()? },
        6 => Edit::Deleted {
            objects: (0..fields.u32()?).map(|_| fields.u128().map(ObjectId)).collect::<Option<_>>()?,
        },
        7 => Edit::Remove { name: Name(fields.u128()?), until_unix_ms: fields.u64()? },
        8 => Edit::Block {
            blocked: Blocked { sha256: hash(fields)?, since_unix_ms: fields.u64()?, reason: text(fields)? },
            most: count(fields)?,
        },
        9 => Edit::Unblock { sha256: hash(fields)? },
        10 => Edit::DropBlocked { limit: count(fields)? },
        _ => return None,
    })
}

/// About how many bytes an edit takes.
pub(super) fn size(edit: &Edit) -> usize {
    let texts = |reference: &Reference| {
        128 + reference.place.len() + reference.media_type.len() + reference.file_name.len()
    };
    match edit {
        Edit::Store { reference, .. } | Edit::Refer { reference, .. } => 64 + texts(reference),
        Edit::Deleted { objects } => 16 * objects.len(),
        Edit::Block { blocked, .. } => 64 + blocked.reason.len(),
        _ => 64,
    }
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u128(&mut self, value: u128) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// More than fits is no bound at all.
    fn count(&mut self, value: usize) -> &mut Self {
        self.bytes(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes())
    }

    fn text(&mut self, text: &str) -> &mut Self {
        encode_bytes(self.0, text.as_bytes());
        self
    }

    fn content(&mut self, content: Content) -> &mut Self {
        self.bytes(&content.sha256).u64(content.size)
    }

    fn source(&mut self, source: Source) -> &mut Self {
        match source {
            Source::Own(content) => self.u8(1).content(content),
            Source::Named(name) => self.u8(2).u128(name.0),
        }
    }

    fn reference(&mut self, reference: &Reference) -> &mut Self {
        self.u128(reference.name.0).u64(reference.owner.to_bits()).content(reference.content);
        self.u128(reference.object.0).text(&reference.place).text(&reference.media_type);
        self.text(&reference.file_name).u8(reference.purpose.to_byte()).u64(reference.created_unix_ms);
        self.u8(reference.expires_unix_ms.is_some().into()).u64(reference.expires_unix_ms.unwrap_or(0))
    }
}

fn account(fields: &mut Fields<'_>) -> Option<AccountId> {
    fields.u64().map(AccountId::from_bits)
}

fn count(fields: &mut Fields<'_>) -> Option<usize> {
    fields.u32().map(|count| count as usize)
}

fn hash(fields: &mut Fields<'_>) -> Option<Digest> {
    fields.array()
}

fn text(fields: &mut Fields<'_>) -> Option<Box<str>> {
    Some(std::str::from_utf8(decode_bytes(fields)?).ok()?.into())
}

fn content(fields: &mut Fields<'_>) -> Option<Content> {
    Some(Content { sha256: hash(fields)?, size: fields.u64()? })
}

fn source(fields: &mut Fields<'_>) -> Option<Source> {
    match fields.u8()? {
        1 => content(fields).map(Source::Own),
        2 => fields.u128().map(|name| Source::Named(Name(name))),
        _ => None,
    }
}

fn reference(fields: &mut Fields<'_>) -> Option<Reference> {
    let (name, owner, content) = (Name(fields.u128()?), account(fields)?, content(fields)?);
    let (object, place, media_type) = (ObjectId(fields.u128()?), text(fields)?, text(fields)?);
    let (file_name, purpose) = (text(fields)?, Purpose::from_byte(fields.u8()?)?);
    let created_unix_ms = fields.u64()?;
    let (ends, expires_unix_ms) = (fields.u8()? != 0, fields.u64()?);
    let expires_unix_ms = ends.then_some(expires_unix_ms);
    Some(Reference {
        name,
        owner,
        content,
        object,
        place,
        media_type,
        file_name,
        purpose,
        created_unix_ms,
        expires_unix_ms,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn content() -> impl Strategy<Value = Content> {
        (any::<Digest>(), any::<u64>()).prop_map(|(sha256, size)| Content { sha256, size })
    }

    fn source() -> impl Strategy<Value = Source> {
        prop_oneof![content().prop_map(Source::Own), any::<u128>().prop_map(|name| Source::Named(Name(name)))]
    }

    fn reference() -> impl Strategy<Value = Reference> {
        let numbers = (any::<u128>(), any::<u64>(), any::<u128>(), any::<u64>(), any::<Option<u64>>());
        let purpose = prop_oneof![Just(Purpose::Message), Just(Purpose::Profile)];
        (numbers, content(), (".{0,9}", ".{0,9}", ".{0,9}"), purpose).prop_map(
            |((name, owner, object, created, expires), content, (place, media_type, file_name), purpose)| {
                Reference {
                    name: Name(name),
                    owner: AccountId::from_bits(owner),
                    content,
                    object: ObjectId(object),
                    place: place.into(),
                    media_type: media_type.into(),
                    file_name: file_name.into(),
                    purpose,
                    created_unix_ms: created,
                    expires_unix_ms: expires,
                }
            },
        )
    }

    /// Any edit.
    pub(in crate::embedded::journal::effects) fn edit() -> impl Strategy<Value = Edit> {
        let count = || any::<u32>().prop_map(|count| count as usize);
        prop_oneof![
            (reference(), any::<u64>(), any::<u64>()).prop_map(
                |(reference, registered_unix_ms, quota_bytes)| {
                    Edit::Store { reference, registered_unix_ms, quota_bytes }
                }
            ),
            (reference(), source(), any::<u64>(), any::<u64>()).prop_map(
                |(reference, source, registered_unix_ms, quota_bytes)| Edit::Refer {
                    reference,
                    source,
                    registered_unix_ms,
                    quota_bytes
                }
            ),
            count().prop_map(|limit| Edit::Merge { limit }),
            (any::<u64>(), count()).prop_map(|(now_unix_ms, limit)| Edit::Expire { now_unix_ms, limit }),
            (any::<u64>(), count(), any::<u64>()).prop_map(|(owner, keep, expires_unix_ms)| Edit::Retire {
                owner: AccountId::from_bits(owner),
                keep,
                expires_unix_ms
            }),
            vec(any::<u128>().prop_map(ObjectId), 0..5).prop_map(|objects| Edit::Deleted { objects }),
            (any::<u128>(), any::<u64>())
                .prop_map(|(name, until_unix_ms)| Edit::Remove { name: Name(name), until_unix_ms }),
            (any::<Digest>(), any::<u64>(), ".{0,9}", count()).prop_map(
                |(sha256, since_unix_ms, reason, most)| Edit::Block {
                    blocked: Blocked { sha256, since_unix_ms, reason: reason.into() },
                    most
                }
            ),
            any::<Digest>().prop_map(|sha256| Edit::Unblock { sha256 }),
            count().prop_map(|limit| Edit::DropBlocked { limit }),
        ]
    }
}
