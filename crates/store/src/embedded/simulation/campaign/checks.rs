//! What must be so: after an opening everything is held against the ledger, after a full disk service goes on, after a quiet
//! minute nothing acknowledged is left on the disk.

use super::{ACCOUNTS, Asked, End, Lived, MARKER, World, account, record, shown};
use crate::embedded::simulation::ledger::Shown;
use crate::embedded::simulation::{Cut, Stepped, Who};
use crate::embedded::{Disk, database};
use crate::mailbox::ReadStart;
use crate::shard_store::Completion;
use crate::{AccountId, ReadLimit, Seq, Table, Ticket, books};

/// So soon after a full disk has room again messages are accepted,
const SERVICE_RESUMES_MS: u64 = 5_000;
/// if everybody has a turn as often as this.
const TURNS_APART_MS: u64 = 250;

impl World {
    /// A start on a disk with room takes everything over and removes every segment, those too that were being removed.
    pub(super) fn nothing_is_left_over(&self) -> Lived {
        let journal = self.dir().join("journal");
        let left =
            self.disk.list(&journal).map_err(|error| format!("the journal can't be listed: {error}"))?;
        match left.is_empty() {
            true => Ok(()),
            false => Err(End::Broken(format!("a start leaves {left:?}"))),
        }
    }

    /// Holds everything of an account against the ledger.
    pub(super) fn look_through(&mut self, of: AccountId, closed: bool) -> Lived {
        let (found, entries) = self.come(of, closed)?;
        self.purged.remove(&of);
        self.ledger.opened(of, &entries, closed)?;
        self.revisions.insert(of, found.as_ref().map(|found| found.revision));
        self.ledger.record_opened(&of.record_key(), found.map(|found| found.value))?;
        let ticket = self.ticket();
        let keys = ["a", "b"].map(|part| (Table::new("items"), record(of, part)));
        self.front(of).fetch(of, keys.to_vec(), ticket);
        let found: Vec<_> = self.found(ticket)?.into_iter().map(|one| one.map(|one| one.value)).collect();
        if found[0] != found[1] {
            return Err(End::Broken(format!("half a batch of records: {found:?}")));
        }
        for ((_, key), value) in keys.iter().zip(found) {
            self.ledger.record_opened(key, value)?;
        }
        let ticket = self.ticket();
        self.front(of).ask_book(books::Query::Book { owner: of, quota: String::new() }, ticket);
        match self.wait(ticket)? {
            Completion::Book { result: Ok(books::Answer::Book { numbers, .. }), .. } => {
                Ok(self.ledger.book_opened(of, &numbers)?)
            }
            other => Err(End::Broken(format!("a phone book can't be read: {other:?}"))),
        }
    }

    /// Loads an account: its record, and what waits for it, of which the store knows how much that is.
    fn come(&mut self, of: AccountId, is_exact: bool) -> Lived<(Option<crate::Versioned>, Vec<Shown>)> {
        let ticket = self.ticket();
        self.front(of).load(of, &[Table::ACCOUNTS], ticket);
        let found = self.found(ticket)?.pop().flatten();
        let entries = self.read_all(of)?;
        let usage = self.front(of).usage(of);
        let bytes: usize = entries.iter().map(|entry| entry.text.len()).sum();
        if (usage.messages, usage.bytes) != (entries.len() as u64, bytes as u64) {
            return Err(End::Broken(format!("{usage:?} for {} messages of {bytes} bytes", entries.len())));
        }
        self.compare_cursors(of, is_exact)?;
        Ok((found, entries))
    }

    /// A crash sets cursors back at most; nothing else changes them. After a purge that a crash may have undone nothing is known.
    fn compare_cursors(&mut self, of: AccountId, is_exact: bool) -> Lived {
        let found = self.front(of).cursors(of);
        let expected = self.cursors.insert(of, found.clone()).unwrap_or_default();
        if self.purged.contains(&of) {
            return Ok(());
        }
        let is_within =
            found.iter().all(|(reader, upto)| expected.of(reader).is_some_and(|most| upto <= most));
        match if is_exact { found == expected } else { is_within } {
            true => Ok(()),
            false => Err(End::Broken(format!("cursors {found:?} instead of {expected:?}"))),
        }
    }

    /// An account leaves and comes back, whatever is under way.
    pub(super) fn come_and_go(&mut self) -> Lived {
        let of = account(self.dice.below(ACCOUNTS as usize) as u64);
        self.front(of).leave(of);
        self.asked.retain(|_, asked| !matches!(asked, Asked::Read { account, .. } if *account == of));
        for _ in 0..self.dice.below(4) {
            let who = [Who::Journal, Who::Sqlite, Who::Reader][self.dice.below(3)];
            self.turn(who)?;
        }
        self.come(of, true).map(drop)
    }

    pub(super) fn found(&mut self, ticket: Ticket) -> Lived<Vec<Option<crate::Versioned>>> {
        match self.wait(ticket)? {
            Completion::Loaded { result: Ok(found), .. } => Ok(found),
            other => Err(End::Broken(format!("records can't be read: {other:?}"))),
        }
    }

    pub(super) fn read_all(&mut self, of: AccountId) -> Lived<Vec<Shown>> {
        let (mut all, mut after) = (Vec::new(), Seq(0));
        loop {
            let ticket = self.ticket();
            let limit = ReadLimit { messages: 1 + self.dice.below(6), bytes: usize::MAX };
            let (entries, more) = match self.front(of).read(of, after, limit, ticket) {
                ReadStart::Ready { entries, more } => (entries, more),
                ReadStart::Pending => match self.wait(ticket)? {
                    Completion::Read { result: Ok(found), .. } => found,
                    other => return Err(End::Broken(format!("a mailbox can't be read: {other:?}"))),
                },
            };
            after = entries.last().map_or(after, |entry| entry.seq);
            all.extend(entries.iter().map(shown));
            if !more {
                return Ok(all);
            }
        }
    }

    /// Waits for the answer to a question, to which the disk's content alone matters.
    pub(super) fn wait(&mut self, ticket: Ticket) -> Lived<Completion> {
        for round in 0..16 {
            // A load waits for the account's saves, and those for everybody.
            match round < 8 {
                true => self.turn(Who::Reader)?,
                false => self.everybody()?,
            }
            self.poll()?;
            let of = |completion: &Completion| match completion {
                Completion::Read { ticket, .. }
                | Completion::Loaded { ticket, .. }
                | Completion::Book { ticket, .. } => Some(*ticket),
                _ => None,
            };
            if let Some(at) = self.loaded.iter().position(|completion| of(completion) == Some(ticket)) {
                return Ok(self.loaded.remove(at));
            }
        }
        Err(End::Broken("a question gets no answer".to_owned()))
    }

    /// The disk becomes full for a while, then has room again: service must resume by itself.
    pub(super) fn fill(&mut self) -> Lived {
        // What is acknowledged is deleted first: without room that waits, and the journal does not wait for it, so that
        // such a message may come back once.
        self.everybody_for(2_000)?;
        self.tally.full += 1;
        self.full = true;
        self.ledger.room(false);
        let late = self.dice.chance(50);
        self.disk.set_size(Some(self.disk.used() + self.dice.below(6_000) as u64), late);
        if self.dice.chance(50) {
            // Even in room that a file has, as where every write takes new room.
            self.disk.fail_write_in(self.dice.below(30) as u64, libc::ENOSPC);
        }
        for _ in 0..self.dice.below(60) {
            self.append()?;
            self.ack()?;
            self.everybody()?;
            self.clock.advance_ms(100);
        }
        self.disk.set_size(None, false);
        self.disk.fail_nothing();
        self.service_resumes()
    }

    /// Within some seconds a message is accepted again; if the journal rests after a failure, then within its longest rest.
    pub(super) fn service_resumes(&mut self) -> Lived {
        self.everybody_for(SERVICE_RESUMES_MS)?;
        if self.engine.as_ref().is_some_and(Stepped::is_refusing) {
            self.everybody_for(self.options.retry_ms_max)?;
        }
        self.full = false;
        let to = self.any_account();
        self.last_id += 1;
        let id = self.last_id;
        let taken = self.append_one(to, id)?;
        for _ in 0..4 {
            self.everybody()?;
        }
        match !taken
            || self.asked.values().any(|asked| matches!(asked, Asked::Append { id: of, .. } if *of == id))
        {
            false => Ok(()),
            true => Err(End::Broken("service does not resume when the disk has room again".to_owned())),
        }
    }

    /// Everybody has turns for so long.
    fn everybody_for(&mut self, ms: u64) -> Lived {
        for _ in 0..ms.div_ceil(TURNS_APART_MS) {
            self.clock.advance_ms(TURNS_APART_MS);
            self.everybody()?;
        }
        Ok(())
    }

    /// A minute without load: every acknowledged byte is gone from the disk.
    pub(super) fn settle(&mut self) -> Lived {
        self.tally.minutes += 1;
        if self.dice.chance(50) {
            for number in 0..ACCOUNTS {
                let live = self.ledger.live(account(number));
                self.ack_these(account(number), &live);
            }
        }
        self.pass(60_000)?;
        self.ledger.minute_passed();
        if self.disk.holds(MARKER) {
            return Err(End::Broken("a message is readable on the disk after a minute".to_owned()));
        }
        self.check_keys()
    }

    /// Looks into the database as a power cut would leave it now.
    pub(super) fn check_keys(&mut self) -> Lived {
        let mut log = database::path(&self.dir()).into_os_string();
        log.push("-wal");
        let log = self.disk.durable_length(log.as_ref());
        if log > 0 {
            return Err(End::Broken(format!("{log} bytes of the write-ahead log are left after a minute")));
        }
        let left = self.disk.after_cut(&mut Cut::losing_all());
        let path = database::path(&left.root().join("data"));
        let count = || -> rusqlite::Result<(i64, i64)> {
            let connection = database::connect(&left, &path, rusqlite::OpenFlags::default())?;
            let count = |select: &str| connection.query_row(select, [], |row| row.get(0));
            let keys = count("SELECT count(*) FROM seals WHERE key <> zeroblob(16)")?;
            Ok((keys, count("SELECT count(*) FROM messages")?))
        };
        let (keys, messages) = count().map_err(|error| format!("the database can't be read: {error}"))?;
        if keys != messages || messages as usize > self.ledger.waiting() {
            let waiting = self.ledger.waiting();
            return Err(End::Broken(format!("{keys} keys and {messages} messages for {waiting} that wait")));
        }
        Ok(())
    }
}
