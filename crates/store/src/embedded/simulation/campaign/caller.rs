//! What a caller does: it sends, reads, acknowledges, drops a mailbox, changes records and phone books, and hears what became
//! of it. Each call and each answer is told to the ledger.

use super::{ACCOUNTS, Asked, End, Lived, MARKER, READERS, World, account, record, shown};
use crate::embedded::simulation::stepped::BEGINNING_UNIX_MS;
use crate::mailbox::{Append, Appended, ReadStart};
use crate::records::Put;
use crate::shard_store::Completion;
use crate::{AccountId, MessageId, ReadLimit, Sender, Seq, ShardStore, Table, Ticket, books};

impl World {
    pub(super) fn front(&mut self, of: AccountId) -> &mut Box<dyn ShardStore> {
        &mut self.fronts[usize::from(of.shard(self.shards).0)]
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    pub(super) fn any_account(&mut self) -> AccountId {
        account(self.dice.below(ACCOUNTS as usize) as u64)
    }

    pub(super) fn append(&mut self) -> Lived {
        let to = self.any_account();
        for _ in 0..1 + self.dice.below(3) {
            self.last_id += 1;
            self.append_one(to, self.last_id)?;
        }
        Ok(())
    }

    /// Sends something again that waits.
    pub(super) fn repeat(&mut self) -> Lived {
        let to = self.any_account();
        let live = self.ledger.live(to);
        match self.dice.pick(&live) {
            Some(&(id, _)) => self.append_one(to, id).map(drop),
            None => Ok(()),
        }
    }

    /// Whether it was taken.
    pub(super) fn append_one(&mut self, to: AccountId, id: u128) -> Lived<bool> {
        let text = text(id);
        let ticket = self.ticket();
        let from = AccountId::from_bits(id as u64 % 5);
        let append = Append {
            account: to,
            id: MessageId(id),
            accepted_unix_ms: BEGINNING_UNIX_MS + id as u64,
            stanza: text.as_slice().into(),
            sender: if id.is_multiple_of(4) { Sender::stranger(from) } else { Sender::contact(from) },
            ticket,
        };
        let seq = match self.front(to).append(append) {
            Ok(Appended::Queued(seq)) => Some(seq.0),
            Ok(Appended::Duplicate) => None,
            // Refused at once: nothing was submitted.
            Err(_) => return Ok(false),
        };
        let place = self.ledger.appended(to, id, text, seq)?;
        self.asked.insert(ticket.0, Asked::Append { account: to, id, place });
        Ok(true)
    }

    pub(super) fn ack(&mut self) -> Lived {
        let of = self.any_account();
        let live = self.ledger.live(of);
        let most = [30, 100][self.dice.below(2)];
        let some: Vec<_> = live.into_iter().filter(|_| self.dice.chance(most)).collect();
        self.ack_these(of, &some);
        Ok(())
    }

    pub(super) fn ack_these(&mut self, of: AccountId, messages: &[(u128, Vec<u64>)]) {
        let seqs: Vec<Seq> = messages.iter().flat_map(|(_, seqs)| seqs).map(|&seq| Seq(seq)).collect();
        let ids: Vec<u128> = messages.iter().map(|(id, _)| *id).collect();
        self.front(of).ack(of, &seqs);
        self.ledger.acked(of, &ids);
    }

    /// One of two devices has read on: what both have is acknowledged.
    pub(super) fn advance(&mut self) -> Lived {
        let of = self.any_account();
        let live = self.ledger.live(of);
        // Of one that may wait under several numbers nobody outside knows which one it is.
        if live.iter().any(|(_, seqs)| seqs.len() != 1) {
            return Ok(());
        }
        let upto = self.dice.pick(&live).map_or(u64::MAX, |(_, seqs)| seqs[0]);
        let reader = READERS[self.dice.below(2)];
        let front = self.front(of);
        READERS.into_iter().for_each(|reader| front.add_reader(of, reader, Seq(0)));
        front.advance(of, reader, Seq(upto));
        let cursors = front.cursors(of);
        let all_have = cursors.all_have().unwrap_or_default().0;
        let gone: Vec<u128> =
            live.iter().filter(|(_, seqs)| seqs[0] <= all_have).map(|(id, _)| *id).collect();
        self.ledger.acked(of, &gone);
        self.cursors.insert(of, cursors);
        Ok(())
    }

    pub(super) fn read(&mut self) -> Lived {
        let (of, ticket) = (self.any_account(), self.ticket());
        let live = self.ledger.live(of);
        let after = match self.dice.chance(50) {
            true => self.dice.pick(&live).and_then(|(_, seqs)| seqs.last().copied()).unwrap_or(0),
            false => 0,
        };
        let limit = ReadLimit { messages: 1 + self.dice.below(6), bytes: usize::MAX };
        let since = self.ledger.now();
        match self.front(of).read(of, Seq(after), limit, ticket) {
            ReadStart::Ready { entries, more } => {
                let entries: Vec<_> = entries.iter().map(shown).collect();
                self.ledger.read(of, after, since, &entries, more)?;
            }
            ReadStart::Pending => {
                self.asked.insert(ticket.0, Asked::Read { account: of, after, since });
            }
        }
        Ok(())
    }

    pub(super) fn purge(&mut self) -> Lived {
        let (of, ticket) = (self.any_account(), self.ticket());
        self.front(of).purge(of, ticket);
        self.ledger.purged(of, ticket.0);
        self.purged.insert(of);
        self.asked.insert(ticket.0, Asked::Purge);
        Ok(())
    }

    /// Changes a record, two records, or a phone book.
    pub(super) fn change(&mut self) -> Lived {
        let (of, ticket) = (self.any_account(), self.ticket());
        let value = (!self.dice.chance(15)).then(|| format!("{{\"value\":{}}}", ticket.0).into_bytes());
        match self.dice.below(3) {
            0 if !self.asked.values().any(|asked| matches!(asked, Asked::Save(other) if *other == of)) => {
                let expected = self.revisions.get(&of).copied().flatten();
                self.front(of).save(of, Table::ACCOUNTS, value.clone(), expected, ticket);
                self.ledger.changing(&of.record_key(), value, ticket.0);
                self.asked.insert(ticket.0, Asked::Save(of));
            }
            1 => {
                let puts = ["a", "b"].map(|part| Put {
                    table: Table::new("items"),
                    key: record(of, part),
                    value: value.clone(),
                });
                for put in &puts {
                    self.ledger.changing(&put.key, value.clone(), ticket.0);
                }
                self.front(of).put(of, puts.to_vec(), ticket);
                self.asked.insert(ticket.0, Asked::Change);
            }
            _ => {
                let (add, remove) = (self.numbers(), self.numbers());
                self.ledger.changing_book(of, &add, &remove, ticket.0);
                let edit = books::Edit::Change { owner: of, add, remove, puts: Vec::new() };
                self.front(of).edit_book(edit, ticket);
                self.asked.insert(ticket.0, Asked::Change);
            }
        }
        Ok(())
    }

    pub(super) fn numbers(&mut self) -> Vec<u64> {
        (0..self.dice.below(4)).map(|_| 20_000 + self.dice.below(30) as u64).collect()
    }

    pub(super) fn poll(&mut self) -> Lived {
        let mut completions = Vec::new();
        self.fronts.iter_mut().for_each(|front| front.poll(&mut completions));
        completions.into_iter().try_for_each(|completion| self.completed(completion))
    }

    pub(super) fn completed(&mut self, completion: Completion) -> Lived {
        let ticket = match &completion {
            Completion::Committed(ticket) | Completion::Refused(ticket, _) => ticket,
            Completion::Read { ticket, .. } | Completion::Loaded { ticket, .. } => ticket,
            Completion::Saved { ticket, .. } | Completion::Book { ticket, .. } => ticket,
            Completion::Purged { ticket, .. } | Completion::Leftovers { ticket, .. } => ticket,
            Completion::Media { ticket, .. } => ticket,
            Completion::Gap(of) => return Err(End::Broken(format!("a gap in the mailbox of {of:?}"))),
        };
        let ticket = ticket.0;
        let Some(asked) = self.asked.remove(&ticket) else {
            self.loaded.push(completion);
            return Ok(());
        };
        match (asked, completion) {
            (Asked::Append { account, id, place }, Completion::Committed(_)) => {
                self.tally.committed += 1;
                self.ledger.committed(account, id, place);
            }
            (Asked::Append { account, id, .. }, Completion::Refused(_, error)) => {
                if !self.full {
                    return Err(End::Broken(format!("message {id} is refused without a reason: {error}")));
                }
                self.ledger.refused(account, id);
            }
            (Asked::Read { account, after, since }, Completion::Read { result: Ok((entries, more)), .. }) => {
                let entries: Vec<_> = entries.iter().map(shown).collect();
                self.ledger.read(account, after, since, &entries, more)?;
            }
            (Asked::Save(of), Completion::Saved { result, .. }) => {
                self.ledger.settled(ticket, result.is_ok());
                match (result, self.ledger.newest(&of.record_key())) {
                    (Ok(revision), Some(_)) => drop(self.revisions.insert(of, Some(revision))),
                    (Ok(_), None) => drop(self.revisions.insert(of, None)),
                    (Err(error), _) if !self.full => {
                        return Err(End::Broken(format!("a save is refused without a reason: {error}")));
                    }
                    _ => {}
                }
            }
            (Asked::Purge, Completion::Purged { result: Ok(()), .. }) => self.ledger.purge_settled(ticket),
            (Asked::Change, Completion::Saved { result, .. }) => self.ledger.settled(ticket, result.is_ok()),
            (Asked::Change, Completion::Book { result, .. }) => self.ledger.settled(ticket, result.is_ok()),
            (_, other) if self.full => drop(other),
            (_, other) => return Err(End::Broken(format!("an odd completion: {other:?}"))),
        }
        Ok(())
    }
}

/// The text that goes with an identity: its length differs, now and then it is long.
fn text(id: u128) -> Vec<u8> {
    let times = if id.is_multiple_of(29) { 90 } else { 1 + id as usize % 9 };
    let mut text = format!("<message id='{id}'>").into_bytes();
    (0..times).for_each(|_| text.extend_from_slice(MARKER));
    text
}
