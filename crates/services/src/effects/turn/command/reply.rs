//! The way back of a command's answer: to whom it goes, that it is given exactly once, and what happens if it is forgotten.
//!
//! A [`Reply`] takes one answer of one type and is consumed by it ([`Reply::with`]), so that nothing is answered twice. A reply
//! that is dropped while a shard is at work was forgotten. That is a fault of the program: a debug build panics; a release build
//! counts it, and tells an asker outside the shards that there is no answer. Replies that a shard still holds when it ends are
//! answered in the same way, and are no fault. Called by `command`, the shards and [`crate::effects::owners`].

use super::{AccountView, BookView, Contacts, Dumped, Kicked, Leaving, Refusal, SessionSummary};
use crate::account::Account;
use crate::account::settings;
use crate::effects::turn::Turn;
use crate::places::Place;
use crate::trace::TracePage;
use chaski_store::AccountId;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is called with an answer, outside the shards. Must not block.
pub type Call<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// The continuation of a room.
type Going = Box<dyn FnOnce(&mut Turn<'_>, &mut Account) + Send>;
type Then<T> = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Result<T, Refusal>) + Send>;

/// What waits for an answer of this type.
#[must_use = "whoever waits is to be answered"]
pub struct Reply<T: Kept>(Option<Way<T>>);

enum Way<T> {
    /// A call outside the shards.
    Call(Call<T>),
    /// A room of an account of this shard, if the account is in memory. When an account is removed: called before its sessions
    /// end.
    Room { account: AccountId, then: Then<T> },
    /// The place that has sent the request; the number identifies what waits for the answer there.
    Letter { asker: Place, number: u64 },
}

/// Brings answers from a shard to where calls outside the shards may be made.
pub trait Carrier {
    /// The call that the shard makes in place of `call`.
    fn carry<T: Send + 'static>(&self, call: Call<T>) -> Call<T>;
}

impl<T: Kept> Reply<T> {
    /// Tells somebody outside the shards. Must not block.
    pub fn call(call: impl FnOnce(Result<T, Refusal>) + Send + 'static) -> Self {
        Self(Some(Way::Call(Box::new(call))))
    }

    /// Goes on in a room of an account of the shard that asks.
    pub fn room(
        account: AccountId,
        then: impl FnOnce(&mut Turn<'_>, &mut Account, Result<T, Refusal>) + Send + 'static,
    ) -> Self {
        Self(Some(Way::Room { account, then: Box::new(then) }))
    }

    pub(crate) fn letter(asker: Place, number: u64) -> Self {
        Self(Some(Way::Letter { asker, number }))
    }

    /// Whether a session of this account waits for the answer.
    pub(crate) fn is_in_band_of(&self, id: AccountId) -> bool {
        matches!(self.0, Some(Way::Room { account, .. }) if account == id)
    }

    /// Gives the answer. A call outside the shards is made at once; anything else is returned for the shard to do.
    pub(crate) fn with(mut self, outcome: Result<T, Refusal>) -> Due {
        match self.0.take() {
            None => Due::Nothing,
            Some(Way::Call(call)) => {
                call(outcome);
                Due::Nothing
            }
            Some(Way::Room { account, then }) => {
                Due::Room(account, Box::new(move |turn, account| then(turn, account, outcome)))
            }
            Some(Way::Letter { asker, number }) => {
                Due::Letter(asker, number, Box::new(outcome.map(T::into_answer)))
            }
        }
    }

    /// Gives the answer outside the shards: for code that takes the place of a shard, because the shard is too full for the
    /// command, or in a test.
    pub fn answer(self, outcome: Result<T, Refusal>) {
        self.with(outcome).done();
    }

    pub(super) fn carried(mut self, carrier: &impl Carrier) -> Self {
        Self(self.0.take().map(|way| match way {
            Way::Call(call) => Way::Call(carrier.carry(call)),
            way => way,
        }))
    }
}

impl<T: Kept> Drop for Reply<T> {
    fn drop(&mut self) {
        let Some(way) = self.0.take() else { return };
        if let Way::Call(call) = way {
            call(Err(Refusal::unanswered()));
        }
        note_forgotten("a command");
    }
}

/// What a shard still has to do for an answer.
#[must_use = "somebody waits for it"]
pub enum Due {
    /// Nothing: the answer has left the shards.
    Nothing,
    /// A room's continuation has to be called.
    Room(AccountId, Going),
    /// The answer has to be sent to another place, with this number.
    Letter(Place, u64, Box<Result<Answer, Refusal>>),
}

impl Due {
    /// Outside the shards there is nothing to be done.
    pub(super) fn done(self) {
        debug_assert!(matches!(self, Self::Nothing), "only a shard can answer this");
    }
}

/// The type of an answer, in its own form and in the form that travels.
pub trait Kept: Sized + Send + 'static {
    /// As it travels.
    fn into_answer(self) -> Answer;
}

macro_rules! answers {
    ($($name:ident($answer:ty);)*) => {
        /// An answer on its way to another place: data.
        #[derive(Debug)]
        pub enum Answer {
            $(
                #[doc = concat!("Of type `", stringify!($answer), "`.")]
                $name($answer),
            )*
        }

        /// Who waits for an answer from another place.
        pub(crate) enum Waiting {
            $($name(Reply<$answer>),)*
        }

        $(impl Kept for $answer {
            fn into_answer(self) -> Answer {
                Answer::$name(self)
            }
        }

        impl From<Reply<$answer>> for Waiting {
            fn from(reply: Reply<$answer>) -> Self {
                Self::$name(reply)
            }
        })*

        impl Waiting {
            /// Gives the answer. If it is not of the type that was asked for, the letter was damaged.
            pub(crate) fn with(self, outcome: Result<Answer, Refusal>) -> Due {
                match (self, outcome) {
                    $((Self::$name(reply), Ok(Answer::$name(answer))) => reply.with(Ok(answer)),)*
                    $((Self::$name(reply), outcome) => reply.with(Err(outcome.err().unwrap_or_else(Refusal::unanswered))),)*
                }
            }
        }
    };
}

answers! {
    Done(());
    Leaving(Box<Leaving>);
    Account(AccountView);
    Sessions(Vec<SessionSummary>);
    Kicked(Kicked);
    Book(Box<BookView>);
    Privacy(settings::View);
    Contacts(Contacts);
    Trace(TracePage);
    Dumped(Dumped);
}

thread_local! {
    /// Whether a shard is at work on this thread.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Answers forgotten by the shards of this process.
static FORGOTTEN: AtomicU64 = AtomicU64::new(0);

/// How many answers were forgotten since the last call.
pub(crate) fn take_forgotten() -> u64 {
    FORGOTTEN.swap(0, Ordering::Relaxed)
}

/// Something that is owed an answer goes without one. While a shard is at work that is a fault of its own.
pub(crate) fn note_forgotten(what: &str) {
    if AT_WORK.get() {
        FORGOTTEN.fetch_add(1, Ordering::Relaxed);
        debug_assert!(std::thread::panicking(), "{what} was not answered");
    }
}

/// While it is there, a shard is at work on this thread, and owes every command that it has an answer. Part of
/// [`crate::owner::context::Context`].
#[derive(Debug)]
pub struct AtWork(bool);

impl AtWork {
    /// Work begins.
    #[expect(clippy::new_without_default, reason = "it is made for what it does, never by default")]
    pub fn new() -> Self {
        Self(AT_WORK.replace(true))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, ShowAccount};
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::{Receiver, channel};

    fn asked() -> (Command, Receiver<Result<AccountView, Refusal>>) {
        let (told, answers) = channel();
        let reply = Reply::call(move |outcome| told.send(outcome).unwrap());
        let account = AccountId::from_local("romeo").unwrap();
        (Command::new(account, ShowAccount, reply), answers)
    }

    #[test]
    fn a_forgotten_answer_is_a_fault_and_nobody_waits_for_it() {
        let (command, answers) = asked();
        let at_work = AtWork::new();
        let forgotten = catch_unwind(AssertUnwindSafe(|| drop(command)));
        drop(at_work);
        assert_eq!(forgotten.is_err(), cfg!(debug_assertions));
        assert_eq!(answers.recv().unwrap().unwrap_err(), Refusal::unanswered());
        assert!(take_forgotten() > 0);
    }

    #[test]
    fn what_a_shard_has_when_it_ends_is_answered_and_no_fault() {
        let (command, answers) = asked();
        drop(command);
        assert_eq!(answers.recv().unwrap().unwrap_err(), Refusal::unanswered());
    }

    #[test]
    fn an_answer_of_another_type_is_none() {
        let (command, answers) = asked();
        let (_, waiting) = command.action.part();
        waiting.with(Ok(Answer::Done(()))).done();
        assert_eq!(answers.recv().unwrap().unwrap_err(), Refusal::unanswered());
        let (command, answers) = asked();
        let (_, waiting) = command.action.part();
        waiting.with(Err(Refusal::NoSuchAccount)).done();
        assert_eq!(answers.recv().unwrap().unwrap_err(), Refusal::NoSuchAccount);
    }
}
