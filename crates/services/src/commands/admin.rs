//! Service administration (XEP-0133): what its forms make the accounts' owners do.
//!
//! Each account is its owner's, so each step is one [`Command`] to it, one after the other; what remains to be done
//! travels in the memo. Passwords: only their derived credentials leave this file. Deriving runs 4096 rounds on the
//! shard, some two milliseconds, which an operator's rare command may take.

use super::form::Form;
use super::reply::{Fault, Reply};
use crate::accounts::{AccountName, AccountRecord, Credentials, Derivation, ITERATIONS, Salting};
use crate::command::{Action, Command, Done, Expected, Outcome, Refusal};
use crate::directory::Account;
use crate::outbox::{Post, Turn};
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::{Jid, StanzaCondition};
use serde::{Deserialize, Serialize};

/// Most accounts in one form.
const ACCOUNTS_MAX: usize = 50;
/// Shortest password of a service account, in characters.
const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password in bytes.
const PASSWORD_BYTES_MAX: usize = 1_023;

/// What is under way, from one outcome to the next.
#[derive(Serialize, Deserialize)]
struct Memo {
    reply: Reply,
    step: Step,
}

#[derive(Serialize, Deserialize)]
enum Step {
    Adding,
    /// The account's record has been asked for; these credentials go into it.
    Reading(Box<Credentials>),
    Changing,
    /// The first of these is being deleted.
    Deleting(Vec<String>),
    /// The first of these is being ended; so many sessions were.
    Ending(Vec<String>, usize),
}

/// §4.1.
pub(super) fn add_user(turn: &mut Turn<'_>, reply: &Reply, form: &Form) -> Result<(), Fault> {
    let name = service_name(turn, form.one("accountjid"))?;
    let password = password(form)?;
    if form.one("password-verify") != password {
        return Err(Fault::with_text(StanzaCondition::NotAcceptable, "the two passwords differ"));
    }
    let account = name.account();
    let credentials = derive(turn, &name, password);
    let record = AccountRecord::new(name, credentials, turn.unix_ms);
    let action = Action::SetAccount { record: Box::new(record), expected: Expected::Absent };
    post(turn, reply.again(), account, action, Step::Adding);
    Ok(())
}

/// §4.6. The record is read first, so that whatever else it holds stays.
pub(super) fn change_password(turn: &mut Turn<'_>, reply: &Reply, form: &Form) -> Result<(), Fault> {
    let name = service_name(turn, form.one("accountjid"))?;
    let credentials = Box::new(derive(turn, &name, password(form)?));
    post(turn, reply.again(), name.account(), Action::ShowAccount, Step::Reading(credentials));
    Ok(())
}

/// §4.2.
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

/// §4.4. A full JID ends one session, a bare one all of the account.
pub(super) fn end_sessions(turn: &mut Turn<'_>, reply: &Reply, form: &Form) -> Result<(), Fault> {
    let jids = jids(turn, form)?;
    end_next(turn, reply.again(), jids, 0)
}

fn delete_next(turn: &mut Turn<'_>, reply: Reply, jids: Vec<String>) -> Result<(), Fault> {
    let Some(first) = jids.first() else {
        let session_id = reply.session_id.clone();
        reply.completed(turn, &session_id, "Deleted.");
        return Ok(());
    };
    let (account, _) = address(turn, first)?;
    post(turn, reply, account, Action::RemoveAccount, Step::Deleting(jids));
    Ok(())
}

fn end_next(turn: &mut Turn<'_>, reply: Reply, jids: Vec<String>, ended: usize) -> Result<(), Fault> {
    let Some(first) = jids.first() else {
        let session_id = reply.session_id.clone();
        reply.completed(turn, &session_id, &format!("Sessions ended: {ended}."));
        return Ok(());
    };
    let (account, resource) = address(turn, first)?;
    post(turn, reply, account, Action::Kick { resource }, Step::Ending(jids, ended));
    Ok(())
}

/// An account's owner has answered: go on, or answer the user.
pub(super) fn finished(turn: &mut Turn<'_>, session: SessionId, memo: &str, outcome: Outcome) {
    let Ok(Memo { mut reply, step }) = serde_json::from_str::<Memo>(memo) else {
        tracing::error!("the memo of an ad-hoc command came back damaged; its user gets no answer");
        return;
    };
    reply.session = session;
    let backup = reply.again();
    if let Err(fault) = go_on(turn, reply, step, outcome) {
        backup.fault(turn, &fault);
    }
}

fn go_on(turn: &mut Turn<'_>, reply: Reply, step: Step, outcome: Outcome) -> Result<(), Fault> {
    let done = outcome.map_err(|refusal| explain(&step, &refusal))?;
    let session_id = reply.session_id.clone();
    match (step, done) {
        (Step::Adding, _) => reply.completed(turn, &session_id, "The account is made."),
        (Step::Changing, _) => reply.completed(turn, &session_id, "The password is changed."),
        (Step::Reading(credentials), Done::Account { record, .. }) => {
            change(turn, reply, *record, *credentials);
        }
        (Step::Deleting(jids), _) => return delete_next(turn, reply, rest(jids)),
        (Step::Ending(jids, ended), Done::Kicked(more)) => {
            return end_next(turn, reply, rest(jids), ended + more);
        }
        (Step::Reading(_) | Step::Ending(..), _) => return Err(StanzaCondition::InternalServerError.into()),
    }
    Ok(())
}

fn change(turn: &mut Turn<'_>, reply: Reply, record: AccountRecord, mut credentials: Credentials) {
    let generation = record.generation();
    credentials.generation = generation.wrapping_add(1);
    let account = record.name.account();
    let record = Box::new(record.with_key(credentials, turn.unix_ms));
    let action = Action::SetAccount { record, expected: Expected::Generation(generation) };
    post(turn, reply, account, action, Step::Changing);
}

fn rest(mut jids: Vec<String>) -> Vec<String> {
    jids.remove(0);
    jids
}

fn explain(step: &Step, refusal: &Refusal) -> Fault {
    let condition = match refusal {
        Refusal::NoSuchAccount => StanzaCondition::ItemNotFound,
        Refusal::Conflict => StanzaCondition::Conflict,
        Refusal::Unavailable(_) => StanzaCondition::InternalServerError,
        Refusal::Overloaded | Refusal::Limited { .. } => StanzaCondition::ResourceConstraint,
        Refusal::TooLarge => StanzaCondition::PolicyViolation,
        Refusal::NotAcceptable(_) => StanzaCondition::NotAcceptable,
    };
    match step {
        // Those before it are done, those after it are not touched.
        Step::Deleting(jids) | Step::Ending(jids, _) => {
            Fault::with_text(condition, format!("stopped at {}: {refusal}", jids[0]))
        }
        _ => condition.into(),
    }
}

fn post(turn: &mut Turn<'_>, reply: Reply, account: AccountId, action: Action, step: Step) {
    let session = reply.session;
    let memo = serde_json::to_string(&Memo { reply, step })
        .expect("a memo of strings, numbers and credentials is always JSON");
    let command = Command { account, action, reply: None };
    turn.outbox.posts.push(Post::Command { session, memo: memo.into(), command });
}

/// Takes milliseconds on the shard's thread: administrators only.
fn derive(turn: &Turn<'_>, name: &AccountName, password: &str) -> Credentials {
    let derivation = Derivation { iterations: ITERATIONS, quick_plain: false };
    let salt = Salting::of_server(&turn.realm.secret).salt(&name.to_string());
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
    // All are looked at before anything is done.
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
            session: self.session,
            node: self.node.clone(),
            session_id: self.session_id.clone(),
        }
    }
}
