//! The part of a stage that makes accounts and gives their owners commands.

use super::{Claim, Pending, Stage, account};
use crate::account::credentials::{Credentials, Derivation};
use crate::account::name::AccountName;
use crate::account::record::AccountRecord;
use crate::effects::turn::command::{
    Call, Carrier, Command, Expected, Refusal, RemoveAccount, Reply, Request, SetAccount, Whom,
};
use chaski_promises::Event;
use chaski_store::{Engine, Table};
use chaski_xmpp::sasl::Salting;
use std::sync::{Arc, Mutex};

/// So long does a command to a stage on a disk take at most.
const ANSWERED_WITHIN_S: usize = 10;

impl Stage {
    /// Makes an account, or replaces its key with one of this generation.
    pub fn set_account(&mut self, local: &str, generation: u32) -> Result<(), Refusal> {
        let pending = self.begin_set_account(local, generation);
        self.answer(&pending)
    }

    /// The same, without waiting for the outcome.
    pub fn begin_set_account(&mut self, local: &str, generation: u32) -> Pending<()> {
        let name = AccountName::parse(local).expect("a name of a play is valid");
        let derivation = Derivation { iterations: 1, quick_plain: true };
        let salt = Salting::of_server(&self.realm.secrets.root).salt(local);
        let credentials = Credentials::derive("key", generation, derivation, salt);
        let key = account(local).record_key();
        let known = match &mut self.disk {
            Some(disk) => disk.record(Table::ACCOUNTS, &key),
            None => self.engine.records().get(Table::ACCOUNTS, &key).ok().flatten().map(|known| known.value),
        };
        let known = known.and_then(|known| AccountRecord::from_json(&known).ok());
        // Who comes after somebody else comes later.
        let now_unix_ms = 1_700_000_000_000 + if generation > 1 { self.now_ms } else { 0 };
        let made_unix_ms = known.map_or(now_unix_ms, |known| known.created_unix_ms);
        let record = Box::new(AccountRecord::new(name, credentials, made_unix_ms));
        self.begin(local, SetAccount { record, expected: Expected::Any })
    }

    /// Removes an account, without waiting for the outcome.
    pub fn begin_remove_account(&mut self, local: &str) -> Pending<()> {
        self.begin(local, RemoveAccount)
    }

    /// Says who is registering a number from now on, for the judge; `None`: nobody any more.
    pub fn claim(&mut self, local: &str, claim: Option<Claim>) {
        self.observer.take_answers();
        self.observer.claim(account(local), claim);
    }

    /// Whether somebody is logged in there.
    pub fn is_there(&self, local: &str) -> bool {
        self.observer.is_there(account(local))
    }

    /// Asks something of an account's owner, through the first shard, and waits for the answer.
    pub fn command<R: Request>(&mut self, local: &str, request: R) -> Result<R::Answer, Refusal> {
        let pending = self.begin(local, request);
        self.answer(&pending)
    }

    /// The same, without waiting for the answer.
    pub fn begin<R: Request>(&mut self, local: &str, request: R) -> Pending<R::Answer> {
        self.begin_if(account(local), request)
    }

    /// The same, perhaps with a key that the account must still have.
    pub fn begin_if<R: Request>(&mut self, whom: impl Into<Whom>, request: R) -> Pending<R::Answer> {
        let pending = Pending::default();
        let told = pending.clone();
        let reply = Reply::call(move |outcome| {
            *told.lock().expect("nobody panics with it") = Some(outcome);
        });
        self.give(Command::new(whom, request, reply));
        pending
    }

    /// The answer to a command. On a disk it may take some seconds: what has failed there is tried again by and by.
    fn answer<T>(&mut self, pending: &Pending<T>) -> Result<T, Refusal> {
        let taken = |pending: &Pending<T>| pending.lock().expect("nobody panics with it").take();
        let mut found = taken(pending);
        for _ in 0..ANSWERED_WITHIN_S {
            if found.is_none() && self.disk.is_some() {
                self.pass(1_000);
                found = taken(pending);
            }
        }
        found.expect("a command is answered")
    }

    /// Gives a command to the first shard.
    pub fn give(&mut self, command: Command) {
        self.observer.now_ms = self.now_ms;
        self.observer.asked(&command);
        let seen = Seen { answers: self.observer.answers(), event: self.observer.done(&command) };
        let command = command.carried(&seen);
        self.call(0, |room, ctx| room.command(ctx, command));
        self.settle();
    }
}

/// Notes what a command has done when its answer comes.
struct Seen {
    answers: Arc<Mutex<Vec<Event>>>,
    event: Option<Event>,
}

impl Carrier for Seen {
    fn carry<T: Send + 'static>(&self, call: Call<T>) -> Call<T> {
        let (answers, event) = (self.answers.clone(), self.event);
        Box::new(move |outcome| {
            let event = event.filter(|_| outcome.is_ok());
            answers.lock().expect("nobody panics with it").extend(event);
            call(outcome);
        })
    }
}
