//! Small queries about an entity: ping, software version, entity time, last activity.
//!
//! XEP-0199, XEP-0092, XEP-0202, XEP-0012. Pure: payloads from the realm, the clock and the account.

use crate::account::Account;
use crate::account::roster::Contact;
use crate::account::settings::What;
use crate::account::shows::shows;
use crate::effects::iq::{Scope, Xep};
use crate::effects::turn::Turn;
use crate::realm::Realm;
use chaski_xmpp::xml;
use chaski_xmpp::{StanzaCondition, datetime, ns};

/// What this file implements.
pub(crate) const SPEC: &[Xep] = &[
    Xep::new(12, "2.0", "Last Activity", &[(Scope::Everywhere, ns::LAST)]),
    Xep::new(92, "1.1", "Software Version", &[(Scope::Domain, ns::VERSION)]),
    Xep::new(199, "2.0.1", "XMPP Ping", &[(Scope::Domain, ns::PING)]),
    Xep::new(202, "2.0", "Entity Time", &[(Scope::Domain, ns::TIME)]),
];

/// XEP-0092: name and version, but not the operating system (§4: it helps attackers only).
pub(super) fn version(realm: &Realm) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("query", ns::VERSION).leaf("name", "Chaski").leaf("version", realm.version);
    })
}

/// XEP-0202, in UTC.
pub(super) fn time(unix_ms: u64) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("time", ns::TIME).leaf("tzo", "+00:00").leaf("utc", &datetime::format(unix_ms));
    })
}

/// XEP-0012 §5: how long the server runs.
pub(super) fn uptime(turn: &Turn<'_>) -> Vec<u8> {
    seconds_since(turn.realm.started_unix_ms, turn.unix_ms)
}

/// XEP-0012 §4: 0 while a session of the account is available; else the time since one was, as a session that is connected but
/// not available counts as away. Without any session, the time since the record says that the account was last seen, which is
/// right within ten minutes ([`crate::account::resident::ResidentRecord`]). The caller has checked that the asker may know it.
pub(super) fn last_activity(turn: &Turn<'_>, account: &Account) -> Result<Vec<u8>, StanzaCondition> {
    let online = account.sessions.iter().any(|session| session.presence.is_available());
    let left = account.sessions.iter().map(|session| session.presence.left_unix_ms()).max();
    let seen = if online { turn.unix_ms } else { left.unwrap_or(account.record.seen_unix_ms()) };
    Ok(seconds_since(seen, turn.unix_ms))
}

/// The answer to another account that may see "last seen". If that account may not see that this one is online, it is told when
/// this one was last noted as seen, as if it were away.
pub(super) fn last_activity_for(
    turn: &Turn<'_>,
    account: &Account,
    asker: &Contact,
) -> Result<Vec<u8>, StanzaCondition> {
    if shows(account, What::Online, asker) {
        return last_activity(turn, account);
    }
    Ok(seconds_since(account.record.seen_unix_ms(), turn.unix_ms))
}

fn seconds_since(then_unix_ms: u64, now_unix_ms: u64) -> Vec<u8> {
    let seconds = now_unix_ms.saturating_sub(then_unix_ms) / 1000;
    xml(|writer| {
        writer.open_ns("query", ns::LAST).attr("seconds", &seconds.to_string());
    })
}
