//! The part of a stage that makes accounts and gives their owners commands.

use super::{Claim, Pending, Stage, account};
use crate::accounts::{AccountName, AccountRecord, Credentials, Derivation, Salting};
use crate::command::{Action, Command, Expected, Outcome, Reply};

impl Stage {
    /// Makes an account, or replaces its key with one of this generation.
    pub fn set_account(&mut self, local: &str, generation: u32) -> Outcome {
        answer(&self.begin_set_account(local, generation))
    }

    /// The same, without waiting for the outcome.
    pub fn begin_set_account(&mut self, local: &str, generation: u32) -> Pending {
        let name = AccountName::parse(local).expect("a name of a play is valid");
        let derivation = Derivation { iterations: 1, quick_plain: true };
        let salt = Salting::of_server(&self.realm.secret).salt(local);
        let credentials = Credentials::derive("key", generation, derivation, salt);
        let record = Box::new(AccountRecord::new(name, credentials, 1_700_000_000_000));
        self.begin(local, Action::SetAccount { record, expected: Expected::Any })
    }

    /// Removes an account, without waiting for the outcome.
    pub fn begin_remove_account(&mut self, local: &str) -> Pending {
        self.begin(local, Action::RemoveAccount)
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

    /// Gives a command to the first shard and waits for its outcome.
    pub fn command(&mut self, local: &str, action: Action) -> Outcome {
        answer(&self.begin(local, action))
    }

    /// Gives a command to the first shard, without waiting for the outcome.
    pub fn begin(&mut self, local: &str, action: Action) -> Pending {
        let outcome = Pending::default();
        let told = outcome.clone();
        self.observer.now_ms = self.now_ms;
        self.observer.asked(account(local), &action);
        let (answers, event) = (self.observer.answers(), self.observer.done(account(local), &action));
        let reply = Reply::Call(Box::new(move |outcome| {
            let event = event.filter(|_| outcome.is_ok());
            answers.lock().expect("nobody panics with it").extend(event);
            let before = told.lock().expect("nobody panics with it").replace(outcome);
            assert!(before.is_none(), "a command is answered once");
        }));
        let command = Command { account: account(local), action, reply: Some(reply) };
        self.call(0, |room, ctx| room.command(ctx, command));
        self.settle();
        outcome
    }
}

fn answer(pending: &Pending) -> Outcome {
    pending.lock().expect("nobody panics with it").take().expect("a command is answered")
}
