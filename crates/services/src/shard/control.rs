//! Commands, carried out by the owner of the account they name, and their outcomes on the way back.

use crate::accounts::{AccountRecord, ResidentRecord};
use crate::book::{Answer, Want, Wish};
use crate::command::{Action, Command, Done, Expected, Outcome, PrivacyChange, Refusal, Reply};
use crate::context::Context;
use crate::directory::{Account, Work};
use crate::router::{Envelope, Letter};
use crate::session::End;
use crate::shard::Shard;
use crate::shard::removal::Making;
use crate::ticket::Purpose;
use crate::wire::SessionId;
use crate::{commands, privacy};
use chaski_store::records::Put;
use chaski_store::{AccountId, Revision, StoreError, Table};

/// Commands that wait for the store at the same time, per shard.
const PENDING_MAX: usize = 4_096;
/// Removed accounts remembered, per shard. A login that was under way when its account was removed ends long before so
/// many others are.
const REMOVED_MAX: usize = 1_024;

/// A command that waits for the store.
pub(crate) struct Pending {
    account: AccountId,
    record: Box<AccountRecord>,
    reply: Option<Reply>,
}

impl Shard {
    /// Brings a command to the owner of its account.
    pub(crate) fn command_to_owner(&mut self, ctx: &mut Context<'_>, command: Command) {
        let owner = self.desk.owner(command.account);
        if owner == self.desk.here {
            return self.with_account(ctx, command.account, Work::Command(Box::new(command)));
        }
        let envelope = Envelope::new(owner, Letter::Command(Box::new(command)));
        if let Err(Envelope { letter: Letter::Command(command), .. }) = ctx.wire.forward(envelope) {
            self.reply(ctx, command.reply, Err(Refusal::Overloaded));
        }
    }

    /// A command that a session's ad-hoc command gave.
    pub(crate) fn command_of(
        &mut self,
        ctx: &mut Context<'_>,
        session: SessionId,
        memo: Box<str>,
        command: Command,
    ) {
        let reply = Some(Reply::Session { place: self.desk.here, session, memo });
        self.command_to_owner(ctx, Command { reply, ..command });
    }

    /// Tells whoever waits what came of a command.
    pub(crate) fn reply(&mut self, ctx: &mut Context<'_>, reply: Option<Reply>, outcome: Outcome) {
        match reply {
            None => {}
            Some(Reply::Call(call)) => call(outcome),
            Some(Reply::Room { account, then }) => {
                self.in_room(ctx, account, |turn, account| then(turn, account, outcome));
            }
            Some(Reply::Session { place, session, memo }) if place == self.desk.here => {
                self.outcome(ctx, session, &memo, outcome);
            }
            Some(Reply::Session { place, session, memo }) => {
                self.reliably(ctx, place, Letter::Outcome { session, memo, outcome });
            }
        }
    }

    /// What came of a command that a session here has given.
    pub(crate) fn outcome(
        &mut self,
        ctx: &mut Context<'_>,
        session: SessionId,
        memo: &str,
        outcome: Outcome,
    ) {
        if let Some(account) = self.directory.account_of(session) {
            self.in_room(ctx, account, |turn, account| {
                commands::finished(turn, account, session, memo, outcome);
            });
        }
    }

    /// Carries a command out, its account being in memory.
    pub(crate) fn command_now(&mut self, ctx: &mut Context<'_>, command: Command) {
        let is_leaving = self.directory.present(command.account).is_some_and(|a| a.saving.is_leaving());
        if is_leaving {
            // Who asks for the number next waits until nothing is left, or until it stays after all.
            return self.defer(ctx, command);
        }
        let Command { account: id, action, reply } = command;
        let outcome = match action {
            Action::SetAccount { record, expected } => {
                return self.set_account(ctx, id, record, expected, reply);
            }
            Action::RemoveAccount => return self.remove_account(ctx, id, action, reply),
            Action::Leave => return self.leave(ctx, id, reply),
            Action::RemoveSilent { generation, seen_unix_ms } => {
                return self.remove_silent(ctx, id, (generation, seen_unix_ms), reply);
            }
            Action::Contacts => {
                let (want, answer) = (Want::Contacts, Answer::Contacts(reply));
                return self.book(ctx, Wish { account: id, want, answer });
            }
            Action::TellOfKey(key) => return self.tell_of_key(ctx, id, key, reply),
            Action::IfKey { generation, action } => return self.if_key(ctx, id, generation, action, reply),
            Action::RemoveMoved if self.is_moving(id) => return self.remove_account(ctx, id, action, reply),
            Action::RemoveMoved => Err(Refusal::NoSuchAccount),
            Action::Arrive { .. } => Err(Refusal::Conflict),
            Action::Book(change) => {
                let (want, answer) = (Want::Change(change), Answer::Command(reply));
                return self.book(ctx, Wish { account: id, want, answer });
            }
            Action::Privacy(change) => return self.privacy(ctx, id, change, reply),
            Action::ShowAccount => self.show(ctx, id),
            Action::ListSessions => self.list(id),
            Action::Kick { resource } => Ok(Done::Kicked(self.kick(ctx, id, resource.as_deref()))),
            // It has been made meanwhile, and that has cleared them.
            Action::ClearLeftovers => Ok(Done::Done),
        };
        self.reply(ctx, reply, outcome);
    }

    /// A command for an account that does not exist.
    pub(crate) fn command_for_nobody(&mut self, ctx: &mut Context<'_>, command: Command) {
        match command.action {
            Action::SetAccount { record, expected: Expected::Any | Expected::Absent } => {
                let making = Making { record, puts: None };
                self.clear_the_way(ctx, command.account, making, command.reply);
            }
            Action::Arrive { record, puts } => {
                let making = Making { record, puts: Some(puts) };
                self.clear_the_way(ctx, command.account, making, command.reply);
            }
            Action::ClearLeftovers => self.clear_leftovers(ctx, command.account, command.reply),
            _ => self.reply(ctx, command.reply, Err(Refusal::NoSuchAccount)),
        }
    }

    /// The way is clear for an account: its record and what comes with it are one transaction.
    pub(super) fn make_account(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        making: Making,
        reply: Option<Reply>,
    ) {
        let Making { mut record, puts } = making;
        self.outdate_removed(id, &mut record);
        let Some(mut puts) = puts else { return self.save_account(ctx, id, record, None, reply) };
        puts.push(Put { table: Table::Accounts, key: id.record_key(), value: Some(record.to_json()) });
        let key = self.commands.insert(Pending { account: id, record, reply });
        if self.commands.len() > PENDING_MAX {
            return self.command_saved(ctx, key, Err(StoreError::Overloaded));
        }
        ctx.store.put(id, puts, Purpose::Command(key).ticket());
    }

    /// An account is made in the place of one that was just removed: who has proved the old one's key and not bound
    /// yet must not get in, so the new key is of a later generation.
    fn outdate_removed(&mut self, id: AccountId, record: &mut AccountRecord) {
        let before = self.removed.iter().rev().find(|(removed, _)| *removed == id);
        if let Some(&(_, generation)) = before
            && record.credentials.generation <= generation
        {
            record.credentials.generation = generation.wrapping_add(1).max(1);
        }
    }

    fn set_account(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        mut record: Box<AccountRecord>,
        expected: Expected,
        reply: Option<Reply>,
    ) {
        let Some(account) = self.directory.present(id) else { return };
        if account.saving.has_record() {
            let action = Action::SetAccount { record, expected };
            return self.defer(ctx, Command { account: id, action, reply });
        }
        let is_expected = match expected {
            Expected::Any => true,
            Expected::Absent => false,
            Expected::Generation(generation) => account.record.generation() == generation,
        };
        if !is_expected || record.name != account.name() {
            return self.reply(ctx, reply, Err(Refusal::Conflict));
        }
        account.saving.change(|writes| writes.record = true);
        keep_tokens(account, &mut record);
        let revision = account.record_revision;
        self.save_account(ctx, id, record, Some(revision), reply);
    }

    /// Has a command wait until the write under way has ended.
    pub(super) fn defer(&mut self, ctx: &mut Context<'_>, command: Command) {
        let most = self.desk.realm.limits.parked_per_account;
        match self.directory.present(command.account) {
            Some(account) if account.saving.writes().is_some_and(|writes| writes.deferred.len() < most) => {
                account.saving.change(|writes| writes.deferred.push(command));
            }
            _ => self.reply(ctx, command.reply, Err(Refusal::Overloaded)),
        }
    }

    fn save_account(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        record: Box<AccountRecord>,
        expected: Option<Revision>,
        reply: Option<Reply>,
    ) {
        let value = Some(record.to_json());
        let key = self.commands.insert(Pending { account: id, record, reply });
        let ticket = Purpose::Command(key).ticket();
        if self.commands.len() > PENDING_MAX {
            return self.command_saved(ctx, key, Err(StoreError::Overloaded));
        }
        ctx.store.save(id, Table::Accounts, value, expected, ticket);
    }

    /// The store has saved what a command changed, or not.
    pub(crate) fn command_saved(
        &mut self,
        ctx: &mut Context<'_>,
        key: usize,
        result: Result<Revision, StoreError>,
    ) {
        let Some(Pending { account: id, mut record, reply }) = self.commands.try_remove(key) else { return };
        let is_new = self.directory.is_loading(id);
        if is_new {
            // The account is being made: what waited for it goes on once its records are read back.
            let load = self.directory.load_again(id);
            ctx.store.load(id, super::resident::TABLES, Purpose::Load(id, load).ticket());
        }
        if let Some(account) = self.directory.present(id) {
            account.saving.change(|writes| writes.record = false);
        }
        let outcome = match result {
            Ok(revision) => {
                if let Some(account) = self.directory.present(id) {
                    keep_tokens(account, &mut record);
                }
                self.replace_record(ctx, id, record, revision);
                if is_new {
                    self.tell_holders(ctx, id);
                }
                Ok(Done::Done)
            }
            Err(error) => {
                self.desk.metrics.saves_failed_total.inc();
                Err(refusal(&error))
            }
        };
        self.reply(ctx, reply, outcome);
        self.save_again(ctx, id);
        self.do_deferred(ctx, id);
    }

    /// Commands that waited for a write of the same account.
    pub(crate) fn do_deferred(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        let Some(account) = self.directory.present(id) else { return };
        if account.saving.writes().is_none() {
            return;
        }
        for command in account.saving.change(|writes| std::mem::take(&mut writes.deferred)) {
            self.with_account(ctx, id, Work::Command(Box::new(command)));
        }
    }

    /// Puts a newer record into the place of the one in memory, and ends sessions of the older key.
    pub(crate) fn replace_record(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        record: Box<AccountRecord>,
        revision: Revision,
    ) {
        let Some(account) = self.directory.present(id) else { return };
        let void = record.generation() != account.record.generation() || record.disabled;
        account.record = ResidentRecord::new(*record);
        account.record_revision = revision;
        if void {
            self.end_all(ctx, id, "the key was replaced");
            self.end_asked(ctx, id);
        }
    }

    /// Nothing of the account is left: it leaves memory, and whoever waited for its number goes on.
    pub(super) fn forget_account(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        self.end_all(ctx, id, "the account was removed");
        let Some(account) = self.directory.present(id) else { return };
        if self.removed.len() >= REMOVED_MAX {
            self.removed.pop_front();
        }
        self.removed.push_back((id, account.record.generation()));
        let deferred = account.saving.change(|writes| std::mem::take(&mut writes.deferred));
        self.directory.loaded(id, None);
        self.tell_holders(ctx, id);
        for command in deferred {
            self.with_account(ctx, id, Work::Command(Box::new(command)));
        }
    }

    fn show(&mut self, ctx: &Context<'_>, id: AccountId) -> Outcome {
        let account = self.directory.present(id).ok_or(Refusal::NoSuchAccount)?;
        let usage = ctx.store.usage(id);
        Ok(Done::Account {
            record: Box::new(account.full_record()),
            sessions: account.summaries(),
            waiting_messages: usage.messages,
            waiting_bytes: usage.bytes,
        })
    }

    fn privacy(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        change: Option<PrivacyChange>,
        reply: Option<Reply>,
    ) {
        // Never a session's: it has its own command, which needs no other owner.
        let Some(Reply::Call(call)) = reply else { return };
        self.in_room(ctx, id, |turn, account| match change {
            None => call(Ok(Done::Privacy(privacy::view(account)))),
            Some(PrivacyChange { patch, whole }) => {
                privacy::patch(turn, patch, whole, |_, account, result| {
                    call(result.map(|()| Done::Privacy(privacy::view(account))).map_err(Refusal::from));
                });
            }
        });
    }

    fn list(&mut self, id: AccountId) -> Outcome {
        let account = self.directory.present(id).ok_or(Refusal::NoSuchAccount)?;
        Ok(Done::Sessions(account.summaries()))
    }

    fn kick(&mut self, ctx: &mut Context<'_>, id: AccountId, resource: Option<&str>) -> usize {
        let Some(account) = self.directory.present(id) else { return 0 };
        let kicked: Vec<SessionId> = account
            .sessions
            .iter()
            .filter(|session| resource.is_none_or(|resource| *session.resource == *resource))
            .map(|session| session.id)
            .collect();
        for session in &kicked {
            self.end_session(ctx, id, *session, &End::over("policy-violation", "ended by an operator"));
        }
        kicked.len()
    }
}

/// Whoever replaces a record does not know of the tokens given or used since it was read. With another key none is good.
fn keep_tokens(account: &Account, record: &mut AccountRecord) {
    let is_same_key = record.generation() == account.record.generation();
    record.tokens = account.record.tokens().filter(|_| is_same_key).cloned().unwrap_or_default();
}

pub(super) fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::Conflict => Refusal::Conflict,
        StoreError::Overloaded => Refusal::Overloaded,
        StoreError::Full | StoreError::MailboxFull | StoreError::Failed(_) => {
            Refusal::Unavailable(error.to_string())
        }
    }
}
