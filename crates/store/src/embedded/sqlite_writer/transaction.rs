//! Operations inside the writer's open transaction, and what they answer once it is durable.

use super::{Answer, Carried, PURGE_SLICE, ToSqlite, Write, book_event};
use crate::books::CHANGE_MAX;
use crate::embedded::database::{Messages, NewMessage};
use crate::embedded::link::{Event, Rows};
use crate::embedded::metrics::SqliteMetrics;
use crate::embedded::{books, media, records};
use crate::media::PAGE_MAX;
use crate::records::{Put, Revision};
use crate::{AccountId, Entry, Seq, StoreError};

/// The open transaction.
pub(super) struct Transaction<'a> {
    pub(super) messages: Messages<'a>,
    pub(super) metrics: &'a SqliteMetrics,
    pub(super) last_revision: &'a mut u64,
}

impl Transaction<'_> {
    pub(super) fn carry_out(&mut self, operation: &ToSqlite) -> rusqlite::Result<Carried> {
        Ok(Carried::Out(match operation {
            ToSqlite::Spill { link, slice } => Answer::Front(link.clone(), self.spill(slice)?),
            ToSqlite::Delete { link, seqs } => Answer::Front(link.clone(), self.delete(seqs)?),
            ToSqlite::Purge { link, account, upto, number } => {
                let deleted = self.messages.purge(*account, *upto, PURGE_SLICE)?;
                self.metrics.deleted_total.add(deleted as u64);
                let connection = self.messages.connection;
                if deleted == PURGE_SLICE
                    || books::purge(connection, *account, CHANGE_MAX)? == CHANGE_MAX
                    || media::purge(connection, *account, PAGE_MAX)? == PAGE_MAX
                {
                    return Ok(Carried::InPart);
                }
                // The mark of the removal is among them: last, when nothing else is left.
                records::purge(connection, *account)?;
                Answer::Front(link.clone(), Event::Purged { account: *account, number: *number })
            }
            ToSqlite::Lose { link, account, seqs, now_unix_ms } => {
                let Some((loss, first)) = self.messages.lose(*account, seqs, *now_unix_ms)? else {
                    return Ok(Carried::Void);
                };
                Answer::Front(link.clone(), Event::Lost { loss, first })
            }
            ToSqlite::Save { link, account, write, ticket } => {
                let result = self.write(write)?;
                Answer::Save { link: link.clone(), account: *account, ticket: *ticket, result }
            }
            ToSqlite::Book { link, edit, ticket } => {
                let answer = books::write(self.messages.connection, edit)?;
                let crate::books::Edit::Change { puts, .. } = edit;
                self.put_all(puts)?;
                Answer::Front(link.clone(), book_event(*ticket, Ok(answer)))
            }
            ToSqlite::Media { edit, to } => {
                Answer::Media(to.clone(), media::write(self.messages.connection, edit)?)
            }
            ToSqlite::Write { write, reply } => Answer::Caller(reply.clone(), self.write(write)?),
            // Never in the queue.
            ToSqlite::KeepTime { .. } | ToSqlite::Stop => return Ok(Carried::Void),
        }))
    }

    fn spill(&mut self, slice: &[(AccountId, Entry)]) -> rusqlite::Result<Event> {
        let mut ignored = Vec::new();
        for (position, (account, entry)) in slice.iter().enumerate() {
            let message = NewMessage {
                account: *account,
                seq: entry.seq,
                id: entry.id,
                accepted_unix_ms: entry.accepted_unix_ms,
                stanza: entry.stanza.pieces(),
            };
            if !self.messages.insert(&message)? {
                ignored.push(position);
            }
        }
        self.metrics.inserted_total.add((slice.len() - ignored.len()) as u64);
        Ok(Event::Spilled { ignored })
    }

    fn delete(&mut self, seqs: &[(AccountId, Seq)]) -> rusqlite::Result<Event> {
        let mut rows: Vec<Rows> = Vec::new();
        for &(account, seq) in seqs {
            let Some(bytes) = self.messages.delete(account, seq)? else { continue };
            match rows.last_mut() {
                Some(row) if row.account == account => {
                    row.messages += 1;
                    row.bytes = row.bytes.saturating_add(bytes);
                }
                _ => rows.push(Rows { account, messages: 1, bytes }),
            }
        }
        self.metrics.deleted_total.add(rows.iter().map(|row| u64::from(row.messages)).sum());
        Ok(Event::Deleted { seqs: seqs.to_vec(), rows })
    }

    fn write(&mut self, write: &Write) -> rusqlite::Result<Result<Revision, StoreError>> {
        let connection = self.messages.connection;
        match write {
            Write::If { table, key, value, expected } => {
                let found = records::get(connection, *table, key)?.map(|record| record.revision);
                if found != *expected {
                    return Ok(Err(StoreError::Conflict));
                }
                let revision = self.next_revision();
                records::put(connection, *table, key, value.as_deref(), revision)?;
                Ok(Ok(revision))
            }
            Write::All(puts) => {
                self.put_all(puts)?;
                Ok(Ok(Revision(*self.last_revision)))
            }
            Write::Clear(accounts) => {
                for account in accounts {
                    self.messages.purge(*account, Seq(i64::MAX as u64), usize::MAX)?;
                    books::purge(self.messages.connection, *account, usize::MAX)?;
                    media::purge(self.messages.connection, *account, usize::MAX)?;
                    records::purge(self.messages.connection, *account)?;
                }
                Ok(Ok(Revision(*self.last_revision)))
            }
        }
    }

    fn put_all(&mut self, puts: &[Put]) -> rusqlite::Result<()> {
        for put in puts {
            let revision = self.next_revision();
            records::put(self.messages.connection, put.table, &put.key, put.value.as_deref(), revision)?;
        }
        Ok(())
    }

    fn next_revision(&mut self) -> Revision {
        *self.last_revision += 1;
        Revision(*self.last_revision)
    }
}
