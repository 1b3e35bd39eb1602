//! Ad-hoc commands on the domain, and for its owner on an account's bare JID (XEP-0050): the framework, and the table of commands.
//!
//! Called by [`crate::owner::dispatch`] with a request, and with the answer to a command that was sent to an account's owner.
//! Commands of XEP-0133 are only for the accounts listed as `admins` in the configuration; commands that other rooms declare are
//! for everybody. Nothing is kept between stages: a session id carries the proof of what it was given for ([`session_id`]), and a
//! command under way waits for an owner's answer like any other ([`crate::effects::turn::command`]). So nothing here has to be
//! bounded or to expire.

mod admin;
pub(crate) mod form;
mod reply;
mod session_id;

use crate::account::Account;
use crate::effects::iq::{AdHocCommand, NoForm, Request, Scope, Told, Xep};
use crate::effects::turn::Turn;
use crate::form::Form;
use crate::realm::Realm;
use crate::wire::SessionId;
use chaski_xmpp::{StanzaCondition, datetime, ns};
use form::{Field, FieldKind};
use reply::{Fault, Reply};

/// What this room implements.
pub const SPEC: &[Xep] = &[
    Xep::new(4, "2.13.1", "Data Forms", &[(Scope::Domain, ns::DATA_FORMS)]),
    Xep::new(50, "1.3.0", "Ad-Hoc Commands", &[(Scope::Domain, ns::COMMANDS)]),
    Xep::new(133, "1.3.0", "Service Administration", &[])
        .lacking("all but adding and deleting users, changing passwords and ending sessions"),
];

/// A command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdHoc {
    /// Its node.
    pub(crate) node: &'static str,
    /// Its name, for people.
    pub(crate) name: &'static str,
    what: What,
    /// The fields of its one form; empty: the command is done at once.
    fields: &'static [Field],
}

#[derive(Debug, Clone, Copy)]
enum What {
    Ping,
    AddUser,
    DeleteUser,
    ChangePassword,
    EndSession,
    /// A command of another room, which has a form of its own.
    OfRoom(&'static AdHocCommand),
}

const ACCOUNT: Field = Field::new("accountjid", FieldKind::Jid, "The account's JID");
const ACCOUNTS: Field = Field::new("accountjids", FieldKind::Jids, "The accounts' JIDs");
const PASSWORD: Field = Field::new("password", FieldKind::Private, "The password");
const PASSWORD_AGAIN: Field = Field::new("password-verify", FieldKind::Private, "The password again");

const PING: AdHoc = AdHoc { node: "ping", name: "Ping", what: What::Ping, fields: &[] };

/// Commands for administrators.
static COMMANDS: [AdHoc; 4] = [
    AdHoc {
        node: "http://jabber.org/protocol/admin#add-user",
        name: "Add a service account",
        what: What::AddUser,
        fields: &[ACCOUNT, PASSWORD, PASSWORD_AGAIN],
    },
    AdHoc {
        node: "http://jabber.org/protocol/admin#delete-user",
        name: "Delete accounts",
        what: What::DeleteUser,
        fields: &[ACCOUNTS],
    },
    AdHoc {
        node: "http://jabber.org/protocol/admin#change-user-password",
        name: "Change a service account's password",
        what: What::ChangePassword,
        fields: &[ACCOUNT, PASSWORD],
    },
    AdHoc {
        node: "http://jabber.org/protocol/admin#end-user-session",
        name: "End sessions",
        what: What::EndSession,
        fields: &[ACCOUNTS],
    },
];

/// Commands of other rooms.
pub(crate) type OfRooms = &'static [&'static AdHocCommand];

/// All commands, in the order in which clients show them.
fn all(of_rooms: OfRooms) -> impl Iterator<Item = AdHoc> {
    let of_rooms = of_rooms.iter().map(|command| AdHoc {
        node: command.node,
        name: command.name,
        what: What::OfRoom(command),
        fields: &[],
    });
    std::iter::once(PING).chain(of_rooms).chain(COMMANDS.iter().copied())
}

/// The command with this node.
pub(crate) fn find(of_rooms: OfRooms, node: &str) -> Option<AdHoc> {
    all(of_rooms).find(|command| command.node == node)
}

/// Whether the account may use this command.
pub(crate) fn may_use(realm: &Realm, account: &Account, command: &AdHoc) -> bool {
    matches!(command.what, What::Ping | What::OfRoom(_)) || is_admin(realm, account)
}

/// Whether the account is listed as an administrator. A phone number never is, with or without a registration lock: whoever can
/// read the number's SMS gets its key sooner or later, and then sets a lock of their own.
fn is_admin(realm: &Realm, account: &Account) -> bool {
    !account.name().is_phone() && realm.admins.iter().any(|admin| **admin == *account.bare)
}

/// The commands that the account may use.
pub(crate) fn visible<'a>(
    realm: &'a Realm,
    account: &'a Account,
    of_rooms: OfRooms,
) -> impl Iterator<Item = AdHoc> + use<'a> {
    all(of_rooms).filter(move |command| may_use(realm, account, command))
}

/// Handles `<iq type='set'><command/></iq>` to the domain or to the user's own account.
pub(crate) fn asked(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    request: &Request<'_>,
    of_rooms: OfRooms,
) {
    let Some(asker) = account.session(session).map(|session| account.full_jid(session)) else { return };
    let asked = request.stanza.to();
    let from = asked
        .map(|to| if to.contains('@') { account.bare.to_string() } else { turn.realm.domain.to_string() });
    let reply = Reply {
        id: request.stanza.id().unwrap_or_default().into_owned(),
        from,
        to: asker,
        account: account.id,
        session,
        node: request.child.attr("node").unwrap_or_default().into_owned(),
        session_id: request.child.attr("sessionid").unwrap_or_default().into_owned(),
    };
    if let Err(fault) = stage(turn, account, &reply, request, of_rooms) {
        reply.fault(turn, &fault);
    }
}

/// The action of the request (XEP-0050 §3.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Go,
    Cancel,
}

fn stage(
    turn: &mut Turn<'_>,
    account: &Account,
    reply: &Reply,
    request: &Request<'_>,
    of_rooms: OfRooms,
) -> Result<(), Fault> {
    let command = &find(of_rooms, &reply.node).ok_or(StanzaCondition::ItemNotFound)?;
    if !may_use(turn.realm, account, command) {
        return Err(StanzaCondition::Forbidden.into());
    }
    let action = match request.child.attr("action").as_deref() {
        None | Some("execute" | "complete" | "next") => Action::Go,
        Some("cancel") => Action::Cancel,
        Some("prev") => return Err(Fault::specific(StanzaCondition::BadRequest, "bad-action")),
        Some(_) => return Err(Fault::specific(StanzaCondition::BadRequest, "malformed-action")),
    };
    if reply.session_id.is_empty() {
        return first_stage(turn, account, reply, command, action);
    }
    session_id::check(&reply.session_id, turn, &reply.to, command.node)?;
    if action == Action::Cancel {
        reply.status(turn, &reply.session_id, "canceled", b"");
        return Ok(());
    }
    let bad_payload = || Fault::specific(StanzaCondition::BadRequest, "bad-payload");
    let form = request.child.child("x", ns::DATA_FORMS).ok_or_else(bad_payload)?;
    match form.attr("type").as_deref() {
        Some("cancel") => {
            reply.status(turn, &reply.session_id, "canceled", b"");
            Ok(())
        }
        Some("submit") => run(turn, account, reply, command, &Form::read(&form)),
        _ => Err(bad_payload()),
    }
}

fn first_stage(
    turn: &mut Turn<'_>,
    account: &Account,
    reply: &Reply,
    command: &AdHoc,
    action: Action,
) -> Result<(), Fault> {
    if action == Action::Cancel {
        return Err(Fault::specific(StanzaCondition::BadRequest, "bad-sessionid"));
    }
    let id = session_id::make(turn, &reply.to, command.node);
    if let What::OfRoom(of_room) = command.what {
        reply.status(turn, &id, "executing", &(of_room.form)(account));
    } else if command.fields.is_empty() {
        let pong = format!("Pong. It is {} here.", datetime::format(turn.shown(turn.unix_ms)));
        reply.completed(turn, &id, &pong);
    } else {
        let form = form::write(command.name, command.fields);
        reply.status(turn, &id, "executing", &form);
    }
    Ok(())
}

fn run(
    turn: &mut Turn<'_>,
    account: &Account,
    reply: &Reply,
    command: &AdHoc,
    form: &Form,
) -> Result<(), Fault> {
    if let What::OfRoom(of_room) = command.what {
        return submit(turn, reply, of_room, form);
    }
    if !form::has_all(form, command.fields) {
        return Err(Fault::specific(StanzaCondition::BadRequest, "bad-payload"));
    }
    match command.what {
        // Ping has no form, and so no second stage; commands of other rooms were handled above.
        What::Ping | What::OfRoom(_) => Err(Fault::specific(StanzaCondition::BadRequest, "bad-action")),
        What::AddUser => admin::add_user(turn, reply, form),
        What::ChangePassword => admin::change_password(turn, reply, form),
        What::DeleteUser => admin::delete_users(turn, account, reply, form),
        What::EndSession => admin::end_sessions(turn, reply, form),
    }
}

/// The form of another room's command was submitted.
fn submit(turn: &mut Turn<'_>, reply: &Reply, command: &AdHocCommand, form: &Form) -> Result<(), Fault> {
    let reply = reply.again();
    let told: Told = Box::new(move |turn, result| match result {
        Ok(()) => reply.completed(turn, &reply.session_id, "Saved."),
        Err((condition, text)) => reply.fault(turn, &Fault::with_text(condition, text)),
    });
    (command.submit)(turn, form, told)
        .map_err(|NoForm| Fault::specific(StanzaCondition::BadRequest, "bad-payload"))
}

#[cfg(test)]
mod tests;
