//! A shard's stand-in: submits, flushes, and waits for completions as an event loop would.

use crate::{
    AccountId, Append, Appended, Completion, Engine, Entry, MessageId, ReadLimit, Sender, Seq, ShardIndex,
    ShardStore, StoreError, Table, Ticket, Usage, leftovers, mailbox::ReadStart,
};
use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// When the message with the identity 0 was accepted; the others as many milliseconds later. Late in the program's life,
/// so that nothing is old.
pub const ACCEPTED_UNIX_MS: u64 = 1_900_000_000_000;

/// So long may a completion take before the case fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Signal {
    woken: Mutex<bool>,
    changed: Condvar,
}

/// One shard of an engine.
pub struct Rig {
    /// The shard's store.
    pub store: Box<dyn ShardStore>,
    signal: Arc<Signal>,
    completions: Vec<Completion>,
    last_ticket: u128,
    /// Accounts that were loaded and have not left.
    here: HashSet<AccountId>,
}

impl Rig {
    /// Attaches the only shard.
    pub fn new(engine: &dyn Engine) -> Self {
        Self::of_shard(engine, ShardIndex(0), 1)
    }

    /// Attaches one of several.
    pub fn of_shard(engine: &dyn Engine, shard: ShardIndex, shards: u16) -> Self {
        let signal = Arc::new(Signal::default());
        let woken = signal.clone();
        let waker: crate::Waker = Arc::new(move || {
            *woken.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
            woken.changed.notify_one();
        });
        Self {
            store: engine.attach(shard, shards, waker),
            signal,
            completions: Vec::new(),
            last_ticket: 0,
            here: HashSet::new(),
        }
    }

    /// A ticket that was not used before.
    pub fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// Loads an account, as its owner does before it uses the mailbox.
    pub fn load(&mut self, account: AccountId) {
        self.here.insert(account);
        let ticket = self.ticket();
        self.store.load(account, const { &[Table::ACCOUNTS, Table::new("rosters")] }, ticket);
        self.wait("a load", |completion| match completion {
            Completion::Loaded { ticket: of, result, .. } if *of == ticket => {
                result.as_ref().expect("loaded");
                Some(())
            }
            _ => None,
        });
    }

    /// The account is here no more.
    pub fn leave(&mut self, account: AccountId) {
        self.store.leave(account);
        self.here.remove(&account);
    }

    fn bring(&mut self, account: AccountId) {
        if !self.here.contains(&account) {
            self.load(account);
        }
    }

    /// What a mailbox holds, loaded first if its account is not here.
    pub fn usage(&mut self, account: AccountId) -> Usage {
        self.bring(account);
        self.store.usage(account)
    }

    /// Appends a message whose identity and text come from `id`.
    pub fn append(&mut self, account: AccountId, id: u128) -> Result<(Appended, Ticket), StoreError> {
        self.append_stanza(account, id, &stanza(id))
    }

    /// Appends a message of a contact who sends no other.
    pub fn append_stanza(
        &mut self,
        account: AccountId,
        id: u128,
        stanza: &[u8],
    ) -> Result<(Appended, Ticket), StoreError> {
        self.append_of(Sender::contact(AccountId::from_bits(id as u64)), account, id, stanza)
    }

    /// Appends a message of somebody.
    pub fn append_of(
        &mut self,
        sender: Sender,
        account: AccountId,
        id: u128,
        stanza: &[u8],
    ) -> Result<(Appended, Ticket), StoreError> {
        let ticket = self.ticket();
        let (accepted_unix_ms, stanza) = (ACCEPTED_UNIX_MS + id as u64, stanza.into());
        let append = Append { account, id: MessageId(id), accepted_unix_ms, stanza, sender, ticket };
        Ok((self.store.append(append)?, ticket))
    }

    /// Appends and waits until it is durable.
    pub fn append_durably(&mut self, account: AccountId, id: u128) -> Seq {
        let (appended, ticket) = self.append(account, id).expect("accepted");
        let Appended::Queued(seq) = appended else { panic!("a duplicate: {id}") };
        self.committed(ticket);
        seq
    }

    /// Ends the turn and takes what has completed, without waiting.
    pub fn turn(&mut self) {
        self.store.flush();
        self.store.poll(&mut self.completions);
    }

    /// Everything completed and not yet asked for.
    pub fn take_completions(&mut self) -> Vec<Completion> {
        std::mem::take(&mut self.completions)
    }

    /// Ends the turn and waits until `wanted` finds what it wants among the completions; that one is taken out.
    pub fn wait<T>(&mut self, what: &str, mut wanted: impl FnMut(&Completion) -> Option<T>) -> T {
        loop {
            self.turn();
            let found = self.completions.iter().enumerate().find_map(|(at, one)| Some((at, wanted(one)?)));
            if let Some((at, value)) = found {
                self.completions.remove(at);
                return value;
            }
            self.sleep(what);
        }
    }

    /// Waits until `done`, turning whenever the engine wakes the shard (and now and then without).
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..PATIENCE.as_millis() / 5 {
            self.turn();
            if done(self) {
                return;
            }
            let woken = self.signal.woken.lock().unwrap_or_else(PoisonError::into_inner);
            let waited =
                self.signal.changed.wait_timeout_while(woken, Duration::from_millis(5), |woken| !*woken);
            *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
        }
        panic!("did not come: {what}");
    }

    fn sleep(&self, what: &str) {
        let woken = self.signal.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.signal.changed.wait_timeout_while(woken, PATIENCE, |woken| !*woken);
        let (mut woken, result) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!result.timed_out(), "did not come: {what}");
        *woken = false;
    }

    /// Waits for the ticket of an append.
    pub fn outcome(&mut self, ticket: Ticket) -> Result<(), StoreError> {
        self.wait("an append's completion", |completion| match completion {
            Completion::Committed(of) if *of == ticket => Some(Ok(())),
            Completion::Refused(of, error) if *of == ticket => Some(Err(error.clone())),
            _ => None,
        })
    }

    /// Waits until an append is durable.
    pub fn committed(&mut self, ticket: Ticket) {
        self.outcome(ticket).expect("committed");
    }

    /// Purges an account and waits until that is durable.
    pub fn purge(&mut self, account: AccountId) {
        let ticket = self.ticket();
        self.store.purge(account, ticket);
        self.wait("a purge", |completion| match completion {
            Completion::Purged { ticket: of, result } if *of == ticket => {
                result.clone().expect("purged");
                Some(())
            }
            _ => None,
        });
    }

    /// Accounts without record of which something is kept, in order.
    pub fn leftovers(&mut self) -> Vec<AccountId> {
        let (mut found, mut place) = (Vec::new(), Some(leftovers::Place::default()));
        while let Some(from) = place {
            let ticket = self.ticket();
            self.store.find_leftovers(from, ticket);
            let page = self.wait("leftovers", |completion| match completion {
                Completion::Leftovers { ticket: of, result } if *of == ticket => {
                    Some(result.clone().expect("found"))
                }
                _ => None,
            });
            found.extend(page.accounts);
            place = page.next;
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Reads, and waits for the disk if it is asked. The account is loaded first if it is not here.
    pub fn read(&mut self, account: AccountId, after: Seq, limit: ReadLimit) -> (Vec<Entry>, bool) {
        self.bring(account);
        let ticket = self.ticket();
        match self.store.read(account, after, limit, ticket) {
            ReadStart::Ready { entries, more } => (entries, more),
            ReadStart::Pending => self.wait("a read", |completion| match completion {
                Completion::Read { ticket: of, result } if *of == ticket => {
                    Some(result.clone().expect("read"))
                }
                _ => None,
            }),
        }
    }

    /// Reads a whole mailbox in windows of `window` messages.
    pub fn read_all(&mut self, account: AccountId, window: usize) -> Vec<Entry> {
        let limit = ReadLimit { messages: window, bytes: usize::MAX };
        let (mut all, mut after) = (Vec::new(), Seq(0));
        loop {
            let (entries, more) = self.read(account, after, limit);
            assert!(entries.len() <= window, "{} entries in a window of {window}", entries.len());
            assert!(!(more && entries.is_empty()), "more, but nothing now");
            all.extend(entries);
            after = all.last().map_or(after, |entry: &Entry| entry.seq);
            if !more {
                assert!(all.is_sorted_by(|a, b| a.seq < b.seq), "out of order");
                return all;
            }
        }
    }

    /// The identities in a mailbox.
    pub fn ids(&mut self, account: AccountId) -> Vec<u128> {
        self.read_all(account, 7).iter().map(|entry| entry.id.0).collect()
    }
}

/// The text that goes with an identity.
pub(super) fn stanza(id: u128) -> Vec<u8> {
    format!("<message id='{id}'><body>message number {id}</body></message>").into_bytes()
}

/// The account of a made-up phone number.
pub(super) fn phone(last: u64) -> AccountId {
    AccountId::phone(15_550_000_000 + last).expect("a phone number")
}
