//! Service administration (XEP-0133): carries out the submitted forms by commands to the accounts' owners.
//!
//! Each account belongs to its owner, so each step is one [`Command`] to it, one after the other; the next step waits for the
//! answer. Passwords: only the credentials derived from them leave this file. Deriving runs [`ITERATIONS`] rounds on the shard,
//! some milliseconds, which is acceptable for an operator's rare command.

use super::reply::{Fault, Reply};
use crate::account::Account;
use crate::account::credentials::{Credentials, Derivation, ITERATIONS};
use crate::account::name::AccountName;
use crate::account::record::AccountRecord;
use crate::effects::turn::Turn;
use crate::effects::turn::command;
use crate::effects::turn::command::{
    Command, Expected, Kick, Kicked, Refusal, RemoveAccount, Request, SetAccount, ShowAccount,
};
use crate::effects::turn::outbox::Post;
use crate::form::Form;
use chaski_store::AccountId;
use chaski_xmpp::sasl::Salting;
use chaski_xmpp::{Jid, StanzaCondition};

/// Most accounts in one form.
const ACCOUNTS_MAX: usize = 50;
/// Shortest password of a service account, in characters.
const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password in bytes.
const PASSWORD_BYTES_MAX: usize = 1_023;

/// Add User (§4.1).
pub(super) fn add_user(turn: &mut Turn<'_>, reply: &Reply, form: &Form) -> Result<(), Fault> {
    let name = service_name(turn, form.one("accountjid"))?;
    let password = password(form)?;
    if form.one("password-verify") != password {
        return Err(Fault::with_text(StanzaCondition::NotAcceptable, "the two passwords differ"));
    }
    let whom = name.account();
    let credentials = derive(turn, &name, password);
    let record = Box::new(AccountRecord::new(name, credentials, turn.unix_ms));
    let request = SetAccount { record, expected: Expected::Absent };
    ask(turn, reply.again(), None, whom, request, |turn, reply, ()| {
        reply.completed(turn, &reply.session_id, "The account is made.");
        Ok(())
    });
    Ok(())
}

/// Change User Password (§4.6). The record is read first, so that everything else in it stays.
pub(super) fn change_password(turn: &mut Turn<'_>, reply: &Reply, form: &Form) -> Result<(), Fault> {
    let name = service_name(turn, form.one("accountjid"))?;
    let credentials = derive(turn, &name, password(form)?);
    ask(turn, reply.again(), None, name.account(), ShowAccount, move |turn, reply, shown| {
        change(turn, reply, *shown.record, credentials);
        Ok(())
    });
    Ok(())
}

/// Delete User (§4.2).
pub(super) fn delete_users(
    turn: &mut Turn<'_>,
    account: &Account,
    reply: &Reply,
    form: &Form,
) -> Result<(), Fault> {
    let jids = jids(turn, form)?;
    if jids.iter().any(|jid| address(turn, jid).is_ok_and(|(id, _)| id == account.id)) {
        return Err(Fault::with_text(StanzaCondition::NotAllowed, "you can't delete your own account"));
    }
    delete_next(turn, reply.again(), jids)
}

/// End User Session (§4.4). A full JID ends one session, a bare JID all sessions of the account.
pub(super) fn end_sessions(turn: &mut Turn<'_>, reply: &Reply, form: &Form) -> Result<(), Fault> {
    let jids = jids(turn, form)?;
    end_next(turn, reply.again(), jids, 0)
}

fn delete_next(turn: &mut Turn<'_>, reply: Reply, jids: Vec<String>) -> Result<(), Fault> {
    let Some(first) = jids.first().cloned() else {
        reply.completed(turn, &reply.session_id, "Deleted.");
        return Ok(());
    };
    let (whom, _) = address(turn, &first)?;
    ask(turn, reply, Some(first), whom, RemoveAccount, move |turn, reply, ()| {
        delete_next(turn, reply, rest(jids))
    });
    Ok(())
}

fn end_next(turn: &mut Turn<'_>, reply: Reply, jids: Vec<String>, ended: usize) -> Result<(), Fault> {
    let Some(first) = jids.first().cloned() else {
        reply.completed(turn, &reply.session_id, &format!("Sessions ended: {ended}."));
        return Ok(());
    };
    let (whom, resource) = address(turn, &first)?;
    let request = Kick { resource };
    ask(turn, reply, Some(first), whom, request, move |turn, reply, Kicked { sessions }| {
        end_next(turn, reply, rest(jids), ended + sessions)
    });
    Ok(())
}

fn change(turn: &mut Turn<'_>, reply: Reply, record: AccountRecord, mut credentials: Credentials) {
    let generation = record.generation();
    credentials.generation = generation.wrapping_add(1);
    let whom = record.name.account();
    let record = Box::new(record.with_key(credentials, turn.unix_ms));
    let request = SetAccount { record, expected: Expected::Generation(generation) };
    ask(turn, reply, None, whom, request, |turn, reply, ()| {
        reply.completed(turn, &reply.session_id, "The password is changed.");
        Ok(())
    });
}

fn rest(mut jids: Vec<String>) -> Vec<String> {
    jids.remove(0);
    jids
}

/// The error for the administrator. `at`: the account at which a list of several was stopped. Those before it are done, those
/// after it are not touched.
fn explain(at: Option<&str>, refusal: &Refusal) -> Fault {
    let condition = match refusal {
        Refusal::NoSuchAccount => StanzaCondition::ItemNotFound,
        Refusal::Conflict => StanzaCondition::Conflict,
        Refusal::Unavailable(_) => StanzaCondition::InternalServerError,
        Refusal::Overloaded | Refusal::Limited { .. } => StanzaCondition::ResourceConstraint,
        Refusal::TooLarge => StanzaCondition::PolicyViolation,
        Refusal::NotAcceptable(_) => StanzaCondition::NotAcceptable,
    };
    match at {
        Some(at) => Fault::with_text(condition, format!("stopped at {at}: {refusal}")),
        None => condition.into(),
    }
}

/// Sends a request to an account's owner. When it answers, the ad-hoc command goes on, if the administrator's session still
/// exists; a refusal ends the command with an error that names the account `at`.
fn ask<R: Request>(
    turn: &mut Turn<'_>,
    reply: Reply,
    at: Option<String>,
    whom: AccountId,
    request: R,
    then: impl FnOnce(&mut Turn<'_>, Reply, R::Answer) -> Result<(), Fault> + Send + 'static,
) {
    let told = command::Reply::room(reply.account, move |turn, account, outcome| {
        if account.session_mut(reply.session).is_none() {
            return;
        }
        let backup = reply.again();
        let outcome = outcome.map_err(|refusal| explain(at.as_deref(), &refusal));
        if let Err(fault) = outcome.and_then(|answer| then(turn, reply, answer)) {
            backup.fault(turn, &fault);
        }
    });
    turn.outbox.posts.push(Post::Command(Box::new(Command::new(whom, request, told))));
}

/// Derives credentials. Takes milliseconds on the shard's thread, so only for administrators.
fn derive(turn: &Turn<'_>, name: &AccountName, password: &str) -> Credentials {
    let derivation = Derivation { iterations: ITERATIONS, quick_plain: false };
    let salt = Salting::of_server(&turn.realm.secrets.root).salt(&name.to_string());
    Credentials::derive(password, 1, derivation, salt)
}

fn password(form: &Form) -> Result<&str, Fault> {
    let password = form.one("password");
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        let text = format!("a password has {PASSWORD_CHARS_MIN} to {PASSWORD_BYTES_MAX} characters");
        return Err(Fault::with_text(StanzaCondition::NotAcceptable, text));
    }
    Ok(password)
}

/// The name of a service account of our domain.
fn service_name(turn: &Turn<'_>, text: &str) -> Result<AccountName, Fault> {
    let jid = Jid::parse(text).map_err(|_| StanzaCondition::JidMalformed)?;
    let local = jid.local().filter(|_| jid.domain() == &*turn.realm.domain && jid.resource().is_none());
    let local = local.ok_or_else(|| {
        Fault::with_text(StanzaCondition::NotAcceptable, format!("not an account of {}", turn.realm.domain))
    })?;
    let name = AccountName::parse(local)
        .map_err(|error| Fault::with_text(StanzaCondition::NotAcceptable, error.to_string()))?;
    if name.is_phone() {
        let text = "a phone number's account is made, and its key changed, by registration";
        return Err(Fault::with_text(StanzaCondition::NotAllowed, text));
    }
    Ok(name)
}

fn jids(turn: &Turn<'_>, form: &Form) -> Result<Vec<String>, Fault> {
    let jids: Vec<String> = form.all("accountjids").map(|jid| jid.trim().to_owned()).collect();
    if jids.len() > ACCOUNTS_MAX {
        let text = format!("at most {ACCOUNTS_MAX} accounts at once");
        return Err(Fault::with_text(StanzaCondition::NotAcceptable, text));
    }
    // All JIDs are checked before anything is done.
    jids.iter().try_for_each(|jid| address(turn, jid).map(|_| ()))?;
    Ok(jids)
}

/// The account and resource of a JID of our domain.
fn address(turn: &Turn<'_>, text: &str) -> Result<(AccountId, Option<String>), Fault> {
    let jid = Jid::parse(text).map_err(|_| StanzaCondition::JidMalformed)?;
    let local = jid.local().filter(|_| jid.domain() == &*turn.realm.domain);
    let account = local.and_then(AccountId::from_local).ok_or_else(|| {
        Fault::with_text(StanzaCondition::ItemNotFound, format!("not an account of {}", turn.realm.domain))
    })?;
    Ok((account, jid.resource().map(str::to_owned)))
}

impl Reply {
    pub(super) fn again(&self) -> Self {
        Self {
            id: self.id.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            account: self.account,
            session: self.session,
            node: self.node.clone(),
            session_id: self.session_id.clone(),
        }
    }
}
