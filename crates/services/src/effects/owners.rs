//! The one way in which code outside the shards sends commands to accounts' owners: HTTP, the admin socket, registration.
//!
//! Requests are [`command`](crate::effects::turn::command)s. The answer has the type that the request names; it comes within
//! [`ANSWER_MS`], or there is a refusal. Here are the calls that block, for threads that may (never a shard's, never an async
//! task's). The call for async tasks is in `chaski-server` (`owners`), over the same [`Owners::give`]. Nothing else in this crate
//! blocks.

use crate::effects::turn::command::{ANSWER_MS, Command, Refusal, Reply, Request, Whom};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// The time limit of a request.
pub const ANSWER_TIME: Duration = Duration::from_millis(ANSWER_MS);

/// Requests of one batch that are under way at the same time: enough to share a write to the disk, too few to fill a shard's
/// queue.
const BATCH_MAX: usize = 256;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Owners(Arc<dyn Fn(Command) + Send + Sync>);

impl Owners {
    /// `give` brings a command to its account's owner without blocking. Every command is answered, or dropped.
    pub fn new(give: impl Fn(Command) + Send + Sync + 'static) -> Self {
        Self(Arc::new(give))
    }

    /// Sends a request to the owner. `told` is called once, with the answer, and must not block. The caller has to keep the time
    /// limit [`ANSWER_TIME`].
    pub fn give<R: Request>(
        &self,
        whom: impl Into<Whom>,
        request: R,
        told: impl FnOnce(Result<R::Answer, Refusal>) + Send + 'static,
    ) {
        (self.0)(Command::new(whom, request, Reply::call(told)));
    }

    /// Sends a request and returns the answer. Blocks.
    pub fn ask<R: Request>(&self, whom: impl Into<Whom>, request: R) -> Result<R::Answer, Refusal> {
        let answer = self.begin(whom, request);
        answer.recv_timeout(ANSWER_TIME).unwrap_or_else(|_| Err(Refusal::unanswered()))
    }

    /// Sends several requests and returns the answers, in order. Blocks. Each has its own time limit. An owner that does not
    /// answer is waited for once, not once per request: requests that were not sent by then are not sent.
    pub fn ask_all<R: Request>(
        &self,
        asked: impl IntoIterator<Item = (impl Into<Whom>, R)>,
    ) -> Vec<Result<R::Answer, Refusal>> {
        let mut asked = asked.into_iter();
        let mut under_way: std::collections::VecDeque<_> =
            asked.by_ref().take(BATCH_MAX).map(|(whom, request)| self.begin(whom, request)).collect();
        let (mut outcomes, mut is_stuck) = (Vec::new(), false);
        while let Some(answer) = under_way.pop_front() {
            let outcome = answer.recv_timeout(if is_stuck { Duration::ZERO } else { ANSWER_TIME });
            is_stuck |= outcome.is_err();
            outcomes.push(outcome.unwrap_or_else(|_| Err(Refusal::unanswered())));
            if !is_stuck && let Some((whom, request)) = asked.next() {
                under_way.push_back(self.begin(whom, request));
            }
        }
        outcomes.extend(asked.map(|_| Err(Refusal::unanswered())));
        outcomes
    }

    fn begin<R: Request>(&self, whom: impl Into<Whom>, request: R) -> Receiver<Result<R::Answer, Refusal>> {
        let (sender, answer) = sync_channel(1);
        // This fails only if the answer comes too late.
        self.give(whom, request, move |outcome| drop(sender.try_send(outcome)));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::turn::command::{Action, Kick, Kicked};
    use chaski_store::AccountId;
    use std::sync::Mutex;

    #[test]
    fn a_batch_is_answered_in_order_and_never_floods_the_owners() {
        let held = Arc::new(Mutex::new(Vec::new()));
        let owners = Owners::new(move |command| {
            let mut held = held.lock().unwrap();
            held.push(command);
            assert!(held.len() <= BATCH_MAX);
            // Each seventh answers those before it, backwards.
            if held.len() < 7 {
                return;
            }
            for command in held.drain(..).rev() {
                let Action::Kick(Kick { resource }, reply) = command.action else { panic!() };
                reply.answer(Ok(Kicked { sessions: resource.unwrap().parse().unwrap() }));
            }
        });
        let account = AccountId::from_local("romeo").unwrap();
        let asked = (0..BATCH_MAX * 7).map(|n| (account, Kick { resource: Some(n.to_string()) }));
        let outcomes = owners.ask_all(asked);
        let told: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().sessions).collect();
        assert_eq!(told, (0..BATCH_MAX * 7).collect::<Vec<_>>());
    }

    #[test]
    fn who_drops_a_command_has_not_answered() {
        let account = AccountId::from_local("romeo").unwrap();
        let owners = Owners::new(drop);
        assert_eq!(owners.ask(account, Kick { resource: None }), Err(Refusal::unanswered()));
        let asked = [(account, Kick { resource: None }), (account, Kick { resource: None })];
        assert_eq!(owners.ask_all(asked), vec![Err(Refusal::unanswered()), Err(Refusal::unanswered())]);
    }
}
