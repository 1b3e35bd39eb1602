//! The thread that tells those outside what came of their commands.
//!
//! Whoever waits for a reply sleeps in an event queue of the process' descriptor table (tokio's, for HTTP and the admin
//! socket), and is woken by a write to a number of that table. In a shard's own table (see [`crate::descriptors`]) that
//! number is nobody's or, worse, a client's connection. So shards neither call replies nor drop them: both happen here.
//! Called by `edge`, which has every reply [carried](Replies::carry). As many wait as the shards' queues let through.

use chaski_services::command::Outcome;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};

type Call = Box<dyn FnOnce(Outcome) + Send>;
type Job = Box<dyn FnOnce() + Send>;

/// The way to the thread, which ends when the last of these, and of the replies, is gone.
#[derive(Debug, Clone)]
pub(crate) struct Replies(Sender<Job>);

impl Replies {
    /// Starts the thread. Not from a shard's.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        std::thread::Builder::new().name("replies".into()).spawn(move || {
            for job in queue {
                // The panic has been reported; others wait for their replies.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(Self(jobs))
    }

    /// The same reply, to be called or dropped on any thread.
    pub(crate) fn carry(&self, call: Call) -> Call {
        let mut errand = Errand { call: Some(call), replies: self.clone() };
        Box::new(move |outcome| errand.bring(outcome))
    }
}

struct Errand {
    call: Option<Call>,
    replies: Replies,
}

impl Errand {
    fn bring(&mut self, outcome: Outcome) {
        if let Some(call) = self.call.take() {
            // The thread is there as long as `replies` is.
            let _ = self.replies.0.send(Box::new(move || call(outcome)));
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            let _ = self.replies.0.send(Box::new(move || drop(call)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_services::command::Refusal;
    use std::sync::mpsc::Receiver;

    /// Says on which thread it is dropped.
    struct Traced(Sender<Option<String>>);

    impl Drop for Traced {
        fn drop(&mut self) {
            let _ = self.0.send(std::thread::current().name().map(Into::into));
        }
    }

    fn traced(replies: &Replies) -> (Call, Receiver<Option<String>>) {
        let (dropped, where_dropped) = channel();
        let traced = Traced(dropped);
        (replies.carry(Box::new(move |_| drop(traced))), where_dropped)
    }

    #[test]
    fn replies_are_called_and_dropped_on_their_thread() {
        let replies = Replies::start().unwrap();
        let (call, called) = traced(&replies);
        call(Err(Refusal::Overloaded));
        assert_eq!(called.recv().unwrap().as_deref(), Some("replies"));
        let (call, dropped) = traced(&replies);
        drop(call);
        assert_eq!(dropped.recv().unwrap().as_deref(), Some("replies"));
        replies.carry(Box::new(|_| panic!("of the one who asked")))(Err(Refusal::Overloaded));
        let (call, called) = traced(&replies);
        drop(replies);
        call(Err(Refusal::Overloaded));
        assert_eq!(called.recv().unwrap().as_deref(), Some("replies"));
    }
}
