//! Writing accounts through the shards that own them.

use chaski_services::accounts::registration::AccountOwner;
use chaski_services::command::{Action, Command, Outcome, Refusal, Reply};
use chaski_store::AccountId;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// Longest wait for a shard's answer. It answers within a turn and a write to the disk.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Sends commands to the shards and waits for what came of them.
pub struct CommandOwner {
    submit: Arc<dyn Fn(Command) + Send + Sync>,
}

impl CommandOwner {
    /// `submit` hands a command to its shard without blocking, as [`crate::Edge::command`] does.
    pub fn new(submit: Arc<dyn Fn(Command) + Send + Sync>) -> Self {
        Self { submit }
    }
}

impl AccountOwner for CommandOwner {
    fn ask(&self, account: AccountId, action: Action) -> Outcome {
        let (sender, outcome) = mpsc::sync_channel(1);
        let reply = Reply::Call(Box::new(move |outcome| {
            // Fails only if the answer came too late for anybody to wait for it.
            let _ = sender.try_send(outcome);
        }));
        (self.submit)(Command { account, action, reply: Some(reply) });
        match outcome.recv_timeout(ANSWER_TIME) {
            Ok(outcome) => outcome,
            Err(_) => Err(Refusal::Unavailable("the account's shard did not answer".to_owned())),
        }
    }
}
