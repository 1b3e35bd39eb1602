//! What comes back from the engine's threads, and what it changes in the front.

use super::{Front, InFlight, Repeat};
use crate::StoreError;
use crate::embedded::link::{Buffers, Event, Loaded, Loss};
use crate::mailbox::Seq;
use crate::shard_store::Completion;
use std::sync::atomic::Ordering;

/// Buffers kept for reuse, and the size above which one is given back.
const SPARE_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 1 << 20;

impl Front {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Journal { outcome, buffers } => self.batch_done(outcome, buffers),
            Event::Spilled { ignored } => self.slice_done(&ignored),
            Event::Deleted { seqs } => self.deletes_done(&seqs),
            Event::Lost(loss) => self.lost(loss),
            Event::Purged { account, number } => self.purged(account, number, Ok(())),
            Event::Cursors { account, revision } => self.cursors_settled(account, revision),
            Event::Leftovers(completion) => self.ready.push(completion),
            Event::Read { number, result } => self.read_done(number, result),
            Event::Loaded(loaded) => {
                let Loaded { account, waiting, completion } = *loaded;
                self.loading = self.loading.saturating_sub(1);
                self.mailbox_loaded(account, waiting.ok());
                self.ready.push(completion);
            }
            Event::Fetched(completion) => {
                self.loading = self.loading.saturating_sub(1);
                self.ready.push(completion);
            }
            Event::Book(completion) => {
                self.books = self.books.saturating_sub(1);
                self.ready.push(completion);
            }
            Event::Media(completion) => {
                self.media = self.media.saturating_sub(1);
                self.ready.push(completion);
            }
            Event::Saved { account, completion } => self.saved(account, completion),
        }
    }

    /// The oldest batch in flight is durable, or not kept.
    fn batch_done(&mut self, outcome: Result<u64, StoreError>, buffers: Buffers) {
        let Some(InFlight { last, repeats, effects }) = self.in_flight.pop_front() else { return };
        self.metrics.batches_in_flight.set(self.in_flight.len() as i64);
        let mut repeats = repeats.into_iter().peekable();
        for number in self.committed.0 + 1..=last.0 {
            while let Some(repeat) = repeats.next_if(|repeat| repeat.behind.0 < number) {
                self.complete_repeat(&repeat, outcome.as_ref().err());
            }
            self.complete(Seq(number), outcome.as_ref().err());
        }
        if let Ok(segment) = &outcome
            && last > self.committed
        {
            match self.segments.back_mut() {
                Some((newest, upto)) if newest == segment => *upto = last,
                _ => self.segments.push_back((*segment, last)),
            }
        }
        self.committed = last;
        repeats.for_each(|repeat| self.complete_repeat(&repeat, outcome.as_ref().err()));
        if self.repeats_in_flight == 0 {
            self.refused.clear();
        }
        self.effects_written(effects, outcome.as_ref().map(drop));
        self.reuse(buffers);
    }

    /// Completes the ticket of a message, unless an acknowledgement has done so.
    fn complete(&mut self, seq: Seq, error: Option<&StoreError>) {
        let Some(at) = self.tail.find(seq) else { return };
        let slot = self.tail.slot(at);
        let (account, ticket, held) = (slot.account, slot.ticket, slot.is_held());
        match error {
            Some(error) if !held => {
                if self.repeats_in_flight > 0 {
                    self.refused.insert(seq, error.clone());
                }
                self.tail.remove(at);
                self.tail.tidy(account);
                self.ready.push(Completion::Refused(ticket, error.clone()));
            }
            _ => {
                if held {
                    self.tail.remove(at);
                    self.tail.tidy(account);
                }
                self.ready.push(Completion::Committed(ticket));
            }
        }
    }

    /// Completes a repeated message like the one that it repeats, which came before it; and what was only charged
    /// like its batch.
    fn complete_repeat(&mut self, repeat: &Repeat, batch: Option<&StoreError>) {
        self.repeats_in_flight -= 1;
        let mailbox = self.tail.mailbox_mut(repeat.account);
        mailbox.repeats = mailbox.repeats.saturating_sub(1);
        self.tail.tidy(repeat.account);
        let error = match repeat.of {
            Some(of) => self.refused.get(&of),
            None => batch,
        };
        self.ready.push(match error {
            Some(error) => Completion::Refused(repeat.ticket, error.clone()),
            None => Completion::Committed(repeat.ticket),
        });
    }

    fn reuse(&mut self, buffers: Buffers) {
        let small = buffers.appends.capacity() + buffers.acks.capacity() <= SPARE_BYTES_MAX;
        if small && self.spare.len() < SPARE_MAX {
            self.spare.push(Buffers { appends: cleared(buffers.appends), acks: cleared(buffers.acks) });
        }
    }

    /// Tells the journal from where on this front needs its segments.
    pub(super) fn report_needed(&mut self) {
        let base = self.tail.base();
        while self.segments.front().is_some_and(|&(_, last)| last < base) {
            self.segments.pop_front();
        }
        self.link.needed_from.store(base.0, Ordering::Release);
    }

    /// Messages are lost, and a gap is in their place.
    fn lost(&mut self, loss: Loss) {
        let (account, gap) = (loss.account, loss.seq());
        self.loads.lost(&loss, gap);
        // A purge on its way takes the gap along, and so does the acknowledgement of the message whose number it has.
        if self.is_purged(account, gap) {
            return;
        }
        let is_acked = self.deleting.contains(&(account, gap));
        self.tail.lose(account, loss.seqs, (!is_acked).then_some(gap));
        self.ready.push(Completion::Gap(account));
    }
}

fn cleared(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer
}
