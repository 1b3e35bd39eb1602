//! Logins that take one exchange: a FAST token is proved at its account's owner, and an authenticated client gets there
//! everything that it has requested inline, in one turn and with one write (XEP-0388, XEP-0386, XEP-0484).
//!
//! The protocol is in `chaski_xmpp::stream::Negotiation`; what is requested is done by the account's owner. Called by `login`
//! and, when a connection has come to its account's shard, by `arrivals`.

use super::EventLoop;
use super::receive::Flow;
use crate::c2s::connection::{Asked, Stage};
use chaski_services::effects::login::{Admitted, Ask, Denied, Granted, TokenProved, Verdict};
use chaski_services::wire::{Authenticated, ConnId};
use chaski_store::AccountId;
use chaski_xmpp::sasl::Failure;
use chaski_xmpp::stream::{Access, Refused, Wishes};

impl EventLoop {
    /// The owner has judged the client's proof of a token.
    pub(super) fn token_proved(&mut self, conn: ConnId, account: AccountId, verdict: Verdict) {
        let result = match verdict {
            Ok(Granted::Token(TokenProved { key_generation, responder })) => {
                if let Some(login) = self.login_mut(conn) {
                    login.candidate = Some(Authenticated { account, key_generation });
                }
                Ok(responder)
            }
            Err(Denied::NotAuthorized) => Err(Failure::NotAuthorized),
            Ok(_) | Err(_) => Err(Failure::TemporaryAuthFailure),
        };
        self.negotiate(conn, |negotiation, out| negotiation.token_proved(result, out));
    }

    /// The client has authenticated. Its inline requests are carried out on the shard that owns its account; the stream stays the
    /// same.
    pub(super) fn admit_at_owner(&mut self, conn: ConnId, username: &str, wishes: Box<Wishes>) -> Flow {
        match self.go_to_owner(conn, username) {
            Flow::On => {}
            gone => return gone,
        }
        let Some(login) = self.login_mut(conn) else { return Flow::Gone };
        let is_here = !matches!(login.asked, Asked::Owner);
        login.wishes = Some(wishes);
        if is_here {
            self.grant_wishes(conn);
        }
        Flow::On
    }

    /// The connection is at its account's owner: carries out the client's inline requests, if it has any.
    pub(super) fn grant_wishes(&mut self, conn: ConnId) {
        let Some(login) = self.login_mut(conn) else { return };
        if let Some(wishes) = login.wishes.take() {
            self.ask_as_owner(conn, Asked::Admission, Ask::Admit(wishes));
        }
    }

    pub(super) fn admitted(&mut self, conn: ConnId, verdict: Verdict) {
        let admitted = match verdict {
            Ok(Granted::Admitted(admitted)) => Ok(admitted),
            Err(Denied::NotAuthorized) => Err(Refused::NotAuthorized),
            Ok(_) | Err(_) => Err(Refused::Unavailable),
        };
        let admission = admitted.as_ref().map(|admitted| &admitted.admission).map_err(|refused| *refused);
        self.negotiate(conn, |negotiation, out| negotiation.admitted(admission, out));
        let Ok(Admitted { session: Some(session), admission }) = admitted else { return };
        self.live(conn, Stage::Live(session));
        if matches!(admission.access, Access::Resumed { .. }) {
            self.rooms.call(&mut self.clients, |shard, ctx| shard.resumed(ctx, session, conn));
        }
    }
}
