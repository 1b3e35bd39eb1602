//! Writing accounts through the shards that own them.

use chaski_services::accounts::registration::AccountOwner;
use chaski_services::command::{Action, Command, Outcome, Refusal, Reply};
use chaski_store::AccountId;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// Longest wait for a shard's answer. It answers within a turn and a write to the disk.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Commands of one call that are with the shards at the same time.
const ASKED_MAX: usize = 64;

/// Sends commands to the shards and waits for what came of them.
pub struct CommandOwner {
    submit: Arc<dyn Fn(Command) + Send + Sync>,
}

impl CommandOwner {
    /// `submit` hands a command to its shard without blocking, as [`crate::Edge::command`] does.
    pub fn new(submit: Arc<dyn Fn(Command) + Send + Sync>) -> Self {
        Self { submit }
    }

    fn submit(&self, account: AccountId, action: Action) -> mpsc::Receiver<Outcome> {
        let (sender, outcome) = mpsc::sync_channel(1);
        let reply = Reply::Call(Box::new(move |outcome| {
            // Fails only if the answer came too late for anybody to wait for it.
            let _ = sender.try_send(outcome);
        }));
        (self.submit)(Command { account, action, reply: Some(reply) });
        outcome
    }
}

impl AccountOwner for CommandOwner {
    fn ask(&self, account: AccountId, action: Action) -> Outcome {
        self.submit(account, action).recv_timeout(ANSWER_TIME).unwrap_or_else(|_| no_answer())
    }

    fn ask_all(&self, asked: Vec<(AccountId, Action)>) -> Vec<Outcome> {
        let (mut outcomes, mut asked) = (Vec::with_capacity(asked.len()), asked.into_iter());
        let mut is_stuck = false;
        while asked.len() > 0 && !is_stuck {
            let some = asked.by_ref().take(ASKED_MAX);
            let some: Vec<_> = some.map(|(account, action)| self.submit(account, action)).collect();
            for outcome in some {
                let outcome = outcome.recv_timeout(if is_stuck { Duration::ZERO } else { ANSWER_TIME });
                is_stuck |= outcome.is_err();
                outcomes.push(outcome.unwrap_or_else(|_| no_answer()));
            }
        }
        // One shard that does not answer is waited for once, and not as often as it is asked.
        outcomes.extend(asked.map(|_| no_answer()));
        outcomes
    }
}

fn no_answer() -> Outcome {
    Err(Refusal::Unavailable("the account's shard did not answer".to_owned()))
}
