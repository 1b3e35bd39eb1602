//! Registrations that have no code of their own, but share the one that was sent to their number last.
//!
//! Strangers can ask for codes for a number until no more may be sent to it for some time. Its owner must get in
//! nevertheless: the last message is on their phone, whoever asked for it, and its code is right for them as well. So whoever is refused by a
//! limit of the number *joins* the registration, its *host*, that sent the latest code. A host's joined registrations
//! have guesses of their own: strangers who join can't spend those of the host, and all of them together have so few
//! that the code stays as good as unguessable. The code still gives one key only.
//!
//! Nobody without an account may learn that a number is being registered, or has just been. So one may join whether there is a host or not,
//! and whatever comes of a guess but a key is a wrong code: that there was none, that it is over, used, or guessed at too often.

use super::begin::Asker;
use super::session::{CODE_MS, Session, Standing};
use super::{Begun, Registrar, RegistrationError};
use crate::account::phone::Phone;
use chaski_store::records::Put;
use chaski_store::{Revision, Table};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Which registration has sent the latest code to a number: a document in `Table::Registrations`.
#[derive(Serialize, Deserialize)]
struct Latest {
    latest: String,
    sent_unix_ms: u64,
}

impl Registrar {
    /// The latest code of the number is that of the registration `id`. Whose it was until now.
    pub(super) fn note_latest(
        &self,
        phone: Phone,
        id: &str,
        now_unix_ms: u64,
    ) -> Result<Option<String>, RegistrationError> {
        let former = self.latest(phone)?;
        let latest = Latest { latest: id.to_owned(), sent_unix_ms: now_unix_ms };
        let value = serde_json::to_vec(&latest).expect("a string and a number");
        let put = Put { table: Table::Registrations, key: latest_key(phone), value: Some(value) };
        self.records.put_all(vec![put])?;
        Ok(former)
    }

    /// The registration `session` shares the latest code of its number, if there is one.
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
        // At most: how long the latest code is right is not for everybody to know.
        let standing = Standing { expires_in_ms: CODE_MS, ..session.standing(false, now_unix_ms) };
        Ok(Begun { id, standing, delivery: None, asker, former: None })
    }

    /// The same for a client that knows numbers only and comes with a code from another network than it asked in: phones go
    /// from one to another.
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
        let found = self.records.get(Table::Registrations, &latest_key(phone))?;
        let latest = found.and_then(|found| serde_json::from_slice::<Latest>(&found.value).ok());
        Ok(latest.map(|latest| latest.latest))
    }
}

/// Whether this is such a document, and still of use: a registration's codes are over by then as well.
pub(super) fn is_current(value: &[u8], now_unix_ms: u64) -> bool {
    serde_json::from_slice::<Latest>(value)
        .is_ok_and(|latest| latest.sent_unix_ms.abs_diff(now_unix_ms) < super::session::SESSION_MS)
}

/// The host of those who have none. No id looks like this.
const NOBODYS: &str = "nobody's";

/// No id looks like this.
fn latest_key(phone: Phone) -> String {
    format!("latest:{phone}")
}
