//! The ways in that take one exchange: a token is proved at its account's owner, and whoever is authenticated gets there
//! all it has asked for, in one turn and with one write (XEP-0388, XEP-0386, XEP-0484).
//!
//! The protocol itself is `chaski_xmpp::stream::Negotiation`'s; what is done is the rooms'. Called by `login` and, when a
//! connection has come to its account's shard, by `arrivals`.

use super::EventLoop;
use super::receive::Flow;
use crate::c2s::Answer;
use crate::c2s::connection::{Asked, Stage};
use chaski_services::accounts::AccountName;
use chaski_services::wire::{Admitted, Authenticated, Closed, ConnId, TokenProved, Unavailable};
use chaski_xmpp::sasl::Failure;
use chaski_xmpp::stream::{Access, Refused, TokenProof, Wishes};

impl EventLoop {
    /// The client claims to have a token.
    pub(super) fn prove_token(&mut self, conn: ConnId, username: String, proof: Box<TokenProof>) -> Flow {
        self.note_try(conn);
        let account = AccountName::parse(&username).ok().map(|name| name.account());
        let Some(login) = self.login_mut(conn) else { return Flow::Gone };
        login.username = username;
        login.candidate = None;
        login.asked = Asked::Token { account };
        match account {
            Some(account) => {
                let from = (conn, self.network_of(conn));
                self.rooms.call(&mut self.clients, |shard, ctx| shard.prove_token(ctx, from, account, proof));
            }
            None => self.clients.answers.push_back((conn, Answer::TokenProved(Ok(None)))),
        }
        Flow::On
    }

    pub(super) fn token_proved(&mut self, conn: ConnId, result: Result<Option<TokenProved>, Unavailable>) {
        let Some(login) = self.login_mut(conn) else { return };
        let Asked::Token { account } = login.asked else { return };
        let result = match (result, account) {
            (Ok(Some(TokenProved { key_generation, responder })), Some(account)) => {
                login.candidate = Some(Authenticated { account, key_generation });
                Ok(responder)
            }
            (Ok(_), _) => Err(Failure::NotAuthorized),
            (Err(Unavailable), _) => Err(Failure::TemporaryAuthFailure),
        };
        self.negotiate(conn, |negotiation, out| negotiation.token_proved(result, out));
    }

    /// The client has proved who it is. What it wishes is done where its account lives; the stream stays the same.
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

    /// At the owner: does what the client wished, if it came with wishes.
    pub(super) fn grant_wishes(&mut self, conn: ConnId) {
        let Some(login) = self.login_mut(conn) else { return };
        let (Some(wishes), Some(who)) = (login.wishes.take(), login.candidate) else { return };
        login.asked = Asked::Admission;
        self.rooms.call(&mut self.clients, |shard, ctx| shard.admit(ctx, conn, who, wishes));
    }

    pub(super) fn admitted(&mut self, conn: ConnId, result: Result<Admitted, Refused>) {
        if !self.login_mut(conn).is_some_and(|login| matches!(login.asked, Asked::Admission)) {
            if let Ok(Admitted { session: Some(session), .. }) = result {
                // Nobody is there any more for whom it was done.
                self.rooms
                    .call(&mut self.clients, |shard, ctx| shard.closed(ctx, session, conn, Closed::Lost));
            }
            return;
        }
        let admission = result.as_ref().map(|admitted| &admitted.admission).map_err(|refused| *refused);
        self.negotiate(conn, |negotiation, out| negotiation.admitted(admission, out));
        let Ok(Admitted { session: Some(session), admission }) = result else { return };
        self.live(conn, Stage::Live(session));
        if matches!(admission.access, Access::Resumed { .. }) {
            self.rooms.call(&mut self.clients, |shard, ctx| shard.resumed(ctx, session, conn));
        }
    }
}
