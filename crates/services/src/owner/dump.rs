//! What a shard has in memory of one account, and of all accounts together, for an operator (`chaski ctl dump`). No message
//! content, and no contacts.

use crate::account::session::{Progress, Session};
use crate::effects::turn::command::{Dumped, Refusal};
use crate::owner::context::Context;
use crate::owner::directory::Resident;
use crate::owner::ledger::Entries;
use crate::owner::state::Owner;
use chaski_store::AccountId;
use serde_json::{Value, json};

impl Owner {
    /// Dumps one account, which is in memory.
    pub(crate) fn dump_account(&mut self, ctx: &Context<'_>, id: AccountId) -> Result<Dumped, Refusal> {
        let limits = &self.desk.realm.limits;
        let account = self.directory.present(id).ok_or(Refusal::NoSuchAccount)?;
        let usage = ctx.store.usage(id);
        let sessions: Vec<Value> =
            account.sessions.iter().map(|session| session_of(session, session.is_gated(limits))).collect();
        let dump = json!({
            "shard": self.desk.index.0,
            "mailbox": { "messages": usage.messages, "bytes": usage.bytes },
            "sessions": sessions,
            "ledger": account.ledger.entries().map(|entries| ledger_of(account, entries)),
            "disabled": account.record.disabled,
            "key_generation": account.record.generation(),
            "contacts": account.roster.items().len(),
            "has_settings": account.settings.is_some(),
            "nodes": account.nodes.as_ref().map_or(0, |nodes| nodes.iter().count()),
        });
        Ok(Dumped(dump.to_string()))
    }

    /// Dumps the totals of this shard.
    pub(crate) fn dump_shard(&self) -> Dumped {
        let (resident, loading) = self.directory.levels();
        let (parked, parked_bytes) = self.directory.room.level();
        let level = self.desk.outgoing.level();
        let dump = json!({
            "shard": self.desk.index.0,
            "accounts": { "resident": resident, "loading": loading, "looks_waiting": self.directory.waiting() },
            "parked": { "stanzas": parked, "bytes": parked_bytes },
            "sessions": self.desk.metrics.sessions.get(),
            "sessions_hibernating": self.desk.metrics.sessions_hibernating.get(),
            "messages_in_flight": self.desk.in_flight.len(),
            "presence_waiting": { "recipients": self.desk.lines.recipients(), "bytes_behind": self.desk.lines.bytes() },
            "notifications_waiting": self.desk.pep_notifications.len(),
            "refusals_late": self.desk.late.len(),
            "late_bytes": self.desk.metrics.late_bytes.get(),
            "links": {
                "waiting": self.desk.outgoing.waiting(), "kept": level.kept, "kept_bytes": level.bytes, "silent": level.silent,
            },
            "commands": self.commands.len(),
            "records_saving": self.desk.records_saving,
            "accounts_in_debt": self.desk.budgets.len(),
        });
        Dumped(dump.to_string())
    }
}

fn session_of(session: &Session, is_gated: bool) -> Value {
    let (progress, after) = match session.progress {
        Progress::Live => ("live", None),
        Progress::Behind(after) => ("behind", Some(after.0)),
        Progress::Reading { after, .. } => ("reading", Some(after.0)),
    };
    json!({
        "session": session.id.0,
        "connected": session.conn.is_some(),
        "hibernates_until_ms": session.hibernates_until_ms(),
        "stream_management": session.managed.is_some(),
        "resumable": session.is_resumable(),
        "unsettled_stanzas": session.managed.as_ref().map(|managed| managed.inbound.held()),
        "handled": session.managed.as_ref().map(|managed| managed.inbound.h()),
        "queue": {
            "stanzas": session.queue.len(),
            "messages": session.mail_waiting,
            "message_bytes": session.mail_bytes,
            "other_bytes": session.other_bytes,
        },
        "mailbox": { "progress": progress, "read_up_to": after },
        "gate_shut": is_gated,
        "inactive": session.is_inactive(),
        "available": session.presence.is_available(),
        "takes_messages": session.presence.takes_messages(),
        "priority": session.presence.priority(),
    })
}

/// The changes of the account that are under way or wait.
fn ledger_of(account: &Resident, entries: &Entries) -> Value {
    json!({
        "changes": account.ledger.busy().errands,
        "waiting": entries.waiting(),
        "roster": entries.has_roster(),
        "record": entries.has_record(),
        "phone_book": entries.book,
        "removing": entries.removing.is_some(),
        "commands_deferred": entries.deferred.len(),
    })
}
