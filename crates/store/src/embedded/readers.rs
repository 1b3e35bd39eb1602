//! The reader threads: everything that is read from SQLite while the engine runs.
//!
//! A few threads with a connection each take jobs from one queue, so that a slow read blocks neither a shard nor the
//! writer. Each job is one or a few short statements: a long read would hold up the checkpoint that forgets messages.

mod jobs;

pub(crate) use jobs::{Jobs, Taker};

use super::database::Waiting;
use super::health::{Health, Part};
use super::link::{Event, Link, Loaded, Shared};
use super::overlay::Overlay;
use super::records;
use crate::leftovers::Place;
use crate::records::{Table, Versioned, Wanted};
use crate::{AccountId, Completion, Cursors, ReadLimit, Seq, StoreError, Ticket, books, media};
use rusqlite::{Connection, ErrorCode};
use std::sync::Arc;

/// Something to read.
pub(crate) enum Job {
    /// A mailbox, for a front.
    Mailbox { link: Arc<Link>, number: u64, account: AccountId, after: Seq, limit: ReadLimit },
    /// Something of the phone books, for a front.
    Book { link: Arc<Link>, query: books::Query, ticket: Ticket },
    /// Something of the index of media, for a front.
    Media { link: Arc<Link>, query: media::Query, ticket: Ticket },
    /// An account's records, for a front; with what waits for it if they are those by which it comes into memory.
    Load { link: Arc<Link>, account: AccountId, wanted: Wanted, ticket: Ticket },
    /// Leftovers, for a front.
    Leftovers { link: Arc<Link>, from: Place, ticket: Ticket },
    /// Anything, for a caller that waits.
    Query(Box<dyn FnOnce(&Connection) + Send>),
}

/// One thread: takes jobs until there are no more.
pub(super) fn run(connection: Connection, secret: [u8; 16], shared: &Shared, jobs: &Taker) {
    while let Some(job) = jobs.take() {
        if let Some((link, found)) = carry_out(job, &connection, &secret, shared) {
            link.push(found);
        }
    }
}

/// Reads what a job wants; what was found, and for which front. A caller that waits has it already.
pub(super) fn carry_out(
    job: Job,
    connection: &Connection,
    secret: &[u8; 16],
    Shared { arrears, health, overlay, .. }: &Shared,
) -> Option<(Arc<Link>, Event)> {
    let store_error = |error| super::sqlite_writer::store_error(&error);
    match job {
        Job::Mailbox { link, number, account, after, limit } => {
            let result = arrears
                .read(connection, secret, account, after, limit)
                .map_err(|error| failed(&error, health));
            Some((link, Event::Read { number, result }))
        }
        Job::Load { link, account, wanted, ticket } => {
            let completion = load(overlay, connection, account, &wanted, ticket);
            let event = match wanted {
                Wanted::Keys(_) => Event::Fetched(completion),
                Wanted::Tables(_) => {
                    // First, because what is not there any more is in SQLite by then.
                    let decided = overlay.get(Table::CURSORS, &account.record_key());
                    let found = arrears.waiting(connection, account);
                    let waiting = found
                        .map(|waiting| with_cursors(waiting, decided))
                        .map_err(|error| failed(&error, health));
                    Event::Loaded(Box::new(Loaded { account, waiting, completion }))
                }
            };
            Some((link, event))
        }
        Job::Book { link, query, ticket } => {
            let result = super::books::read(connection, &query).map_err(store_error);
            Some((link, Event::Book(Completion::Book { ticket, result })))
        }
        Job::Media { link, query, ticket } => {
            let result = super::media::read(connection, &query).map_err(store_error);
            Some((link, Event::Media(Completion::Media { ticket, result })))
        }
        Job::Leftovers { link, from, ticket } => {
            let result = super::leftovers::find(connection, &from).map_err(store_error);
            Some((link, Event::Leftovers(Completion::Leftovers { ticket, result })))
        }
        Job::Query(query) => {
            query(connection);
            None
        }
    }
}

/// Says that the file itself is damaged, if that is why.
fn failed(error: &rusqlite::Error, health: &Health) -> StoreError {
    if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) {
        let trouble = format!("the database is damaged ({error}): some mailboxes cannot be read");
        if health.ail(Part::Damage, trouble) {
            tracing::error!(
                %error,
                "the database is damaged: some mailboxes cannot be read; stop the server, keep a copy, and rebuild the file: \
                 sqlite3 chaski.sqlite3 .recover"
            );
        }
    }
    super::sqlite_writer::store_error(error)
}

/// With the cursors that frames which are not carried out yet are going to make, if any are.
fn with_cursors(waiting: Waiting, decided: Option<Option<Versioned>>) -> Waiting {
    match decided {
        Some(record) => {
            let cursors = record.map(|record| Cursors::from_json(&record.value)).unwrap_or_default();
            Waiting { cursors, ..waiting }
        }
        None => waiting,
    }
}

fn load(
    overlay: &Overlay,
    connection: &Connection,
    account: AccountId,
    wanted: &Wanted,
    ticket: Ticket,
) -> Completion {
    let mut found = Vec::new();
    wanted.each(account, |table, key| found.push(records::get_through(overlay, connection, table, key)));
    let found: rusqlite::Result<Vec<_>> = found.into_iter().collect();
    let book = match wanted.has_book() {
        true => super::books::all_matches(connection, account),
        false => Ok(Vec::new()),
    };
    let both = found.and_then(|found| Ok((found, book?)));
    match both.map_err(|error| super::sqlite_writer::store_error(&error)) {
        Ok((found, book)) => Completion::Loaded { ticket, result: Ok(found), book },
        Err(error) => Completion::Loaded { ticket, result: Err(error), book: Vec::new() },
    }
}
