//! Commands, carried out by the owner of the account they name, and their outcomes on the way back.

use crate::accounts::{AccountRecord, ResidentRecord};
use crate::book::{Answer, Refused, Want, Wish};
use crate::command::{Action, Command, Done, Expected, Outcome, PrivacyChange, Refusal, Reply};
use crate::context::Context;
use crate::directory::{Account, Work};
use crate::router::{Envelope, Letter};
use crate::session::End;
use crate::shard::Shard;
use crate::ticket::Purpose;
use crate::wire::SessionId;
use crate::{commands, presence, privacy};
use chaski_store::records::Put;
use chaski_store::{AccountId, Revision, StoreError, Table, Ticket};

/// Commands that wait for the store at the same time, per shard.
const PENDING_MAX: usize = 4_096;
/// Removed accounts remembered, per shard. A login that was under way when its account was removed ends long before so
/// many others are.
const REMOVED_MAX: usize = 1_024;

/// A command that waits for the store.
pub(crate) struct Pending {
    account: AccountId,
    change: Change,
    reply: Option<Reply>,
}

enum Change {
    Set(Box<AccountRecord>),
    Remove,
}

impl Shard {
    /// Brings a command to the owner of its account.
    pub(crate) fn command_to_owner(&mut self, ctx: &mut Context<'_>, command: Command) {
        let owner = command.account.shard(self.desk.realm.shards);
        if owner == self.desk.index {
            return self.with_account(ctx, command.account, Work::Command(Box::new(command)));
        }
        if let Err(Envelope(letter)) = ctx.wire.forward(owner, Envelope(Letter::Command(Box::new(command))))
            && let Letter::Command(command) = letter
        {
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
        let reply = Some(Reply::Session { shard: self.desk.index, session, memo });
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
            Some(Reply::Session { shard, session, memo }) if shard == self.desk.index => {
                self.outcome(ctx, session, &memo, outcome);
            }
            Some(Reply::Session { shard, session, memo }) => {
                self.reliably(ctx, shard, Letter::Outcome { session, memo, outcome });
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
        let Command { account: id, action, reply } = command;
        let outcome = match action {
            Action::SetAccount { record, expected } => {
                return self.set_account(ctx, id, record, expected, reply);
            }
            Action::RemoveAccount => return self.remove_account(ctx, id, reply),
            Action::Leave => return self.leave(ctx, id, reply),
            Action::RemoveMoved if self.is_moving(id) => return self.remove_account(ctx, id, reply),
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
            Action::Reload => {
                ctx.store.load(id, super::resident::TABLES, Purpose::Load(id).ticket());
                // An import may have made it.
                self.tell_holders(ctx, id);
                Ok(Done::Done)
            }
        };
        self.reply(ctx, reply, outcome);
    }

    /// A command for an account that does not exist.
    pub(crate) fn command_for_nobody(&mut self, ctx: &mut Context<'_>, command: Command) {
        match command.action {
            Action::SetAccount { mut record, expected: Expected::Any | Expected::Absent } => {
                self.clear_the_way(ctx, command.account, &mut record);
                self.save_account(ctx, command.account, Change::Set(record), None, command.reply);
            }
            Action::Arrive { mut record, puts } => {
                self.clear_the_way(ctx, command.account, &mut record);
                self.save_arrival(ctx, command.account, record, puts, command.reply);
            }
            Action::Reload => self.reply(ctx, command.reply, Ok(Done::Done)),
            _ => self.reply(ctx, command.reply, Err(Refusal::NoSuchAccount)),
        }
    }

    /// An account is going to be made where none is.
    fn clear_the_way(&mut self, ctx: &mut Context<'_>, id: AccountId, record: &mut AccountRecord) {
        self.outdate_removed(id, record);
        // A crash may have kept a removed account's messages from being purged: they are not this one's.
        if ctx.store.usage(id).messages > 0 {
            ctx.store.purge(id, Ticket(0));
        }
        self.directory.hold_back(id);
    }

    /// Its record and what comes with it are one transaction.
    fn save_arrival(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        record: Box<AccountRecord>,
        mut puts: Vec<Put>,
        reply: Option<Reply>,
    ) {
        puts.push(Put { table: Table::Accounts, key: id.record_key(), value: Some(record.to_json()) });
        let key = self.commands.insert(Pending { account: id, change: Change::Set(record), reply });
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
        self.save_account(ctx, id, Change::Set(record), Some(revision), reply);
    }

    fn remove_account(&mut self, ctx: &mut Context<'_>, id: AccountId, reply: Option<Reply>) {
        let Some(account) = self.directory.present(id) else { return };
        if account.saving.is_busy() {
            return self.defer(ctx, Command { account: id, action: Action::RemoveAccount, reply });
        }
        // From here on nobody logs in.
        let was_disabled = std::mem::replace(&mut account.record.disabled, true);
        account.saving.change(|writes| {
            writes.record = true;
            writes.removing = Some(was_disabled);
        });
        // The phone book goes first: whatever happens in between, nobody who gets this number later inherits it.
        self.book(ctx, Wish { account: id, want: Want::Remove, answer: Answer::Removal(reply) });
    }

    /// The phone book of an account to be removed is gone, or not.
    pub(crate) fn book_dropped(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        reply: Option<Reply>,
        refused: Option<Refused>,
    ) {
        let Some(account) = self.directory.present(id) else {
            return self.reply(ctx, reply, Err(Refusal::NoSuchAccount));
        };
        if let Some(refused) = refused {
            stay(account);
            account.saving.change(|writes| writes.record = false);
            self.reply(ctx, reply, Err(refused.into()));
            self.save_again(ctx, id);
            return self.do_deferred(ctx, id);
        }
        let revision = account.record_revision;
        // So does the roster.
        if let Some(revision) = account.roster_revision.take() {
            ctx.store.save(id, Table::Rosters, None, Some(revision), Ticket(0));
        }
        ctx.store.put(id, leftovers(account), Ticket(0));
        self.save_account(ctx, id, Change::Remove, Some(revision), reply);
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
        change: Change,
        expected: Option<Revision>,
        reply: Option<Reply>,
    ) {
        let value = match &change {
            Change::Set(record) => Some(record.to_json()),
            Change::Remove => None,
        };
        let key = self.commands.insert(Pending { account: id, change, reply });
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
        let Some(Pending { account: id, change, reply }) = self.commands.try_remove(key) else { return };
        let is_new = self.directory.is_loading(id);
        if is_new {
            // The account is being made: what waited for it goes on once its records are read back.
            ctx.store.load(id, super::resident::TABLES, Purpose::Load(id).ticket());
        }
        if let Some(account) = self.directory.present(id) {
            account.saving.change(|writes| writes.record = false);
        }
        let outcome = match (result, change) {
            (Ok(revision), Change::Set(mut record)) => {
                if let Some(account) = self.directory.present(id) {
                    keep_tokens(account, &mut record);
                }
                self.replace_record(ctx, id, record, revision);
                if is_new {
                    self.tell_holders(ctx, id);
                }
                Ok(Done::Done)
            }
            (Ok(_), Change::Remove) => {
                // Whoever asked in band hears it before the stream ends.
                self.reply(ctx, reply, Ok(Done::Done));
                return self.forget_account(ctx, id);
            }
            (Err(error), change) => {
                if let (Change::Remove, Some(account)) = (change, self.directory.present(id)) {
                    stay(account);
                }
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
        }
    }

    /// The account's record is gone: so are its sessions, roster and mailbox.
    pub(crate) fn forget_account(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        self.end_all(ctx, id, "the account was removed");
        self.in_room(ctx, id, presence::removing);
        let Some(account) = self.directory.present(id) else { return };
        if let Some(revision) = account.roster_revision {
            // Changed while the removal was being written. Nobody waits for it.
            ctx.store.save(id, Table::Rosters, None, Some(revision), Ticket(0));
        }
        ctx.store.purge(id, Ticket(0));
        if self.removed.len() >= REMOVED_MAX {
            self.removed.pop_front();
        }
        self.removed.push_back((id, account.record.generation()));
        let deferred = account.saving.change(|writes| std::mem::take(&mut writes.deferred));
        self.directory.loaded(id, None);
        self.tell_holders(ctx, id);
        for command in deferred {
            self.reply(ctx, command.reply, Err(Refusal::NoSuchAccount));
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

/// An account could not be removed: it is as it was, switched off if an operator had done that.
fn stay(account: &mut Account) {
    if let Some(was_disabled) = account.saving.change(|writes| writes.removing.take()) {
        account.record.disabled = was_disabled;
    }
}

/// What an account leaves besides its record, roster and mailbox.
fn leftovers(account: &Account) -> Vec<Put> {
    let key = account.id.record_key();
    let own = [Table::Settings, Table::Nodes, Table::Reports].map(|table| (table, key.clone()));
    let items = account.nodes.as_ref().map(|nodes| nodes.item_keys(&key)).unwrap_or_default();
    let items = items.into_iter().map(|key| (Table::Items, key));
    own.into_iter().chain(items).map(|(table, key)| Put { table, key, value: None }).collect()
}

/// Whoever replaces a record does not know of the tokens given or used since it was read. With another key none is good.
fn keep_tokens(account: &Account, record: &mut AccountRecord) {
    let is_same_key = record.generation() == account.record.generation();
    record.tokens = account.record.tokens().filter(|_| is_same_key).cloned().unwrap_or_default();
}

fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::Conflict => Refusal::Conflict,
        StoreError::Overloaded => Refusal::Overloaded,
        StoreError::Full | StoreError::MailboxFull | StoreError::Failed(_) => {
            Refusal::Unavailable(error.to_string())
        }
    }
}
