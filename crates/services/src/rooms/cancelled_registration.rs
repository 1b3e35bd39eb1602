//! The end of an account by its owner's wish, in band: XEP-0077 §3.2, and nothing else of it (numbers are registered and keys
//! changed over HTTPS).
//!
//! Asked of the domain or of the account. Promises: the result is sent once nothing of the account is left that somebody could
//! log in with or inherit; then its streams end with `not-authorized`. The same as over HTTPS
//! (`DELETE /v1/account`) and by an operator: [`Action::RemoveAccount`].

use crate::account::Account;
use crate::effects::iq::{Door, Reply, Request, Scope, Xep};
use crate::effects::turn::Turn;
use crate::effects::turn::command;
use crate::effects::turn::command::{Command, Refusal, RemoveAccount};
use crate::effects::turn::outbox::Post;
use crate::wire::SessionId;
use chaski_xmpp::xml;
use chaski_xmpp::{StanzaCondition, ns};

/// What this room implements.
pub(crate) const SPEC: &[Xep] =
    &[Xep::new(77, "2.4", "In-Band Registration (cancelling only)", &[(Scope::Domain, ns::REGISTER)])];

/// Asked of the domain, or by older clients of nobody in particular.
pub(crate) const DOORS: &[Door] =
    &[Door { ns: ns::REGISTER, owner: Some(asked), other: None, domain: Some(asked) }];

fn asked(turn: &mut Turn<'_>, account: &mut Account, _: SessionId, request: &Request<'_>, reply: Reply) {
    if request.gets("query", ns::REGISTER) {
        // §3.1.1: who is registered is told so.
        let payload = xml(|writer| {
            writer.open_ns("query", ns::REGISTER);
            writer.open("registered").close();
        });
        return reply.result(turn.outbox, &payload);
    }
    let mut children = request.child.children();
    match (children.next(), children.next()) {
        (Some(remove), None) if remove.is("remove", ns::REGISTER) => {}
        // §3.2.1: nothing stands beside <remove/>.
        _ if request.child.children().any(|child| child.is("remove", ns::REGISTER)) => {
            return reply.error(turn.outbox, StanzaCondition::BadRequest);
        }
        _ => return reply.error(turn.outbox, StanzaCondition::NotAllowed),
    }
    let told = command::Reply::room(account.id, move |turn, _, outcome| match outcome {
        Ok(()) => reply.result(turn.outbox, b""),
        Err(refusal) => reply.error(turn.outbox, condition(&refusal)),
    });
    let command = Command::new(account.id, RemoveAccount, told);
    turn.outbox.posts.push(Post::Command(Box::new(command)));
}

fn condition(refusal: &Refusal) -> StanzaCondition {
    match refusal {
        Refusal::Overloaded => StanzaCondition::ResourceConstraint,
        _ => StanzaCondition::InternalServerError,
    }
}
