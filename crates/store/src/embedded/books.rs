//! Phone books in SQLite: the statements. Reads run on the reader threads, writes in the writer's open transaction.

use super::records;
use crate::AccountId;
use crate::books::{Answer, Match, Query, Standing};
use rusqlite::{Connection, params};

/// Answers a query.
pub(super) fn read(connection: &Connection, query: &Query) -> rusqlite::Result<Answer> {
    match query {
        Query::Book { owner, quota } => {
            let select = "SELECT number FROM books WHERE owner = ?1 ORDER BY number";
            let mut statement = connection.prepare_cached(select)?;
            let numbers =
                statement.query_map([bits(*owner)], |row| number(row, 0))?.collect::<Result<_, _>>()?;
            Ok(Answer::Book { numbers, quota: records::get(connection, crate::Table::new("limits"), quota)? })
        }
        Query::Matches { owner, after, limit } => {
            let (matches, next) = matches(connection, *owner, *after, *limit)?;
            Ok(Answer::Matches { matches, next })
        }
        Query::Look { owner, number } => Ok(Answer::Look(look(connection, *owner, *number)?)),
        Query::Holders { number, after, limit } => holders(connection, *number, *after, *limit),
    }
}

/// Removes numbers from a book and adds some. The caller writes the records that go with it.
pub(super) fn change(
    connection: &Connection,
    owner: AccountId,
    add: &[u64],
    remove: &[u64],
) -> rusqlite::Result<Answer> {
    let (mut accounts, owner) = (Vec::new(), bits(owner));
    let mut delete = connection.prepare_cached("DELETE FROM books WHERE owner = ?1 AND number = ?2")?;
    for &number in remove {
        if delete.execute(params![owner, number as i64])? > 0 && is_account(connection, number)? {
            accounts.push(number);
        }
    }
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO books VALUES (?1, ?2)")?;
    for &number in add {
        if insert.execute(params![owner, number as i64])? > 0 && is_account(connection, number)? {
            accounts.push(number);
        }
    }
    Ok(Answer::Changed { accounts })
}

/// Which numbers of a book are accounts, all of them.
pub(super) fn all_matches(connection: &Connection, owner: AccountId) -> rusqlite::Result<Vec<Match>> {
    Ok(matches(connection, owner, 0, usize::MAX)?.0)
}

/// The second question only where the first is answered with yes: most numbers of a book are nobody's.
const MATCHES: &str = "SELECT number, CASE WHEN EXISTS (SELECT 1 FROM accounts WHERE key = '+' || number)
                   THEN EXISTS (SELECT 1 FROM books AS theirs WHERE theirs.owner = page.number AND theirs.number = ?4)
                   ELSE NULL END
               FROM (SELECT number FROM books WHERE owner = ?1 AND number > ?2 ORDER BY number LIMIT ?3) AS page";

fn matches(
    connection: &Connection,
    owner: AccountId,
    after: u64,
    limit: usize,
) -> rusqlite::Result<(Vec<Match>, Option<u64>)> {
    let mut statement = connection.prepare_cached(MATCHES)?;
    let own = owner.phone_number().map(|number| number as i64);
    let mut rows = statement.query(params![bits(owner), after as i64, limited(limit), own])?;
    let (mut matches, mut looked_at, mut last) = (Vec::new(), 0, after);
    while let Some(row) = rows.next()? {
        looked_at += 1;
        last = number(row, 0)?;
        if let Some(mutual) = row.get::<_, Option<bool>>(1)? {
            matches.push(Match { number: last, mutual });
        }
    }
    Ok((matches, (looked_at >= limit).then_some(last)))
}

fn look(connection: &Connection, owner: AccountId, number: u64) -> rusqlite::Result<Standing> {
    let holds = has(connection, bits(owner), number as i64)?;
    let registered = is_account(connection, number)?;
    let held = match owner.phone_number() {
        Some(own) if registered => has(connection, number as i64, own as i64)?,
        _ => false,
    };
    Ok(Standing { holds, registered, held })
}

fn holders(
    connection: &Connection,
    number: u64,
    after: Option<AccountId>,
    limit: usize,
) -> rusqlite::Result<Answer> {
    let select = "SELECT owner FROM books INDEXED BY books_by_number WHERE number = ?1 AND owner > ?2 ORDER BY owner LIMIT ?3";
    let mut statement = connection.prepare_cached(select)?;
    let after = after.map_or(i64::MIN, bits);
    let rows =
        statement.query_map(params![number as i64, after, limited(limit)], |row| row.get::<_, i64>(0))?;
    let owners: Vec<_> =
        rows.map(|owner| Ok(AccountId::from_bits(owner? as u64))).collect::<rusqlite::Result<_>>()?;
    let more = owners.len() >= limit;
    Ok(Answer::Holders { owners, more })
}

/// Deletes up to `limit` numbers of a book; how many they were.
pub(super) fn purge(connection: &Connection, owner: AccountId, limit: usize) -> rusqlite::Result<usize> {
    let delete = "DELETE FROM books WHERE owner = ?1 AND number IN
                  (SELECT number FROM books WHERE owner = ?1 ORDER BY number LIMIT ?2)";
    connection.prepare_cached(delete)?.execute(params![bits(owner), limited(limit)])
}

fn has(connection: &Connection, owner: i64, number: i64) -> rusqlite::Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM books WHERE owner = ?1 AND number = ?2)";
    connection.prepare_cached(select)?.query_row([owner, number], |row| row.get(0))
}

fn is_account(connection: &Connection, number: u64) -> rusqlite::Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM accounts WHERE key = '+' || ?1)";
    connection.prepare_cached(select)?.query_row([number as i64], |row| row.get(0))
}

fn bits(account: AccountId) -> i64 {
    account.to_bits() as i64
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)? as u64)
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::database::{open_reader, open_writer, path};
    use crate::embedded::{Disk, SystemDisk};
    use rusqlite::StatementStatus;

    /// Who comes back with an empty book is not the only one who pays if it isn't so: every `LIMIT` is bound.
    #[test]
    fn a_plan_stays_from_one_login_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let disk: &dyn Disk = &SystemDisk;
        let writer = open_writer(disk, &path(dir.path())).unwrap();
        for connection in [open_reader(disk, &path(dir.path())).unwrap(), writer] {
            for owner in 1..20 {
                assert!(all_matches(&connection, AccountId::from_bits(owner)).unwrap().is_empty());
                matches(&connection, AccountId::from_bits(owner), 7, owner as usize).unwrap();
            }
            let statement = connection.prepare_cached(MATCHES).unwrap();
            assert_eq!(
                statement.get_status(StatementStatus::Run),
                38,
                "the statement is the one that was kept"
            );
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        }
    }
}
