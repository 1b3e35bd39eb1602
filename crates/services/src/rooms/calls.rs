//! Relays for calls: the STUN and TURN servers that the operator names, with a login for those that want one (XEP-0215).
//!
//! Owns the relays ([`crate::realm::relays`], from the configuration) and the logins, which are made in the way that coturn's `use-auth-secret`
//! checks: the user name is a time and a name, and the password is derived from it by a secret that both servers know. Nothing is
//! kept. Called by [`crate::owner::dispatch`] for an account's own sessions. Promises: a login tells the relay neither number nor
//! account: its name changes every day and is the same within a day, so that the relay can count one user's traffic. Without
//! relays nothing is announced and nothing answered. Pure: time comes with the turn.

use crate::account::Account;
use crate::effects::iq::{Door, Reply, Request, Scope, Xep};
use crate::effects::turn::Turn;
use crate::realm::Realm;
use crate::realm::relays::Relay;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::sasl::{Hash, base64};
use chaski_xmpp::xml;
use chaski_xmpp::{ElementRef, StanzaCondition, Writer, datetime, ns};

/// What this room implements.
pub const SPEC: &[Xep] =
    &[Xep::new(215, "1.0.0", "External Service Discovery", &[(Scope::DomainWithRelays, ns::EXTDISCO)])];

/// Requests that this room answers.
pub(crate) const DOORS: &[Door] = &[Door { ns: ns::EXTDISCO, owner: None, other: None, domain: Some(asked) }];

/// After this long the name in a login changes.
const NAME_MS: u64 = 24 * 3_600_000;

/// An account's login at a relay.
struct Login {
    username: String,
    password: String,
    expires: String,
}

impl Login {
    fn new(realm: &Realm, account: AccountId, now_unix_ms: u64) -> Self {
        let expires_unix_ms = now_unix_ms + realm.relays.login_ms;
        let who =
            [&b"relay"[..], account.record_key().as_bytes(), &(now_unix_ms / NAME_MS).to_be_bytes()].concat();
        let name = Hash::Sha256.hmac(&realm.secrets.current, &who);
        let name: String = name[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let username = format!("{}:{name}", expires_unix_ms / 1000);
        let password =
            base64::encode(&Hash::Sha1.hmac(realm.relays.secret.0.as_bytes(), username.as_bytes()));
        Self { username, password, expires: datetime::format(expires_unix_ms) }
    }
}

fn asked(turn: &mut Turn<'_>, account: &mut Account, _: SessionId, request: &Request<'_>, reply: Reply) {
    match answer(turn, account, request) {
        Ok(payload) => reply.result(turn.outbox, &payload),
        Err(condition) => reply.error(turn.outbox, condition),
    }
}

fn answer(turn: &Turn<'_>, account: &Account, request: &Request<'_>) -> Result<Vec<u8>, StanzaCondition> {
    let relays = &turn.realm.relays.relays;
    if relays.is_empty() {
        return Err(StanzaCondition::ServiceUnavailable);
    }
    let login = || Login::new(turn.realm, account.id, turn.shown(turn.unix_ms));
    if request.gets("services", ns::EXTDISCO) {
        let kind = request.child.attr("type");
        let wanted =
            relays.iter().filter(|relay| kind.as_deref().is_none_or(|kind| kind == relay.kind.name()));
        return Ok(list("services", kind.as_deref(), wanted, &login()));
    }
    if request.gets("credentials", ns::EXTDISCO) {
        let mut asked = request.child.children().filter(|child| child.is("service", ns::EXTDISCO));
        let (Some(service), None) = (asked.next(), asked.next()) else {
            return Err(StanzaCondition::BadRequest);
        };
        let meant: Vec<&Relay> = relays.iter().filter(|relay| is_meant(relay, &service)).collect();
        if meant.is_empty() {
            return Err(StanzaCondition::ItemNotFound);
        }
        return Ok(list("credentials", None, meant.into_iter(), &login()));
    }
    Err(StanzaCondition::BadRequest)
}

fn list<'r>(
    name: &'static str,
    kind: Option<&str>,
    relays: impl Iterator<Item = &'r Relay>,
    login: &Login,
) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns(name, ns::EXTDISCO).attr_opt("type", kind);
        relays.for_each(|relay| write(relay, login, writer));
    })
}

fn write(relay: &Relay, login: &Login, writer: &mut Writer<'_>) {
    writer.open("service").attr("type", relay.kind.name()).attr("host", &relay.host);
    writer.attr("port", &relay.port.to_string()).attr("transport", relay.transport);
    if relay.wants_login() {
        writer.attr("restricted", "1").attr("username", &login.username).attr("password", &login.password);
        writer.attr("expires", &login.expires);
    }
    writer.close();
}

/// Whether a client asks for the credentials of this relay (§3.3): by host and type, and by port if it names one.
fn is_meant(relay: &Relay, service: &ElementRef<'_>) -> bool {
    service.attr("type").as_deref() == Some(relay.kind.name())
        && service.attr("host").is_some_and(|host| host.eq_ignore_ascii_case(&relay.host))
        && service.attr("port").is_none_or(|port| port == relay.port.to_string())
}
