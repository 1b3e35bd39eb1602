//! The thread that makes the calls with the answers to commands that were given outside the shards.
//!
//! Code that waits for an answer sleeps in an event queue of the process' descriptor table (tokio's, for HTTP and the admin
//! socket), and is woken by a write to a descriptor number of that table. In a shard's own table (see [`crate::descriptors`])
//! that number is unused or, worse, a client's connection. So shards don't make these calls: this thread does. Called by `edge`,
//! which has every reply [carried](Replies::carry). At most as many calls wait as the shards' queues let through.

use chaski_services::effects::turn::command::{Call, Carrier};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};

type Job = Box<dyn FnOnce() + Send>;

/// A handle of the thread, which ends when the last handle and the last carried reply are gone.
#[derive(Debug, Clone)]
pub(crate) struct Replies(Sender<Job>);

impl Replies {
    /// Starts the thread. Must not be called on a shard's thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        std::thread::Builder::new().name("replies".into()).spawn(move || {
            for job in queue {
                // The panic has been reported; other calls still have to be made.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(Self(jobs))
    }
}

impl Carrier for Replies {
    /// A call that may be made on any thread, and makes `call` on this one. (If it is dropped, `call` is made as well: see
    /// [`chaski_services::effects::turn::command::Reply`].)
    fn carry<T: Send + 'static>(&self, call: Call<T>) -> Call<T> {
        let replies = self.clone();
        Box::new(move |outcome| {
            // The thread lives as long as `replies` does.
            let _ = replies.0.send(Box::new(move || call(outcome)));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_services::effects::turn::command::{Command, Refusal, RemoveAccount, Reply};
    use chaski_store::AccountId;
    use std::sync::mpsc::Receiver;

    /// On which thread somebody is told what.
    type Told = (Option<String>, Result<(), Refusal>);

    fn asked(replies: &Replies) -> (Command, Receiver<Told>) {
        let (told, answers) = channel();
        let reply = Reply::call(move |outcome| {
            let _ = told.send((std::thread::current().name().map(Into::into), outcome));
        });
        let account = AccountId::from_local("romeo").unwrap();
        (Command::new(account, RemoveAccount, reply).carried(replies), answers)
    }

    #[test]
    fn replies_are_called_on_their_thread_and_dropped_ones_too() {
        let replies = Replies::start().unwrap();
        let there = Some("replies".to_owned());
        let (command, answers) = asked(&replies);
        command.refuse(Refusal::Overloaded);
        assert_eq!(answers.recv().unwrap(), (there.clone(), Err(Refusal::Overloaded)));
        let (command, answers) = asked(&replies);
        drop(command);
        assert_eq!(answers.recv().unwrap(), (there.clone(), Err(Refusal::unanswered())));
        replies.carry::<()>(Box::new(|_| panic!("of the one who asked")))(Ok(()));
        let (command, answers) = asked(&replies);
        drop(replies);
        command.refuse(Refusal::Overloaded);
        assert_eq!(answers.recv().unwrap(), (there, Err(Refusal::Overloaded)));
    }
}
