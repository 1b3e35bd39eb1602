//! Authentication by a secret: SCRAM (RFC 5802) and PLAIN (RFC 4616), limited by the tries that are left
//! ([`chaski_services::rooms::accounts::guesses`]).
//!
//! Promises: a client with the right secret of a kind that can't be guessed gets in, whatever was counted. All others get the
//! same bytes after the same work, whether the account exists, whatever its secret is, and whether tries are left for it; and at
//! a time that does not depend on where the account was found. A SCRAM exchange begins without looking the account up; that is
//! done when there is a proof to judge. Checks that take milliseconds are made by the worker ([`crate::password_checks`]). Called
//! by `login`.

use super::EventLoop;
use super::receive::Flow;
use crate::c2s::connection::{Asked, Proving};
use crate::password_checks::Check;
use chaski_services::account::credentials::{Credentials, PlainCheck};
use chaski_services::account::network::Network;
use chaski_services::effects::login::Ask;
use chaski_services::wire::{Authenticated, ConnId};
use chaski_store::AccountId;
use chaski_xmpp::Stanza;
use chaski_xmpp::sasl::server::Tries;
use chaski_xmpp::sasl::{Failure, Hash, Password};
use chaski_xmpp::stream::Input;

impl EventLoop {
    pub(super) fn scram_credentials(
        &mut self,
        conn: ConnId,
        account: AccountId,
        hash: Hash,
        credentials: Result<Option<Credentials>, Failure>,
    ) {
        let found = self.candidate(conn, account, credentials);
        let Some(login) = self.login_mut(conn) else { return };
        login.proving = found
            .as_ref()
            .ok()
            .map(|credentials| credentials.can_be_guessed())
            .map(|can_be_guessed| Proving { account, hash, can_be_guessed, is_blind: false });
        let secret = found.map(|credentials| credentials.scram(hash));
        self.negotiate(conn, |negotiation, out| negotiation.credentials(secret, out));
    }

    /// The owner has answered with the credentials for a proof. A name without an account was challenged with a decoy, and is
    /// judged by the decoy.
    pub(super) fn proof_credentials(
        &mut self,
        conn: ConnId,
        mut proving: Proving,
        element: &[u8],
        credentials: Result<Option<Credentials>, Failure>,
    ) {
        let Some(login) = self.login_mut(conn) else { return };
        let can_be_told = credentials.is_ok();
        if let Ok(Some(found)) = credentials {
            proving.can_be_guessed = found.can_be_guessed();
            let account = proving.account;
            login.candidate = Some(Authenticated { account, key_generation: found.generation });
            if !login.negotiation.learn_secret(found.scram(proving.hash)) {
                tracing::warn!(
                    ?account,
                    iterations = found.iterations,
                    "an account can't log in by SCRAM, because it has another salt or other iterations than the rest: set \
                     registration.iterations_vary, or give it a new key"
                );
            }
        }
        // The element was parsed when it came, so this succeeds.
        if let Ok(element) = Stanza::parse(element) {
            self.judge(conn, proving, Input::Element(&element), can_be_told);
        }
    }

    /// The credentials that the client has to prove. For a name without an account they are a decoy, which nothing proves.
    fn candidate(
        &mut self,
        conn: ConnId,
        account: AccountId,
        credentials: Result<Option<Credentials>, Failure>,
    ) -> Result<Credentials, Failure> {
        let salting = self.salting;
        let login = self.login_mut(conn).ok_or(Failure::TemporaryAuthFailure)?;
        // The decoy is made in any case: making it costs less than the difference in time would tell.
        let decoy = Credentials::decoy(&salting, &login.username);
        let found = credentials?;
        login.candidate =
            found.as_ref().map(|found| Authenticated { account, key_generation: found.generation });
        Ok(found.unwrap_or(decoy))
    }

    /// The client has sent something when its proof was due.
    pub(super) fn scram_proof(&mut self, conn: ConnId, proving: Proving, input: Input<'_, '_>) -> Flow {
        let Input::Element(element) = input else { return self.judge(conn, proving, input, true) };
        let is_proof = self.login_mut(conn).is_some_and(|login| login.negotiation.is_response(element));
        match is_proof {
            // The client has aborted, or sent something that is refused meanwhile: no secret was tried.
            false => {
                let flow = self.negotiate(conn, |negotiation, out| negotiation.receive(input, out));
                self.keep_proving(conn, proving);
                flow
            }
            true if proving.is_blind => {
                self.note_try(conn);
                let Some(login) = self.login_mut(conn) else { return Flow::Gone };
                let (username, element) = (std::mem::take(&mut login.username), element.bytes().into());
                let proving = Proving { is_blind: false, ..proving };
                self.look_up(conn, username, Ask::Credentials, |_| Asked::Proof { proving, element })
            }
            true => {
                self.note_try(conn);
                self.judge(conn, proving, input, true)
            }
        }
    }

    /// Has the negotiation judge what came as the proof, or instead of one. If the account could not be looked up, every proof is
    /// wrong.
    fn judge(&mut self, conn: ConnId, proving: Proving, input: Input<'_, '_>, can_be_told: bool) -> Flow {
        let Proving { account, can_be_guessed, .. } = proving;
        let (network, now_unix_ms) = (self.network_of(conn), self.rooms.now.unix_ms);
        let tries = match self.doors.guesses.look(network, account, now_unix_ms) {
            _ if !can_be_told => Tries::UsedUpByGuesses,
            Ok(()) => Tries::Left,
            Err(_) if can_be_guessed => Tries::UsedUpByGuesses,
            Err(_) => Tries::UsedUp,
        };
        let mut is_wrong = false;
        let flow = self.negotiate(conn, |negotiation, out| {
            negotiation.set_tries(tries);
            let action = negotiation.receive(input, out);
            is_wrong = out.login_failed;
            action
        });
        if is_wrong && tries == Tries::Left {
            self.doors.guesses.wrong(network, account, now_unix_ms);
        }
        self.keep_proving(conn, proving);
        flow
    }

    /// An element that is answered without ending the exchange must not make the coming proof unnecessary.
    fn keep_proving(&mut self, conn: ConnId, proving: Proving) {
        if let Some(login) = self.login_mut(conn).filter(|login| login.negotiation.is_amid_exchange()) {
            login.proving = Some(proving);
        }
    }

    pub(super) fn plain_credentials(
        &mut self,
        conn: ConnId,
        account: AccountId,
        password: Password,
        credentials: Result<Option<Credentials>, Failure>,
    ) {
        let credentials = match self.candidate(conn, account, credentials) {
            Ok(credentials) => credentials,
            Err(failure) => return self.plain_verified(conn, Err(failure)),
        };
        if credentials.check_plain(password.reveal()) == PlainCheck::Right {
            return self.plain_verified(conn, Ok(()));
        }
        let (network, now_unix_ms) = (self.network_of(conn), self.rooms.now.unix_ms);
        if self.doors.guesses.take(network, account, now_unix_ms).is_err() {
            return self.plain_verified(conn, Err(Failure::TemporaryAuthFailure));
        }
        let Some(login) = self.login_mut(conn) else { return };
        login.asked = Asked::Slow { account };
        // A wrong password is found wrong by the worker, whatever kind of key the account has.
        let credentials = Box::new(credentials);
        let check = Check { network, credentials, password: password.reveal().to_owned() };
        self.doors.checks.check_for_shard(check, conn, &self.inbox);
    }

    /// The worker has made the slow check, or has not.
    pub(super) fn verified(&mut self, conn: ConnId, is_right: Option<bool>) {
        let Some(Asked::Slow { account }) = self.login_mut(conn).map(|login| &login.asked) else { return };
        let (account, network) = (*account, self.network_of(conn));
        if is_right != Some(false) {
            self.doors.guesses.give_back(network, account);
        }
        let result = match is_right {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::NotAuthorized),
            None => Err(Failure::TemporaryAuthFailure),
        };
        self.plain_verified(conn, result);
        self.go_on(conn);
    }

    fn plain_verified(&mut self, conn: ConnId, result: Result<(), Failure>) {
        self.negotiate(conn, |negotiation, out| negotiation.plain_verified(result, out));
    }

    pub(super) fn network_of(&self, conn: ConnId) -> Network {
        self.clients.table.get(conn).map_or(Network::UNKNOWN, |connection| connection.network)
    }
}
