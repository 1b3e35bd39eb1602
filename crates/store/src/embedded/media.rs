//! The index of media in SQLite: the statements, and the blocking handle for the HTTP side. Reads run on the reader threads, writes
//! in the writer's open transaction.
//!
//! An object's count and its owner's sum are kept with each reference that comes or goes ([`Change`]), so that nothing is ever counted over.

mod blocked;

use super::journal::effects::Effect;
use super::link::{Shared, closed_error};
use super::readers::Job;
use super::records;
use super::sqlite_writer::{ForMedia, Waiter};
use crate::media::{
    Answer, Content, Due, Edit, Index, Lying, Name, ObjectId, Place, Purpose, Query, Reference, Refused,
    Source, Usage, charge,
};
use crate::{AccountId, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

const REFERENCE: &str = "SELECT name, owner, sha256, size, object, media_type, file_name, purpose, created_unix_ms, expires_unix_ms,
                                (SELECT place FROM media_objects AS lying WHERE lying.object = media_references.object)
                         FROM media_references WHERE name = ?1 AND (expires_unix_ms IS NULL OR expires_unix_ms > ?2)
                         AND NOT EXISTS (SELECT 1 FROM media_blocked WHERE media_blocked.sha256 = media_references.sha256)";

/// Answers a query.
pub(super) fn read(connection: &Connection, query: &Query) -> rusqlite::Result<Answer> {
    match query {
        Query::Reference { name, now_unix_ms } => {
            Ok(Answer::Reference(reference(connection, *name, *now_unix_ms)?.map(Box::new)))
        }
        Query::Usage { owner, source, announced, now_unix_ms } => {
            let is_blocked = match announced {
                Some(sha256) => blocked::is_blocked(connection, sha256)?,
                None => false,
            };
            let next = "SELECT min(expires_unix_ms) FROM media_references INDEXED BY media_by_owner_and_end
                        WHERE owner = ?1 AND expires_unix_ms > ?2";
            let next = connection
                .prepare_cached(next)?
                .query_row(params![bits(*owner), *now_unix_ms as i64], |row| row.get::<_, Option<i64>>(0))?;
            let source = match source {
                Some(source) => found(connection, *owner, *source, *now_unix_ms)?,
                None => None,
            };
            Ok(Answer::Usage(Usage {
                bytes: owned(connection, *owner)?,
                next_expiry_unix_ms: next.map(|at| at as u64),
                source: source.map(|(content, _)| content),
                is_blocked,
            }))
        }
        Query::Due { now_unix_ms, place, after, limit } => {
            let new = "SELECT EXISTS (SELECT 1 FROM media_objects INDEXED BY media_new WHERE is_new)";
            let ended = "SELECT EXISTS (SELECT 1 FROM media_references INDEXED BY media_by_end WHERE expires_unix_ms <= ?1)
                         OR EXISTS (SELECT 1 FROM media_removed INDEXED BY media_removed_by_end WHERE until_unix_ms <= ?1)";
            let doomed = "SELECT object FROM media_doomed INDEXED BY media_doomed_by_place WHERE place = ?1 AND object > ?3 ORDER BY object LIMIT ?2";
            // Every id is greater than no bytes.
            let after = after.map(|object| object.0.to_be_bytes().to_vec()).unwrap_or_default();
            Ok(Answer::Due(Due {
                has_new: connection.prepare_cached(new)?.query_row([], |row| row.get(0))?,
                has_ended: connection
                    .prepare_cached(ended)?
                    .query_row([*now_unix_ms as i64], |row| row.get(0))?,
                has_blocked: blocked::has_new(connection)?,
                doomed: connection
                    .prepare_cached(doomed)?
                    .query_map(params![place, limited(*limit), after], object)?
                    .collect::<rusqlite::Result<_>>()?,
            }))
        }
        Query::Known { objects } => {
            let select = "SELECT EXISTS (SELECT 1 FROM media_objects WHERE object = ?1)";
            Ok(Answer::Objects(those(connection, select, objects)?))
        }
        Query::Listed { objects } => {
            let select = "SELECT EXISTS (SELECT 1 FROM media_objects WHERE object = ?1)
                          OR EXISTS (SELECT 1 FROM media_doomed WHERE object = ?1)";
            Ok(Answer::Objects(those(connection, select, objects)?))
        }
        Query::Lying { after, limit } => {
            let select = "SELECT object, place, size, uses FROM media_objects WHERE object > ?1 ORDER BY object LIMIT ?2";
            let after = after.map_or(Vec::new(), |after| key(after.0).to_vec());
            let lying = |row: &Row<'_>| {
                let (size, uses) = (row.get::<_, i64>(2)? as u64, row.get::<_, i64>(3)? as u64);
                Ok(Lying { object: object(row)?, place: row.get(1)?, size, uses })
            };
            let mut statement = connection.prepare_cached(select)?;
            let page = statement.query_map(params![after, limited(*limit)], lying)?;
            Ok(Answer::Lying(page.collect::<rusqlite::Result<_>>()?))
        }
        Query::Places => Ok(Answer::Places(places(connection)?)),
        Query::Blocked { after, limit } => {
            Ok(Answer::Blocked(blocked::page(connection, after.as_ref(), *limit)?))
        }
        Query::Standing { now_unix_ms } => Ok(Answer::Standing(blocked::standing(connection, *now_unix_ms)?)),
    }
}

/// Those of these for which a statement says yes.
fn those(connection: &Connection, select: &str, objects: &[ObjectId]) -> rusqlite::Result<Vec<ObjectId>> {
    let mut statement = connection.prepare_cached(select)?;
    let mut known = Vec::new();
    for object in objects {
        if statement.query_row([key(object.0)], |row| row.get(0))? {
            known.push(*object);
        }
    }
    Ok(known)
}

/// One look in the index for each place, and one through the doomed, who are few.
fn places(connection: &Connection) -> rusqlite::Result<Vec<Place>> {
    let next =
        "SELECT min(place) FROM media_objects INDEXED BY media_by_place WHERE ?1 IS NULL OR place > ?1";
    let mut next = connection.prepare_cached(next)?;
    let mut found: Vec<Place> = Vec::new();
    while let Some(place) = next.query_row([found.last()], |row| row.get(0))? {
        found.push(place);
    }
    let mut doomed = connection.prepare_cached("SELECT DISTINCT place FROM media_doomed")?;
    for place in doomed.query_map([], |row| row.get(0))? {
        found.push(place?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Carries out an edit.
pub(super) fn write(connection: &Connection, edit: &Edit) -> rusqlite::Result<Answer> {
    match edit {
        Edit::Store { reference, registered_unix_ms, quota_bytes } => {
            store(connection, reference, (*registered_unix_ms, *quota_bytes))
        }
        Edit::Refer { reference, source, registered_unix_ms, quota_bytes } => {
            let Some(source) = found(connection, reference.owner, *source, reference.created_unix_ms)? else {
                return Ok(Answer::Refused(Refused::NoSource));
            };
            refer(connection, reference, source, (*registered_unix_ms, *quota_bytes))
        }
        Edit::Merge { limit } => merge(connection, *limit),
        Edit::Expire { now_unix_ms, limit } => {
            let select = "SELECT name, owner, size, object FROM media_references INDEXED BY media_by_end
                          WHERE expires_unix_ms <= ?1 ORDER BY expires_unix_ms LIMIT ?2";
            let ended = changes(connection, select, params![*now_unix_ms as i64, limited(*limit)])?;
            ended.iter().try_for_each(|change| drop_reference(connection, change))?;
            let freed = blocked::give_free(connection, *now_unix_ms, *limit)?;
            Ok(Answer::Done(ended.len().max(freed)))
        }
        Edit::Retire { owner, keep, expires_unix_ms } => {
            let update = "UPDATE media_references SET expires_unix_ms = ?3 WHERE owner = ?1 AND expires_unix_ms IS NULL
                          AND name NOT IN (SELECT name FROM media_references WHERE owner = ?1 AND expires_unix_ms IS NULL
                                           ORDER BY created_unix_ms DESC, name LIMIT ?2)";
            let parameters = params![bits(*owner), limited(*keep), *expires_unix_ms as i64];
            Ok(Answer::Done(connection.prepare_cached(update)?.execute(parameters)?))
        }
        Edit::Deleted { objects } => {
            let mut delete = connection.prepare_cached("DELETE FROM media_doomed WHERE object = ?1")?;
            for object in objects {
                delete.execute([key(object.0)])?;
            }
            Ok(Answer::Done(1))
        }
        Edit::Remove { name, until_unix_ms } => blocked::remove(connection, *name, *until_unix_ms),
        Edit::Block { blocked, most } => blocked::block(connection, blocked, *most),
        Edit::Unblock { sha256 } => blocked::unblock(connection, sha256),
        Edit::DropBlocked { limit } => blocked::drop_references(connection, *limit),
    }
}

/// Drops up to `limit` references of an account; how many they were.
pub(super) fn purge(connection: &Connection, owner: AccountId, limit: usize) -> rusqlite::Result<usize> {
    let select = "SELECT name, owner, size, object FROM media_references INDEXED BY media_by_owner WHERE owner = ?1 LIMIT ?2";
    let own = changes(connection, select, params![bits(owner), limited(limit)])?;
    own.iter().try_for_each(|change| drop_reference(connection, change))?;
    Ok(own.len())
}

/// What a reference that comes or goes changes.
struct Change {
    name: [u8; 16],
    owner: i64,
    size: u64,
    object: [u8; 16],
}

fn changes(
    connection: &Connection,
    select: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Change>> {
    let change = |row: &Row<'_>| {
        Ok(Change {
            name: row.get(0)?,
            owner: row.get(1)?,
            size: row.get::<_, i64>(2)? as u64,
            object: row.get(3)?,
        })
    };
    connection.prepare_cached(select)?.query_map(parameters, change)?.collect()
}

fn store(connection: &Connection, reference: &Reference, bounds: (u64, u64)) -> rusqlite::Result<Answer> {
    if blocked::is_blocked(connection, &reference.content.sha256)? {
        return Ok(Answer::Refused(Refused::Blocked));
    }
    if let Some(refused) = refuses(connection, reference, bounds)? {
        return Ok(Answer::Refused(refused));
    }
    let insert = "INSERT INTO media_objects VALUES (?1, ?2, ?3, 0, 1, ?4)";
    let Content { sha256, size } = reference.content;
    connection.prepare_cached(insert)?.execute(params![
        key(reference.object.0),
        sha256,
        size as i64,
        reference.place
    ])?;
    add_reference(connection, reference)
}

fn refer(
    connection: &Connection,
    reference: &Reference,
    (content, object): (Content, ObjectId),
    bounds: (u64, u64),
) -> rusqlite::Result<Answer> {
    if content.size != reference.content.size {
        return Ok(Answer::Refused(Refused::NoSource));
    }
    if let Some(refused) = refuses(connection, reference, bounds)? {
        return Ok(Answer::Refused(refused));
    }
    add_reference(connection, &Reference { content, object, ..reference.clone() })
}

/// Why there can't be this reference.
fn refuses(
    connection: &Connection,
    reference: &Reference,
    (registered_unix_ms, quota_bytes): (u64, u64),
) -> rusqlite::Result<Option<Refused>> {
    let taken = "SELECT EXISTS (SELECT 1 FROM media_references WHERE name = ?1) OR EXISTS (SELECT 1 FROM media_removed WHERE name = ?1)";
    let taken = |name: Name| connection.prepare_cached(taken)?.query_row([key(name.0)], |row| row.get(0));
    let own = charge(reference.content.size);
    Ok(if taken(reference.name)? {
        Some(Refused::Taken)
    } else if records::registered_unix_ms(connection, reference.owner)? != Some(registered_unix_ms) {
        Some(Refused::NoAccount)
    } else if owned(connection, reference.owner)?.saturating_add(own) > quota_bytes {
        Some(Refused::Quota)
    } else {
        None
    })
}

fn add_reference(connection: &Connection, reference: &Reference) -> rusqlite::Result<Answer> {
    let Reference { content, owner, .. } = reference;
    let insert = "INSERT INTO media_references VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    connection.prepare_cached(insert)?.execute(params![
        key(reference.name.0),
        bits(*owner),
        content.sha256,
        content.size as i64,
        key(reference.object.0),
        reference.media_type,
        reference.file_name,
        reference.purpose.to_byte(),
        reference.created_unix_ms as i64,
        reference.expires_unix_ms.map(|at| i64::try_from(at).unwrap_or(i64::MAX)),
    ])?;
    let uses = "UPDATE media_objects SET uses = uses + 1 WHERE object = ?1";
    connection.prepare_cached(uses)?.execute([key(reference.object.0)])?;
    let sum =
        "INSERT INTO media_owners VALUES (?1, ?2) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes";
    connection.prepare_cached(sum)?.execute(params![bits(*owner), charge(content.size) as i64])?;
    Ok(Answer::Done(1))
}

fn drop_reference(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    let delete = "DELETE FROM media_references WHERE name = ?1";
    connection.prepare_cached(delete)?.execute([change.name])?;
    let sum = "UPDATE media_owners SET bytes = bytes - ?2 WHERE owner = ?1";
    connection.prepare_cached(sum)?.execute(params![change.owner, charge(change.size) as i64])?;
    let nothing = "DELETE FROM media_owners WHERE owner = ?1 AND bytes <= 0";
    connection.prepare_cached(nothing)?.execute([change.owner])?;
    let uses = "UPDATE media_objects SET uses = uses - 1 WHERE object = ?1 RETURNING uses";
    let left = connection.prepare_cached(uses)?.query_row([change.object], |row| row.get::<_, i64>(0));
    match left.optional()? {
        Some(0) => doom(connection, change.object),
        _ => Ok(()),
    }
}

/// Nothing refers to an object any more, and nothing will.
fn doom(connection: &Connection, object: [u8; 16]) -> rusqlite::Result<()> {
    let list = "INSERT OR IGNORE INTO media_doomed SELECT object, place FROM media_objects WHERE object = ?1";
    connection.prepare_cached(list)?.execute([object])?;
    connection.prepare_cached("DELETE FROM media_objects WHERE object = ?1")?.execute([object]).map(drop)
}

/// Of each new object and another of equal content in the same place, the new one goes. What moved to another place would be fetched sooner or
/// later than what didn't, which would show that there was another.
fn merge(connection: &Connection, limit: usize) -> rusqlite::Result<Answer> {
    let select =
        "SELECT object FROM media_objects INDEXED BY media_new WHERE is_new ORDER BY object LIMIT ?1";
    let new = objects(connection, select, limit)?;
    let equal = "SELECT other.object FROM media_objects AS one JOIN media_objects AS other
                 ON other.sha256 = one.sha256 AND other.size = one.size AND other.place = one.place AND other.object != one.object
                 WHERE one.object = ?1 ORDER BY other.is_new, other.object LIMIT 1";
    for object in new.iter().map(|object| key(object.0)) {
        let equal = connection.prepare_cached(equal)?.query_row([object], |row| row.get::<_, [u8; 16]>(0));
        let Some(equal) = equal.optional()? else {
            let looked = "UPDATE media_objects SET is_new = 0 WHERE object = ?1";
            connection.prepare_cached(looked)?.execute([object])?;
            continue;
        };
        let moved = "UPDATE media_references SET object = ?2 WHERE object = ?1";
        let moved = connection.prepare_cached(moved)?.execute([object, equal])?;
        let uses = "UPDATE media_objects SET uses = uses + ?2 WHERE object = ?1";
        connection.prepare_cached(uses)?.execute(params![equal, moved as i64])?;
        doom(connection, object)?;
    }
    Ok(Answer::Done(new.len()))
}

fn reference(connection: &Connection, name: Name, now_unix_ms: u64) -> rusqlite::Result<Option<Reference>> {
    let read = |row: &Row<'_>| {
        Ok(Reference {
            name: Name(u128::from_be_bytes(row.get(0)?)),
            owner: AccountId::from_bits(row.get::<_, i64>(1)? as u64),
            content: content(row, 2)?,
            object: ObjectId(u128::from_be_bytes(row.get(4)?)),
            media_type: row.get(5)?,
            file_name: row.get(6)?,
            purpose: Purpose::from_byte(row.get(7)?).unwrap_or(Purpose::Message),
            created_unix_ms: row.get::<_, i64>(8)? as u64,
            expires_unix_ms: row.get::<_, Option<i64>>(9)?.map(|at| at as u64),
            place: row.get::<_, Option<Place>>(10)?.unwrap_or_default(),
        })
    };
    let parameters = params![key(name.0), now_unix_ms as i64];
    connection.prepare_cached(REFERENCE)?.query_row(parameters, read).optional()
}

/// What a source is, and where that lies.
fn found(
    connection: &Connection,
    owner: AccountId,
    source: Source,
    now_unix_ms: u64,
) -> rusqlite::Result<Option<(Content, ObjectId)>> {
    let read = |row: &Row<'_>| Ok((content(row, 0)?, ObjectId(u128::from_be_bytes(row.get(2)?))));
    match source {
        Source::Own(Content { sha256, size }) => {
            let select = "SELECT sha256, size, object FROM media_references INDEXED BY media_by_owner
                          WHERE owner = ?1 AND sha256 = ?2 AND size = ?3 AND (expires_unix_ms IS NULL OR expires_unix_ms > ?4)
                          AND NOT EXISTS (SELECT 1 FROM media_blocked WHERE media_blocked.sha256 = ?2) LIMIT 1";
            let parameters = params![bits(owner), sha256, size as i64, now_unix_ms as i64];
            connection.prepare_cached(select)?.query_row(parameters, read).optional()
        }
        Source::Named(name) => {
            let found = reference(connection, name, now_unix_ms)?;
            Ok(found.map(|reference| (reference.content, reference.object)))
        }
    }
}

fn content(row: &Row<'_>, column: usize) -> rusqlite::Result<Content> {
    Ok(Content { sha256: row.get(column)?, size: row.get::<_, i64>(column + 1)? as u64 })
}

fn owned(connection: &Connection, owner: AccountId) -> rusqlite::Result<u64> {
    let select = "SELECT bytes FROM media_owners WHERE owner = ?1";
    let bytes = connection.prepare_cached(select)?.query_row([bits(owner)], |row| row.get::<_, i64>(0));
    Ok(bytes.optional()?.unwrap_or(0) as u64)
}

fn objects(connection: &Connection, select: &str, limit: usize) -> rusqlite::Result<Vec<ObjectId>> {
    let mut statement = connection.prepare_cached(select)?;
    statement.query_map([limited(limit)], object)?.collect()
}

fn object(row: &Row<'_>) -> rusqlite::Result<ObjectId> {
    row.get(0).map(|bytes| ObjectId(u128::from_be_bytes(bytes)))
}

fn key(number: u128) -> [u8; 16] {
    number.to_be_bytes()
}

fn bits(account: AccountId) -> i64 {
    account.to_bits() as i64
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Blocking access from any thread but a shard's.
pub(super) struct EmbeddedIndex {
    pub(super) shared: Arc<Shared>,
}

impl Index for EmbeddedIndex {
    fn ask(&self, query: Query) -> Result<Answer, StoreError> {
        let (reply, answer) = sync_channel(1);
        // Whoever asked may have stopped waiting; then nobody misses the answer.
        let job = move |connection: &Connection| drop(reply.send(read(connection, &query)));
        self.shared.to_readers.send(Job::Query(Box::new(job))).map_err(|_| closed_error())?;
        answer.recv().map_err(|_| closed_error())?.map_err(|error| super::sqlite_writer::store_error(&error))
    }

    fn edit(&self, edit: Edit) -> Result<Answer, StoreError> {
        let (reply, answer) = sync_channel(1);
        self.shared.submit(Effect::Media(edit), Waiter::Media(ForMedia::Caller(reply)))?;
        answer.recv().map_err(|_| closed_error())?
    }
}
