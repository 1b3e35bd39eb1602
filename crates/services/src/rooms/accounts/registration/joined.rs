//! Registrations without a code of their own, which share the code that was sent to their number last.
//!
//! Anybody can ask for codes for a number until no more may be sent to it for some time. The number's owner must be able to
//! register nevertheless: the last message is on their phone, whoever has asked for it, and its code is right for them as well.
//! So a client that is refused by a limit of the number *joins* the registration that sent the latest code, its *host*.
//! Registrations that have joined a host have guesses of their own: strangers who join can't use up the host's guesses, and all
//! joined ones together have so few that the code is as hard to guess as before. A code still gives one key only.
//!
//! No client without an account may learn that a number is being registered, or has just been. So joining is possible whether
//! there is a host or not, and anything but success is reported as a wrong code: that there was no host, or that it has expired,
//! was used or has no guesses left.

use super::begin::Asker;
use super::session::{CODE_MS, Session, Standing};
use super::{Begun, Registrar, RegistrationError};
use crate::account::phone::Phone;
use crate::rooms::accounts::registration::REGISTRATIONS;
use chaski_store::Revision;
use chaski_store::records::Put;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Which registration has sent the latest code to a number: a document in `REGISTRATIONS`.
#[derive(Serialize, Deserialize)]
struct Latest {
    latest: String,
    sent_unix_ms: u64,
}

impl Registrar {
    /// Notes that the latest code of the number is that of the registration `id`. Returns which registration's it was before.
    pub(super) fn note_latest(
        &self,
        phone: Phone,
        id: &str,
        now_unix_ms: u64,
    ) -> Result<Option<String>, RegistrationError> {
        let former = self.latest(phone)?;
        let latest = Latest { latest: id.to_owned(), sent_unix_ms: now_unix_ms };
        let value = serde_json::to_vec(&latest).expect("a string and a number");
        let put = Put { table: REGISTRATIONS, key: latest_key(phone), value: Some(value) };
        self.records.put_all(vec![put])?;
        Ok(former)
    }

    /// Has the registration `session` share the latest code of its number, if there is one.
    pub(super) fn join(
        &self,
        (id, replaces, mut session): (String, Option<Revision>, Session),
        phone: Phone,
        asker: Asker,
        now_unix_ms: u64,
    ) -> Result<Begun, RegistrationError> {
        self.take(
            &[
                (self.policy.per_network(), asker.near.clone()),
                (self.policy.per_wide_network(), asker.wide.clone()),
                (self.policy.for_everybody(), String::new()),
            ],
            now_unix_ms,
        )?;
        let host = self.latest(phone)?.filter(|host| *host != id);
        session.join(host.unwrap_or_else(|| NOBODYS.to_owned()));
        self.write(&id, &session, replaces)?;
        self.metrics.joined_total.inc();
        // This is an upper bound: how long the latest code is right must not be told to everybody.
        let standing = Standing { expires_in_ms: CODE_MS, ..session.standing(false, now_unix_ms) };
        Ok(Begun { id, standing, delivery: None, asker, former: None })
    }

    /// Joins a registration for a client that knows only numbers, and confirms a code from another network than it asked in:
    /// phones change networks.
    pub(super) fn join_by_number(
        &self,
        id: &str,
        phone: Phone,
        network: Option<IpAddr>,
        now_unix_ms: u64,
    ) -> Result<(), RegistrationError> {
        let found = self.find(id)?;
        if found.as_ref().is_some_and(|(session, _)| !session.is_over(now_unix_ms)) {
            return Ok(());
        }
        let open = (id.to_owned(), found.map(|(_, revision)| revision), Session::new(phone, now_unix_ms));
        self.join(open, phone, Asker::of(network), now_unix_ms).map(drop)
    }

    pub(super) fn latest(&self, phone: Phone) -> Result<Option<String>, RegistrationError> {
        let found = self.records.get(REGISTRATIONS, &latest_key(phone))?;
        let latest = found.and_then(|found| serde_json::from_slice::<Latest>(&found.value).ok());
        Ok(latest.map(|latest| latest.latest))
    }
}

/// Whether this is a document of the latest code and still of use: a registration's codes have expired by then, too.
pub(super) fn is_current(value: &[u8], now_unix_ms: u64) -> bool {
    serde_json::from_slice::<Latest>(value)
        .is_ok_and(|latest| latest.sent_unix_ms.abs_diff(now_unix_ms) < super::session::SESSION_MS)
}

/// The host of a registration that has joined without there being one. No id looks like this.
const NOBODYS: &str = "nobody's";

/// The key of the document of a number's latest code. No id looks like this.
fn latest_key(phone: Phone) -> String {
    format!("latest:{phone}")
}
