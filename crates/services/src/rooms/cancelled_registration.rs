//! The removal of an account at its user's request, in band: XEP-0077 §3.2, and nothing else of that specification (numbers are
//! registered and keys changed over HTTPS).
//!
//! The request goes to the domain or to the account. Promises: the result is sent when nothing of the account is left with which
//! somebody could log in or that somebody could inherit; then its streams end with `not-authorized`. The removal is the same as
//! over HTTPS (`DELETE /v1/account`) and by an operator: [`RemoveAccount`].

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

/// Requests go to the domain; older clients send them without `to`.
pub(crate) const DOORS: &[Door] =
    &[Door { ns: ns::REGISTER, owner: Some(asked), other: None, domain: Some(asked) }];

fn asked(turn: &mut Turn<'_>, account: &mut Account, _: SessionId, request: &Request<'_>, reply: Reply) {
    if request.gets("query", ns::REGISTER) {
        // §3.1.1: a registered client is told that it is registered.
        let payload = xml(|writer| {
            writer.open_ns("query", ns::REGISTER);
            writer.open("registered").close();
        });
        return reply.result(turn.outbox, &payload);
    }
    let mut children = request.child.children();
    match (children.next(), children.next()) {
        (Some(remove), None) if remove.is("remove", ns::REGISTER) => {}
        // §3.2.1: `<remove/>` must be the only child.
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
