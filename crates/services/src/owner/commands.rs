//! Carries out commands (from HTTP, the admin socket, rooms and other shards) at the owner of their account, and answers them.

use crate::account::Account;
use crate::account::record::AccountRecord;
use crate::account::resident::ResidentRecord;
use crate::account::session::End;
use crate::account::settings;
use crate::account::shows;
use crate::changes::settings as settings_change;
use crate::effects::turn::command::reply::Kept;
use crate::effects::turn::command::{
    AccountView, Action, Arrive, ClearLeftovers, Command, DumpAccount, DumpShard, Expected, Kick, Kicked,
    Leave, ListSessions, PrivacyChange, Refusal, RemoveMoved, Reply, SetAccount, SetPrivacy, ShowAccount,
    ShowContacts, Trace, Whom,
};
use crate::effects::turn::contact_sync::{Answer, SyncRequest, SyncWork};
use crate::effects::turn::outbox::Post;
use crate::owner::context::Context;
use crate::owner::directory::Resident;
use crate::owner::directory::Work;
use crate::owner::ledger::{Replacing, UnderWay};
use crate::owner::state::Owner;
use crate::owner::state::pending::Pending;
use crate::owner::state::removals::Making;
use crate::owner::transactions::Progress;
use crate::ticket::Purpose;
use crate::wire::SessionId;
use chaski_store::records::Put;
use chaski_store::{AccountId, Revision, StoreError, Table};

/// Most commands of one shard that wait for the store at the same time.
const PENDING_MAX: usize = 4_096;
/// How many removed accounts a shard remembers. A login that was under way when its account was removed ends long before so many
/// others are removed.
const REMOVED_MAX: usize = 1_024;

impl Owner {
    /// Brings a command to the owner of its account.
    pub(crate) fn command_to_owner(&mut self, ctx: &mut Context<'_>, command: Command) {
        let account = command.whom.account;
        let owner = self.desk.owner(account);
        if owner != self.desk.here {
            return self.ask(ctx, owner, command);
        }
        self.with_account(ctx, account, Work::Command(Box::new(command)));
    }

    /// Answers a command.
    pub(crate) fn reply<T: Kept>(
        &mut self,
        ctx: &mut Context<'_>,
        reply: Reply<T>,
        outcome: Result<T, Refusal>,
    ) {
        self.tell_due(ctx, reply.with(outcome));
    }

    /// Refuses a command.
    pub(crate) fn refuse_command(&mut self, ctx: &mut Context<'_>, command: Command, refusal: Refusal) {
        self.tell_due(ctx, command.action.refused(refusal));
    }

    /// Carries a command out for an account that is in memory.
    pub(crate) fn command_now(&mut self, ctx: &mut Context<'_>, command: Command) {
        let id = command.whom.account;
        let Some(account) = self.directory.present(id) else {
            return self.refuse_command(ctx, command, Refusal::NoSuchAccount);
        };
        if account.ledger.is_leaving() || is_key_unsettled(account, &command) {
            // A command that comes during a removal waits until nothing of the account is left, or until it is decided that the
            // account stays.
            return self.defer(ctx, command);
        }
        if command.whom.key.is_some_and(|generation| account.record.generation() != generation) {
            return self.refuse_command(ctx, command, Refusal::NoSuchAccount);
        }
        match command.action {
            Action::SetAccount(request, reply) => self.set_account(ctx, id, request, reply),
            Action::RemoveAccount(request, reply) => self.remove_account(ctx, id, request, reply),
            Action::Leave(Leave, reply) => self.leave(ctx, id, reply),
            Action::RemoveSilent(request, reply) => self.remove_silent(ctx, id, request, reply),
            Action::Contacts(ShowContacts, reply) => {
                let (want, answer) = (SyncWork::Contacts, Answer::Contacts(reply));
                self.book(ctx, SyncRequest { account: id, want, answer });
            }
            Action::TellOfKey(key, reply) => self.tell_of_key(ctx, id, key, reply),
            Action::RemoveMoved(request, reply) if self.is_moving(id) => {
                self.remove_account(ctx, id, request, reply);
            }
            Action::RemoveMoved(RemoveMoved, reply) => self.reply(ctx, reply, Err(Refusal::NoSuchAccount)),
            Action::Arrive(Arrive { .. }, reply) => self.reply(ctx, reply, Err(Refusal::Conflict)),
            Action::Book(change, reply) => {
                let (want, answer) = (SyncWork::Change(change), Answer::Command(reply));
                self.book(ctx, SyncRequest { account: id, want, answer });
            }
            Action::Privacy(SetPrivacy(change), reply) => self.privacy(ctx, id, change, reply),
            Action::ShowAccount(ShowAccount, reply) => {
                let shown = self.show(ctx, id);
                self.reply(ctx, reply, shown);
            }
            Action::ListSessions(ListSessions, reply) => {
                let sessions = self.directory.present(id).map(|account| account.summaries());
                self.reply(ctx, reply, sessions.ok_or(Refusal::NoSuchAccount));
            }
            Action::Kick(Kick { resource }, reply) => {
                let sessions = self.kick(ctx, id, resource.as_deref());
                self.reply(ctx, reply, Ok(Kicked { sessions }));
            }
            Action::Trace(Trace { after }, reply) => {
                let page = self.desk.traces.since(id, after, ctx.now_ms);
                self.reply(ctx, reply, Ok(page));
            }
            Action::DumpAccount(DumpAccount, reply) => {
                let dumped = self.dump_account(ctx, id);
                self.reply(ctx, reply, dumped);
            }
            Action::DumpShard(DumpShard, reply) => {
                let dumped = self.dump_shard();
                self.reply(ctx, reply, Ok(dumped));
            }
            // The account has been made meanwhile, which has cleared the leftovers.
            Action::ClearLeftovers(ClearLeftovers, reply) => self.reply(ctx, reply, Ok(())),
        }
    }

    /// A command for an account that does not exist.
    pub(crate) fn command_for_nobody(&mut self, ctx: &mut Context<'_>, command: Command) {
        let Whom { account: id, key } = command.whom;
        match command.action {
            action if key.is_some() => self.tell_due(ctx, action.refused(Refusal::NoSuchAccount)),
            Action::SetAccount(SetAccount { record, expected: Expected::Any | Expected::Absent }, reply) => {
                self.clear_the_way(ctx, id, Making { record, puts: None }, reply)
            }
            Action::Arrive(Arrive { record, puts }, reply) => {
                self.clear_the_way(ctx, id, Making { record, puts: Some(puts) }, reply);
            }
            Action::ClearLeftovers(ClearLeftovers, reply) => self.clear_leftovers(ctx, id, reply),
            Action::DumpShard(DumpShard, reply) => {
                let dumped = self.dump_shard();
                self.reply(ctx, reply, Ok(dumped));
            }
            action => self.tell_due(ctx, action.refused(Refusal::NoSuchAccount)),
        }
    }

    /// Nothing is left under the number: makes the account by one transaction of its record and what comes with it.
    pub(crate) fn make_account(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        making: Making,
        reply: Reply<()>,
    ) {
        let Making { mut record, puts } = making;
        self.outdate_removed(id, &mut record);
        let value = Some(record.to_json());
        let key = self.commands.insert(Pending { account: id, reply });
        let ticket = Purpose::Command(key).ticket();
        if self.commands.len() > PENDING_MAX {
            return self.command_saved(ctx, key, Err(StoreError::Overloaded));
        }
        match puts {
            Some(mut puts) => {
                puts.push(Put { table: Table::ACCOUNTS, key: id.record_key(), value });
                ctx.store.put(id, puts, ticket);
            }
            // The save succeeds only if there is no record: somebody may have imported the account while no server was running.
            None => ctx.store.save(id, Table::ACCOUNTS, value, None, ticket),
        }
    }

    /// The new key of an account that was just removed gets a later generation than the old one: a client that has proved the old
    /// key and not bound yet must not get in.
    fn outdate_removed(&mut self, id: AccountId, record: &mut AccountRecord) {
        let before = self.removed.iter().rev().find(|(removed, _)| *removed == id);
        if let Some(&(_, generation)) = before
            && record.credentials.generation <= generation
        {
            record.credentials.generation = generation.wrapping_add(1).max(1);
        }
    }

    fn set_account(&mut self, ctx: &mut Context<'_>, id: AccountId, request: SetAccount, reply: Reply<()>) {
        let most = self.desk.realm.limits.parked_per_account;
        let SetAccount { record, expected } = request;
        match self.directory.present(id) {
            None => self.reply(ctx, reply, Err(Refusal::NoSuchAccount)),
            Some(account) if account.ledger.entries().is_some_and(|entries| entries.waiting() >= most) => {
                self.reply(ctx, reply, Err(Refusal::Overloaded));
            }
            Some(account) => {
                account.ledger.add_replacing(Replacing { record, expected, reply });
                self.advance(ctx, id);
            }
        }
    }

    /// The turn of a replacing record in the account's ledger has come.
    pub(crate) fn begin_replacing(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        mut replacing: Box<Replacing>,
    ) -> Progress {
        let Some(account) = self.at_work(id) else { return Progress::Over };
        let is_expected = match replacing.expected {
            Expected::Any => true,
            Expected::Absent => false,
            Expected::Generation(generation) => account.record.generation() == generation,
        };
        if !is_expected || replacing.record.name != account.name() {
            self.reply(ctx, replacing.reply, Err(Refusal::Conflict));
            return Progress::Over;
        }
        keep_tokens(account, &mut replacing.record);
        let value = Some(replacing.record.to_json());
        let ticket = self.wait(id, UnderWay::Replacing(replacing));
        ctx.store.put(id, vec![Put { table: Table::ACCOUNTS, key: id.record_key(), value }], ticket);
        Progress::Waits
    }

    /// The store has written the replacing record, or failed to.
    pub(crate) fn replaced(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        replacing: Replacing,
        result: Result<(), StoreError>,
    ) {
        let Replacing { mut record, reply, .. } = replacing;
        let outcome = match result {
            Ok(()) => {
                if let Some(account) = self.directory.present(id) {
                    keep_tokens(account, &mut record);
                }
                self.replace_record(ctx, id, record);
                Ok(())
            }
            Err(error) => {
                self.desk.metrics.saves_failed_total.inc();
                Err(refusal(&error))
            }
        };
        self.reply(ctx, reply, outcome);
    }

    /// Has a command wait until nothing in the account's ledger is in its way.
    pub(crate) fn defer(&mut self, ctx: &mut Context<'_>, command: Command) {
        let most = self.desk.realm.limits.parked_per_account;
        match self.directory.present(command.whom.account) {
            Some(account) if account.ledger.entries().is_some_and(|writes| writes.deferred.len() < most) => {
                account.ledger.change(|writes| writes.deferred.push(command));
            }
            _ => self.refuse_command(ctx, command, Refusal::Overloaded),
        }
    }

    /// The store has written the record of a new account, or failed to.
    pub(crate) fn command_saved(
        &mut self,
        ctx: &mut Context<'_>,
        key: usize,
        result: Result<Revision, StoreError>,
    ) {
        let Some(Pending { account: id, reply }) = self.commands.try_remove(key) else { return };
        if self.directory.is_loading(id) {
            // Work that waited for the account goes on once its records have been read back.
            let load = self.directory.load_again(id);
            ctx.store.load(id, super::directory::TABLES, Purpose::Load(id, load).ticket());
        }
        let outcome = match result {
            Ok(_) => {
                self.tell_holders(ctx, id);
                Ok(())
            }
            Err(error) => {
                self.desk.metrics.saves_failed_total.inc();
                Err(refusal(&error))
            }
        };
        self.reply(ctx, reply, outcome);
    }

    /// Carries out the commands that waited for the account's ledger.
    pub(crate) fn do_deferred(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        let Some(account) = self.at_work(id) else { return };
        if account.ledger.entries().is_none() {
            return;
        }
        for command in account.ledger.change(|writes| std::mem::take(&mut writes.deferred)) {
            self.with_account(ctx, id, Work::Command(Box::new(command)));
        }
    }

    /// Puts a newer record into the place of the one in memory, and ends the sessions if its key is another one.
    pub(crate) fn replace_record(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        record: Box<AccountRecord>,
    ) {
        let Some(account) = self.at_work(id) else { return };
        let void = record.generation() != account.record.generation() || record.disabled;
        account.record = ResidentRecord::new(*record);
        if void {
            self.end_all(ctx, id, "the key was replaced");
            self.end_asked(ctx, id);
        }
    }

    /// Nothing of a removed account is left in the store: drops it from memory, and goes on with commands that waited for its
    /// number.
    pub(crate) fn forget_account(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        self.end_all(ctx, id, "the account was removed");
        let Some(account) = self.at_work(id) else { return };
        let generation = account.record.generation();
        let deferred = account.ledger.change(|entries| std::mem::take(&mut entries.deferred));
        if self.removed.len() >= REMOVED_MAX {
            self.removed.pop_front();
        }
        self.removed.push_back((id, generation));
        self.directory.loaded(id, None);
        self.tell_holders(ctx, id);
        for command in deferred {
            self.with_account(ctx, id, Work::Command(Box::new(command)));
        }
    }

    fn show(&mut self, ctx: &Context<'_>, id: AccountId) -> Result<AccountView, Refusal> {
        let account = self.directory.present(id).ok_or(Refusal::NoSuchAccount)?;
        let usage = ctx.store.usage(id);
        Ok(AccountView {
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
        reply: Reply<settings::View>,
    ) {
        let Some(PrivacyChange { patch, whole }) = change else {
            let view = self.directory.present(id).map(|account| shows::view(account));
            return self.reply(ctx, reply, view.ok_or(Refusal::NoSuchAccount));
        };
        self.in_room(ctx, id, |turn, _| {
            settings_change::patch(turn, patch, whole, |turn, account, result| {
                let outcome = result.map(|()| shows::view(account)).map_err(Refusal::from);
                turn.outbox.posts.push(Post::Due(reply.with(outcome)));
            });
        });
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

/// Whether the command depends on the account's key while another key may be on its way to the disk. A removal waits for all
/// changes: it would otherwise be let through by one key and carried out under another.
fn is_key_unsettled(account: &Resident, command: &Command) -> bool {
    command.whom.key.is_some()
        && match command.action {
            Action::RemoveAccount(..) => account.ledger.is_busy(),
            _ => account.ledger.has_record(),
        }
}

/// A record that replaces another was made without knowledge of the tokens that were given or used since. With another key none
/// of them is good.
fn keep_tokens(account: &Account, record: &mut AccountRecord) {
    let is_same_key = record.generation() == account.record.generation();
    record.tokens = account.record.tokens().filter(|_| is_same_key).cloned().unwrap_or_default();
}

pub(crate) fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::Conflict => Refusal::Conflict,
        StoreError::Overloaded => Refusal::Overloaded,
        StoreError::Full | StoreError::MailboxFull | StoreError::Failed(_) => {
            Refusal::Unavailable(error.to_string())
        }
    }
}
