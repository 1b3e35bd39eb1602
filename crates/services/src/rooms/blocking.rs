//! Blocking: the JIDs from which an account accepts nothing, and what becomes of stanzas between the account and these.
//!
//! XEP-0191. The block list is part of the account's [`crate::account::settings::Settings`], and [`crate::account::blocked`]
//! matches JIDs with it. This room answers the commands that change the list, and takes reports (XEP-0377, [`report`]).
//!
//! Promises: a change is durable before anybody sees it. A blocked sender gets, for each kind of stanza, exactly what a stranger
//! gets of an account that is away and shows strangers nothing: messages are accepted and dropped; other stanzas get the errors
//! and the silence of a number without an account (docs/promises.md, P2; `plays/strangers.rs`). An error that the server itself
//! writes in a blocked account's name, for a message that was sent before, still arrives: no message may be lost unnoticed.
//! Messages that were accepted before the block are delivered.
//!
//! A full JID on the list drops what comes from that resource only. Broadcast presence goes to an account and so to all its
//! resources: to hide it, the bare JID has to be blocked.

mod query;
mod report;

pub use report::{Report, Reports};

use crate::account::Account;
use crate::account::blocks::BlockList;
use crate::account::blocks::Entry;
use crate::account::shows;
use crate::changes::settings as settings_change;
use crate::changes::settings::{Draft, Refused};
use crate::effects::iq::{Door, Reply, Request, Scope, Xep};
use crate::effects::turn::Turn;
use crate::wire::SessionId;
use chaski_store::Table;
use chaski_store::records::Put;
use chaski_xmpp::{Header, Kind, ns, write};
use query::{Query, payload};
use report::Complaint;

/// What accounts have reported to the operator, one document by the reporter's key.
pub const REPORTS: Table = Table::new("reports");

/// What this room implements.
pub const SPEC: &[Xep] =
    &[Xep::new(191, "1.3", "Blocking Command", &[(Scope::Domain, ns::BLOCKING)]), report::XEP];

chaski_telemetry::metrics! {
    /// What is counted of reports.
    pub(crate) struct BlockingMetrics("chaski_rooms") {
        /// Reports to the operator (XEP-0377) that were kept.
        reports_total: Counter,
    }
}

/// Its door: an account's own sessions.
pub(crate) const DOORS: &[Door] = &[Door { ns: ns::BLOCKING, owner: Some(asked), other: None, domain: None }];

/// A command of one of the account's sessions.
fn asked(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    request: &Request<'_>,
    reply: Reply,
) {
    match Query::read(request.is_get, &request.child, &account.bare) {
        Err(condition) => reply.error(turn.outbox, condition),
        Ok(Query::List) => {
            if let Some(session) = account.session_mut(session) {
                session.presence.set_watches_blocks();
            }
            reply.result(turn.outbox, &list(account));
        }
        Ok(Query::Block(items)) => block(turn, account, items, reply),
        Ok(Query::Unblock(entries)) => {
            let push = payload("unblock", entries.iter().cloned(), &turn.realm.domain);
            let edit = move |draft: &mut Draft| {
                entries.iter().for_each(|entry| _ = draft.settings.blocks.remove(entry));
                Ok(())
            };
            settings_change::change(turn, Vec::new(), edit, move |turn, account, result| {
                answer(turn, account, reply, result, &push);
            });
        }
        Ok(Query::UnblockAll) => {
            let edit = |draft: &mut Draft| {
                draft.settings.blocks = BlockList::default();
                Ok(())
            };
            let push = payload("unblock", std::iter::empty(), &turn.realm.domain);
            settings_change::change(turn, Vec::new(), edit, move |turn, account, result| {
                answer(turn, account, reply, result, &push);
            });
        }
    }
}

fn list(account: &Account) -> Vec<u8> {
    let entries = account.settings.iter().flat_map(|settings| settings.blocks.entries());
    payload("blocklist", entries, shows::domain(account))
}

fn block(turn: &mut Turn<'_>, account: &Account, items: Vec<(Entry, Option<Complaint>)>, reply: Reply) {
    let push = payload("block", items.iter().map(|(entry, _)| entry.clone()), &turn.realm.domain);
    let (mut entries, mut reports) = (Vec::with_capacity(items.len()), Vec::new());
    for (entry, complaint) in items {
        if let Some(complaint) = complaint {
            let reporter = account.name().to_string();
            let uploads = turn.realm.uploads.as_deref();
            reports.push(complaint.into_report(turn.unix_ms, reporter, entry.to_document(), uploads));
        }
        entries.push(entry);
    }
    let key = (REPORTS, account.id.record_key());
    let reads = if reports.is_empty() { Vec::new() } else { vec![key.clone()] };
    let kept = reports.clone();
    let edit = move |draft: &mut Draft| {
        for entry in entries {
            draft.settings.blocks.add(entry).map_err(|full| Refused::Full(full.to_string()))?;
        }
        keep_reports(draft, key, kept);
        Ok(())
    };
    settings_change::change(turn, reads, edit, move |turn, account, result| {
        if result.is_ok() {
            turn.metrics.of::<BlockingMetrics>().reports_total.add(reports.len() as u64);
            report::log(&reports, account.id);
        }
        answer(turn, account, reply, result, &push);
    });
}

fn keep_reports(draft: &mut Draft, key: (Table, String), new: Vec<Report>) {
    if new.is_empty() {
        return;
    }
    let known = draft.found.first().and_then(Option::as_ref).map(|found| &*found.value);
    let mut reports = Reports::from_document(known);
    reports.add(new);
    draft.puts.push(Put { table: key.0, key: key.1, value: Some(reports.to_document()) });
}

/// Answers the client, and shows the change to every session that has asked for the list (§5.3).
fn answer(turn: &mut Turn<'_>, account: &Account, reply: Reply, result: Result<(), Refused>, payload: &[u8]) {
    if let Err(refused) = result {
        return reply.error(turn.outbox, refused.error());
    }
    reply.result(turn.outbox, b"");
    let id = format!("block-{:08x}", turn.rng.next_u32());
    for session in account.sessions.iter().filter(|session| session.presence.watches_blocks()) {
        let to = account.full_jid(session);
        let header = Header { from: None, to: Some(&to), id: Some(&id), type_attr: Some("set") };
        let mut out = Vec::with_capacity(payload.len() + 96);
        write::stanza(&mut out, Kind::Iq, &header, payload);
        turn.outbox.to_session(session.id, out);
    }
}
