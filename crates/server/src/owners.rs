//! How async tasks ask accounts' owners for something: over the same [`Owners`] and with the same time limit as everybody who is
//! no shard. Called by the HTTP side.

use chaski_services::effects::owners::{ANSWER_TIME, Owners};
use chaski_services::effects::turn::command::{Refusal, Request, Whom};

/// Has an account's owner do something, and ends with its answer.
pub async fn ask<R: Request>(
    owners: &Owners,
    whom: impl Into<Whom>,
    request: R,
) -> Result<R::Answer, Refusal> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    // Fails only if nobody waits any more.
    owners.give(whom, request, move |outcome| drop(sender.send(outcome)));
    match tokio::time::timeout(ANSWER_TIME, answer).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) | Err(_) => Err(Refusal::unanswered()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_services::effects::turn::command::{Action, Kick, Kicked};
    use chaski_store::AccountId;
    use std::sync::{Arc, Mutex};

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_a_late_answer_is_nobodys() {
        let held = Arc::new(Mutex::new(Vec::new()));
        let holds = held.clone();
        let owners = Owners::new(move |command| holds.lock().unwrap().push(command));
        let account = AccountId::from_local("romeo").unwrap();
        assert_eq!(ask(&owners, account, Kick { resource: None }).await, Err(Refusal::unanswered()));
        let Some(command) = held.lock().unwrap().pop() else { panic!("it was given") };
        let Action::Kick(_, reply) = command.action else { panic!("as it was asked") };
        reply.answer(Ok(Kicked { sessions: 1 }));
    }
}
