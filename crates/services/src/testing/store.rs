//! The part of a stage that holds its store back, so that a play can stop between any two of its answers.

use super::{Stage, account};
use chaski_store::{Append, Content, MessageId, Sender, Ticket};

impl Stage {
    /// Puts into a mailbox what another program may have put there.
    pub fn put_into_mailbox(&mut self, local: &str, id: u128, content: &[u8]) {
        let (account, owner) = (account(local), self.owner(local));
        let append = Append {
            account,
            id: MessageId(id),
            accepted_unix_ms: 1_700_000_000_000,
            stanza: Content::from(content),
            sender: Sender::contact(account),
            ticket: Ticket(0),
        };
        self.stores[usize::from(owner)].append(append).expect("there is room");
        self.settle();
    }

    /// Holds completions of the store back, or lets them come again.
    pub fn hold_store(&mut self, hold: bool) {
        self.store_held = hold;
        self.settle();
    }

    /// Sets apart what the store has finished by now, while it is held back.
    pub fn complete_held_later(&mut self) {
        let mut completions = Vec::new();
        for shard in 0..self.realm.shards() {
            self.stores[usize::from(shard)].poll(&mut completions);
            self.apart.extend(completions.drain(..).map(|completion| (shard, completion)));
        }
    }

    /// Lets that come, and nothing that the store has finished since.
    pub fn complete_held(&mut self) {
        for (shard, completion) in std::mem::take(&mut self.apart) {
            self.call(shard, |room, ctx| room.completion(ctx, completion));
        }
        self.settle();
    }

    /// With the store held back: lets what it has done until now come, and nothing that follows from that.
    pub fn step_store(&mut self) {
        self.complete_held_later();
        self.complete_held();
    }
}
