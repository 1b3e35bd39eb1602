//! What the operator has taken out of the index: contents that are blocked, and names that were removed. Statements, called by [`super`].
//!
//! Whether a content is blocked is one look by its hash, in a table that nothing but the operator's word changes.

use super::{changes, drop_reference, key, limited};
use crate::media::{Answer, Blocked, COUNTED_MAX, Digest, Name, Refused, Standing};
use rusqlite::{Connection, OptionalExtension, Row, params};

pub(super) fn is_blocked(connection: &Connection, sha256: &Digest) -> rusqlite::Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM media_blocked WHERE sha256 = ?1)";
    connection.prepare_cached(select)?.query_row([sha256], |row| row.get(0))
}

/// Whether there may be references to drop.
pub(super) fn has_new(connection: &Connection) -> rusqlite::Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM media_blocked INDEXED BY media_blocked_new WHERE is_new)";
    connection.prepare_cached(select)?.query_row([], |row| row.get(0))
}

pub(super) fn page(
    connection: &Connection,
    after: Option<&Digest>,
    limit: usize,
) -> rusqlite::Result<Vec<Blocked>> {
    let select =
        "SELECT sha256, since_unix_ms, reason FROM media_blocked WHERE sha256 > ?1 ORDER BY sha256 LIMIT ?2";
    let after = after.map_or(&[][..], |after| after);
    let read = |row: &Row<'_>| {
        let since_unix_ms = row.get::<_, i64>(1)? as u64;
        Ok(Blocked { sha256: row.get(0)?, since_unix_ms, reason: row.get(2)? })
    };
    connection.prepare_cached(select)?.query_map(params![after, limited(limit)], read)?.collect()
}

pub(super) fn standing(connection: &Connection, now_unix_ms: u64) -> rusqlite::Result<Standing> {
    let now = now_unix_ms as i64;
    let count = |select: &str, parameters: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<u64> {
        let mut statement = connection.prepare_cached(select)?;
        statement.query_row(parameters, |row| row.get::<_, i64>(0)).map(|count| count as u64)
    };
    let most = limited(COUNTED_MAX);
    let doomed = "SELECT count(*) FROM (SELECT 1 FROM media_doomed LIMIT ?1)";
    let ended = "SELECT count(*) FROM (SELECT 1 FROM media_references INDEXED BY media_by_end WHERE expires_unix_ms <= ?1 LIMIT ?2)";
    let next = "SELECT min(expires_unix_ms) FROM media_references INDEXED BY media_by_end WHERE expires_unix_ms > ?1";
    let next = connection.prepare_cached(next)?.query_row([now], |row| row.get::<_, Option<i64>>(0))?;
    Ok(Standing {
        doomed: count(doomed, &[&most])?,
        ended: count(ended, &[&now, &most])?,
        blocked: count("SELECT count(*) FROM media_blocked", &[])?,
        next_expiry_unix_ms: next.map(|at| at as u64),
    })
}

pub(super) fn remove(connection: &Connection, name: Name, until_unix_ms: u64) -> rusqlite::Result<Answer> {
    let select = "SELECT name, owner, size, object FROM media_references WHERE name = ?1";
    let there = changes(connection, select, [key(name.0)])?;
    there.iter().try_for_each(|change| drop_reference(connection, change))?;
    if !there.is_empty() {
        let until = i64::try_from(until_unix_ms).unwrap_or(i64::MAX);
        let list = "INSERT OR REPLACE INTO media_removed VALUES (?1, ?2)";
        connection.prepare_cached(list)?.execute(params![key(name.0), until])?;
    }
    Ok(Answer::Done(there.len()))
}

/// Names that were removed long enough ago; how many they were.
pub(super) fn give_free(connection: &Connection, now_unix_ms: u64, limit: usize) -> rusqlite::Result<usize> {
    let delete = "DELETE FROM media_removed WHERE name IN
                  (SELECT name FROM media_removed INDEXED BY media_removed_by_end WHERE until_unix_ms <= ?1 LIMIT ?2)";
    connection.prepare_cached(delete)?.execute(params![now_unix_ms as i64, limited(limit)])
}

pub(super) fn block(connection: &Connection, blocked: &Blocked, most: usize) -> rusqlite::Result<Answer> {
    let Blocked { sha256, since_unix_ms, reason } = blocked;
    let count = "SELECT count(*) FROM media_blocked WHERE sha256 != ?1";
    let count = connection.prepare_cached(count)?.query_row([sha256], |row| row.get::<_, i64>(0))?;
    if count >= limited(most) {
        return Ok(Answer::Refused(Refused::Full));
    }
    let insert = "INSERT INTO media_blocked VALUES (?1, ?2, ?3, 1)
                  ON CONFLICT DO UPDATE SET reason = excluded.reason WHERE excluded.reason != ''";
    connection.prepare_cached(insert)?.execute(params![sha256, *since_unix_ms as i64, reason])?;
    let uses =
        "SELECT coalesce(sum(uses), 0) FROM media_objects INDEXED BY media_by_content WHERE sha256 = ?1";
    let uses = connection.prepare_cached(uses)?.query_row([sha256], |row| row.get::<_, i64>(0))?;
    Ok(Answer::Done(usize::try_from(uses).unwrap_or(0)))
}

pub(super) fn unblock(connection: &Connection, sha256: &Digest) -> rusqlite::Result<Answer> {
    let delete = "DELETE FROM media_blocked WHERE sha256 = ?1";
    Ok(Answer::Done(connection.prepare_cached(delete)?.execute([sha256])?))
}

/// Of one content that is blocked. With less than a page of them there are no more, and none can come.
pub(super) fn drop_references(connection: &Connection, limit: usize) -> rusqlite::Result<Answer> {
    let next =
        "SELECT sha256 FROM media_blocked INDEXED BY media_blocked_new WHERE is_new ORDER BY sha256 LIMIT 1";
    let next = connection.prepare_cached(next)?.query_row([], |row| row.get::<_, Digest>(0)).optional()?;
    let Some(sha256) = next else { return Ok(Answer::Done(0)) };
    let select = "SELECT name, owner, used.size, used.object
                  FROM media_objects AS lying INDEXED BY media_by_content
                  CROSS JOIN media_references AS used INDEXED BY media_by_object ON used.object = lying.object
                  WHERE lying.sha256 = ?1 LIMIT ?2";
    let those = changes(connection, select, params![sha256, limited(limit)])?;
    those.iter().try_for_each(|change| drop_reference(connection, change))?;
    if those.len() < limit {
        let done = "UPDATE media_blocked SET is_new = 0 WHERE sha256 = ?1";
        connection.prepare_cached(done)?.execute([sha256])?;
    }
    Ok(Answer::Done(those.len()))
}
