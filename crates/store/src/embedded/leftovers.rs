//! The search for leftovers in SQLite ([`crate::leftovers`]). Runs on the reader threads, a page at a time.

use super::{records, schema};
use crate::AccountId;
use crate::leftovers::{After, KEYS_PER_PAGE, Page, Part, Place};
use rusqlite::{Connection, params};

/// One page.
pub(super) fn find(connection: &Connection, from: &Place) -> rusqlite::Result<Page> {
    let parts = Part::all(schema::own_tables(connection)?);
    let (accounts, last) = match from.part(&parts) {
        None => return Ok(Page::default()),
        Some(Part::Records(table)) => by_key(connection, table, from)?,
        Some(Part::Messages) => by_account(connection, "messages", "account", from)?,
        Some(Part::Gaps) => by_account(connection, "gaps", "account", from)?,
        Some(Part::Media) => by_account(connection, "media_references", "owner", from)?,
        Some(Part::Books) => by_account(connection, "books", "owner", from)?,
    };
    let mut page = Page { accounts: Vec::new(), next: from.next(last, &parts) };
    for account in accounts {
        if !records::is_account(connection, account)? {
            page.accounts.push(account);
        }
    }
    Ok(page)
}

type Looked = (Vec<AccountId>, Option<After>);

/// Whose the next keys are.
fn by_key(connection: &Connection, table: &str, from: &Place) -> rusqlite::Result<Looked> {
    let after = match &from.after {
        Some(After::Key(key)) => key.as_str(),
        _ => "",
    };
    let select = format!("SELECT key FROM {table} WHERE key > ?1 ORDER BY key LIMIT ?2");
    let mut statement = connection.prepare_cached(&select)?;
    let keys = statement
        .query_map(params![after, KEYS_PER_PAGE as i64], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut accounts: Vec<_> = keys.iter().filter_map(|key| AccountId::of_record_key(key)).collect();
    accounts.dedup();
    let is_full = keys.len() >= KEYS_PER_PAGE;
    Ok((accounts, keys.into_iter().next_back().filter(|_| is_full).map(After::Key)))
}

/// Who the next owners of rows are, found by their order without reading the rows between them.
fn by_account(connection: &Connection, table: &str, column: &str, from: &Place) -> rusqlite::Result<Looked> {
    let mut last = match from.after {
        Some(After::Account(account)) => Some(account),
        _ => None,
    };
    let first = format!("SELECT min({column}) FROM {table}");
    let behind = format!("SELECT min({column}) FROM {table} WHERE {column} > ?1");
    let mut accounts = Vec::new();
    while accounts.len() < KEYS_PER_PAGE {
        let next: Option<i64> = match last {
            None => connection.prepare_cached(&first)?.query_row([], |row| row.get(0))?,
            Some(last) => connection.prepare_cached(&behind)?.query_row([last], |row| row.get(0))?,
        };
        let Some(next) = next else { return Ok((accounts, None)) };
        accounts.push(AccountId::from_bits(next as u64));
        last = Some(next);
    }
    Ok((accounts, last.map(After::Account)))
}
