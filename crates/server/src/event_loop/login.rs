//! Logins: brings the negotiation's questions to the account's owner, the worker and other shards, and the answers back.
//!
//! The protocol is in `chaski_xmpp::stream::Negotiation`. While an answer is owed the connection is not read. Promises: a client
//! that has proved nothing learns nothing about a number. A name without an account has decoy credentials
//! ([`Credentials::decoy`]); a wrong password costs one derivation, whatever kind of key the account has and if there is no
//! account; a failure is reported late, at a random time that does not depend on the work done ([`Asked::Late`]).

use super::receive::Flow;
use super::{Arrival, EventLoop};
use crate::c2s::connection::{Asked, Connection, Login, Proving, Stage};
use crate::c2s::{Answer, Pieces};
use chaski_services::account::credentials::Credentials;
use chaski_services::account::name::AccountName;
use chaski_services::effects::login::{Ask, Bound, Denied, Granted, Question, ReplyTo, Resumed, Verdict};
use chaski_services::owner::wire::Wire;
use chaski_services::wire::{Closed, ConnId};
use chaski_store::{AccountId, ShardIndex};
use chaski_xmpp::StreamCondition;
use chaski_xmpp::framer::MAX_BYTES_SKIPPED;
use chaski_xmpp::sasl::{Failure, Hash};
use chaski_xmpp::stream::{Action, BindRefusal, InlineResume, Input, Negotiation};
use rand::RngExt;
use std::cmp::Reverse;
use std::io;

impl EventLoop {
    /// Passes what the client has sent to the negotiation.
    pub(super) fn login_input(&mut self, conn: ConnId, input: Input<'_, '_>) -> Flow {
        if let Some(proving) = self.login_mut(conn).and_then(|login| login.proving.take()) {
            return self.scram_proof(conn, proving, input);
        }
        self.negotiate(conn, |negotiation, out| negotiation.receive(input, out))
    }

    /// Ends the stream of a login with an error.
    pub(super) fn fail_login(
        &mut self,
        conn: ConnId,
        condition: StreamCondition,
        text: Option<&str>,
    ) -> Flow {
        self.metrics.stream_errors_total.inc();
        self.leave(conn, Closed::Lost);
        self.negotiate(conn, |negotiation, out| negotiation.fail(condition, text, out))
    }

    /// Makes one step of the negotiation: writes its output and takes its action.
    pub(super) fn negotiate(
        &mut self,
        conn: ConnId,
        step: impl FnOnce(&mut Negotiation, &mut Pieces) -> Action,
    ) -> Flow {
        let Some(connection) = self.clients.table.get_mut(conn) else { return Flow::Gone };
        let mut pieces = Pieces::new(connection.framing());
        let Stage::Login(login) = &mut connection.stage else { return Flow::Gone };
        login.asked = Asked::Nothing;
        let tried_at_ms = login.tried_at_ms.take();
        let action = step(&mut login.negotiation, &mut pieces);
        self.metrics.login_failures_total.add(u64::from(pieces.login_failed));
        // This covers all kinds of failure, also one that ends the stream.
        if let Some(tried_at_ms) = tried_at_ms
            && (pieces.login_failed || matches!(action, Action::Close))
        {
            return self.tell_late(conn, tried_at_ms, pieces.bytes.into(), action);
        }
        if !pieces.bytes.is_empty() {
            self.clients.put(conn, &pieces.bytes);
        }
        self.act(conn, action)
    }

    /// A secret was wrong or could not be checked: the failure is reported when it is due, and nothing is read until then.
    fn tell_late(&mut self, conn: ConnId, tried_at_ms: u64, told: Box<[u8]>, action: Action) -> Flow {
        let step_ms = self.clients.timing.failure_ms.max(1);
        let mut due_ms = tried_at_ms + step_ms + self.rooms.rng.random_range(0..step_ms);
        while due_ms <= self.rooms.now_ms {
            due_ms += step_ms;
        }
        let Some(login) = self.login_mut(conn) else { return Flow::Gone };
        login.asked = Asked::Late { due_ms, told, action };
        self.late.push(Reverse((due_ms, conn.0)));
        self.metrics.failures_waiting.add(1);
        Flow::On
    }

    /// Reports failures that are due.
    pub(super) fn take_late(&mut self) {
        while let Some(&Reverse((due_ms, conn))) = self.late.peek()
            && due_ms <= self.rooms.now_ms
        {
            self.late.pop();
            self.metrics.failures_waiting.add(-1);
            let conn = ConnId(conn);
            let Some(login) = self.login_mut(conn) else { continue };
            // The client may have gone meanwhile, and its connection's place may have been taken by another.
            if !matches!(login.asked, Asked::Late { due_ms: due, .. } if due == due_ms) {
                continue;
            }
            if let Asked::Late { told, action, .. } = std::mem::replace(&mut login.asked, Asked::Nothing) {
                self.clients.put(conn, &told);
                self.act(conn, action);
                self.go_on(conn);
            }
        }
    }

    fn act(&mut self, conn: ConnId, action: Action) -> Flow {
        match action {
            Action::Read => Flow::On,
            Action::StartTls => self.start_tls(conn),
            Action::LookupCredentials { username, hash } if self.clients.limits.iterations_vary => {
                self.look_up(conn, username, Ask::Credentials, |account| Asked::Scram { account, hash })
            }
            Action::LookupCredentials { username, hash } => self.challenge(conn, username, hash),
            Action::VerifyPlain { username, password } => {
                self.note_try(conn);
                self.look_up(conn, username, Ask::Credentials, |account| Asked::Plain { account, password })
            }
            Action::Authenticated { username } => self.authenticated(conn, &username),
            Action::ProveToken { username, proof } => {
                self.note_try(conn);
                self.look_up(conn, username, Ask::Token(proof), |account| Asked::Token { account })
            }
            Action::Admit { username, wishes } => self.admit_at_owner(conn, &username, wishes),
            Action::Bind { resource } => {
                self.ask_as_owner(conn, Asked::Bind, Ask::Bind(resource.map(String::into_boxed_str)))
            }
            Action::Resume { previd, h } => {
                self.ask_as_owner(conn, Asked::Resume, Ask::Resume(InlineResume { previd, h }))
            }
            // Only a verdict that grants a session leads here, and it has made the connection live.
            Action::Established => Flow::On,
            Action::Close => {
                self.clients.begin_ending(conn);
                Flow::Gone
            }
        }
    }

    pub(super) fn login_mut(&mut self, conn: ConnId) -> Option<&mut Login> {
        match self.clients.table.get_mut(conn) {
            Some(Connection { stage: Stage::Login(login), .. }) => Some(login),
            _ => None,
        }
    }

    fn start_tls(&mut self, conn: ConnId) -> Flow {
        let Some(session) = self.tls_session() else {
            return self.fail(conn, StreamCondition::InternalServerError, None);
        };
        self.clients.seal(conn);
        let Some(connection) = self.clients.table.get_mut(conn) else { return Flow::Gone };
        connection.tls = Some(session);
        connection.framer.restart();
        if let Stage::Login(login) = &mut connection.stage {
            login.asked = Asked::Tls;
        }
        Flow::StartTls
    }

    /// The TLS handshake is over: the stream begins, or begins anew.
    pub(super) fn tls_established(&mut self, conn: ConnId) {
        self.metrics.tls_handshakes_total.inc();
        let Some(connection) = self.clients.table.get_mut(conn) else { return };
        let Some(tls) = &mut connection.tls else { return };
        self.metrics.tls_resumed_total.add(u64::from(tls.is_resumed()));
        let bindings = tls.channel_bindings();
        if let Stage::Login(login) = &mut connection.stage {
            login.asked = Asked::Nothing;
            login.negotiation.tls_established(bindings);
        } else if matches!(connection.stage, Stage::Handshake) {
            let stage = self
                .login(chaski_xmpp::stream::Framing::Tcp, chaski_xmpp::stream::Security::Secured(bindings));
            if let Some(connection) = self.clients.table.get_mut(conn) {
                connection.stage = stage;
            }
        }
    }

    /// The client has sent a secret or a proof: if it fails, the failure is reported a certain time after now.
    pub(super) fn note_try(&mut self, conn: ConnId) {
        let now_ms = self.rooms.now_ms;
        if let Some(login) = self.login_mut(conn) {
            login.tried_at_ms = Some(now_ms);
        }
    }

    /// Looks up the credentials of an account that the client has not proved. A name that no account can have is not looked up.
    pub(super) fn look_up(
        &mut self,
        conn: ConnId,
        username: String,
        ask: Ask,
        asked: impl FnOnce(AccountId) -> Asked,
    ) -> Flow {
        let (account, counted) = accounts_of(&username);
        let Some(login) = self.login_mut(conn) else { return Flow::Gone };
        login.username = username;
        login.candidate = None;
        self.ask(conn, account, asked(counted), ask)
    }

    /// Asks the owner on behalf of a client that has proved the account.
    pub(super) fn ask_as_owner(&mut self, conn: ConnId, asked: Asked, ask: Ask) -> Flow {
        match self.login_mut(conn).and_then(|login| login.candidate) {
            Some(who) => self.ask(conn, Some(who.account), asked, ask),
            None => Flow::Gone,
        }
    }

    /// Sends a question to an account's owner: the only way from the negotiation to the owner. [`Self::verdict`] takes the
    /// answer.
    fn ask(&mut self, conn: ConnId, account: Option<AccountId>, asked: Asked, ask: Ask) -> Flow {
        let (place, network) = (self.realm.places.here(ShardIndex(self.index)), self.network_of(conn));
        let Some(login) = self.login_mut(conn) else { return Flow::Gone };
        login.asked = asked;
        let number = login.questions.ask();
        let proved = login.candidate.map(|who| who.key_generation);
        let reply_to = ReplyTo { place, conn, number };
        match account {
            Some(account) => {
                let question = Question { reply_to, network, account, proved, ask };
                self.rooms.call(&mut self.clients, |shard, ctx| shard.login(ctx, question));
            }
            None => self.clients.verdict(conn, number, Err(Denied::NotAuthorized)),
        }
        Flow::On
    }

    /// Takes the owner's answer: the only way back. A verdict that nobody waits for, because it is late or comes twice, is
    /// ignored.
    fn verdict(&mut self, conn: ConnId, number: u32, verdict: Verdict) {
        let login = self.login_mut(conn);
        let Some(login) = login.and_then(|login| login.questions.hear(number).then_some(login)) else {
            return self.nobody_waits(conn, verdict);
        };
        match std::mem::replace(&mut login.asked, Asked::Nothing) {
            Asked::Scram { account, hash } => self.scram_credentials(conn, account, hash, found(verdict)),
            Asked::Proof { proving, element } => {
                self.proof_credentials(conn, proving, &element, found(verdict))
            }
            Asked::Plain { account, password } => {
                self.plain_credentials(conn, account, password, found(verdict));
            }
            Asked::Token { account } => self.token_proved(conn, account, verdict),
            Asked::Admission => self.admitted(conn, verdict),
            Asked::Bind => self.bound(conn, verdict),
            Asked::Resume => self.resumed(conn, verdict),
            asked
            @ (Asked::Nothing | Asked::Tls | Asked::Slow { .. } | Asked::Late { .. } | Asked::Owner) => {
                login.asked = asked;
                self.nobody_waits(conn, verdict);
            }
        }
    }

    /// A session was made for a connection that is over: tells the owner that the session has no connection.
    fn nobody_waits(&mut self, conn: ConnId, verdict: Verdict) {
        let Some(session) = verdict.ok().and_then(|granted| granted.session()) else { return };
        let has_it = self.clients.table.get(conn).is_some_and(|found| found.stage.session() == Some(session));
        if !has_it {
            self.rooms.call(&mut self.clients, |shard, ctx| shard.closed(ctx, session, conn, Closed::Lost));
        }
    }

    /// Challenges a client before its account is looked up: salt and iterations are the same function of the name for all names,
    /// so that neither the challenge nor its time depends on whether there is an account.
    fn challenge(&mut self, conn: ConnId, username: String, hash: Hash) -> Flow {
        let decoy = Credentials::decoy(&self.salting, &username).scram(hash);
        let (_, account) = accounts_of(&username);
        let Some(login) = self.login_mut(conn) else { return Flow::Gone };
        login.username = username;
        login.candidate = None;
        login.proving = Some(Proving { account, hash, can_be_guessed: false, is_blind: true });
        self.negotiate(conn, |negotiation, out| negotiation.credentials(Ok(decoy), out))
    }

    /// Handles the owner's answers, also those that follow from handling others. Returns whether there were any.
    pub(super) fn take_answers(&mut self) -> bool {
        let any = !self.clients.answers.is_empty();
        while let Some((conn, answer)) = self.clients.answers.pop_front() {
            match answer {
                Answer::Verdict(number, verdict) => self.verdict(conn, number, verdict),
                Answer::GoOn => {}
                Answer::Owner(shard) => self.move_to(conn, shard),
            }
            self.go_on(conn);
        }
        any
    }

    /// The connection may be read again: first the input that was kept, then its socket.
    pub(super) fn go_on(&mut self, conn: ConnId) {
        self.clients.release(conn);
        let Some(connection) = self.clients.table.get_mut(conn) else { return };
        if !connection.owes_answer() && !connection.partial.is_empty() && !connection.flags.held {
            self.consume(conn, &[]);
        }
        let Some(connection) = self.clients.table.get_mut(conn) else { return };
        if !connection.owes_answer() && std::mem::take(&mut connection.flags.read_pending) {
            self.clients.queue(conn);
        }
    }

    /// The client has authenticated: its connection moves to the account's owner, where a new stream begins.
    fn authenticated(&mut self, conn: ConnId, username: &str) -> Flow {
        if let Some(connection) = self.clients.table.get_mut(conn) {
            connection.framer.restart();
        }
        self.go_to_owner(conn, username)
    }

    /// Has the connection move to the owner of the account that was proved, if that is another shard.
    pub(super) fn go_to_owner(&mut self, conn: ConnId, username: &str) -> Flow {
        let element_bytes = self.clients.limits.element_bytes;
        let Some(connection) = self.clients.table.get_mut(conn) else { return Flow::Gone };
        let Stage::Login(login) = &mut connection.stage else { return Flow::Gone };
        let Some(who) = login.candidate.filter(|_| login.username == username) else {
            // The negotiation has authenticated a name whose credentials were not looked up: refuse rather than guess.
            return self.fail(conn, StreamCondition::InternalServerError, None);
        };
        connection.framer.set_max_bytes(u32::try_from(element_bytes).unwrap_or(u32::MAX));
        let owner = self.realm.places.owner(who.account).shard;
        let is_here = owner == ShardIndex(self.index);
        if !is_here {
            login.asked = Asked::Owner;
        }
        self.clients.authenticated(conn);
        self.metrics.logins_total.inc();
        if !is_here {
            self.clients.answers.push_back((conn, Answer::Owner(owner)));
        }
        Flow::On
    }

    /// Hands the connection with all its state to another shard.
    fn move_to(&mut self, conn: ConnId, owner: ShardIndex) {
        // The stream may have ended meanwhile; its last output must not be lost.
        if self.login_mut(conn).is_none() {
            return;
        }
        let peer = self.clients.peer(owner).clone();
        if !peer.reserve() {
            self.metrics.refused_total.inc();
            self.fail(conn, StreamCondition::ResourceConstraint, Some("overloaded, try again later"));
            return;
        }
        match self.clients.carry(conn, owner) {
            Ok(socket) => {
                let Some(connection) = self.clients.remove(conn) else { return peer.give_up() };
                self.metrics.moved_total.inc();
                peer.push_reserved(Arrival::Moved { connection: Box::new(connection), socket });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                peer.give_up();
                self.clients.waiting_to_move.push_back((conn, owner));
            }
            Err(error) => {
                peer.give_up();
                tracing::warn!(shard = self.index, %error, "a connection can't move to its account's shard");
                self.lost(conn);
            }
        }
    }

    /// Tries again to move connections for which there was no room on the way.
    pub(super) fn move_waiting(&mut self) {
        for _ in 0..self.clients.waiting_to_move.len() {
            let Some((conn, owner)) = self.clients.waiting_to_move.pop_front() else { return };
            self.move_to(conn, owner);
        }
    }

    fn bound(&mut self, conn: ConnId, verdict: Verdict) {
        let refusal = match verdict {
            Ok(Granted::Bound(Bound { session, full_jid })) => {
                self.negotiate(conn, |negotiation, out| negotiation.bound(Ok(&full_jid), out));
                return self.live(conn, Stage::Live(session));
            }
            Err(Denied::BadResource) => BindRefusal::BadResource,
            Err(Denied::TooManySessions) => BindRefusal::TooMany,
            Err(Denied::NotAuthorized) => BindRefusal::NotAuthorized,
            Ok(_) | Err(_) => BindRefusal::Unavailable,
        };
        self.negotiate(conn, |negotiation, out| negotiation.bound(Err(refusal), out));
    }

    fn resumed(&mut self, conn: ConnId, verdict: Verdict) {
        let handled = match verdict {
            Ok(Granted::Resumed(Resumed { session, h, .. })) => {
                self.negotiate(conn, |negotiation, out| negotiation.resumed(Ok(h), out));
                self.live(conn, Stage::Live(session));
                return self.rooms.call(&mut self.clients, |shard, ctx| shard.resumed(ctx, session, conn));
            }
            Err(Denied::TooHigh(too_high)) => {
                self.metrics.stream_errors_total.inc();
                self.negotiate(conn, |negotiation, out| negotiation.too_high(too_high, out));
                return;
            }
            Err(Denied::Gone(handled)) => handled,
            Ok(_) | Err(_) => None,
        };
        self.negotiate(conn, |negotiation, out| negotiation.resumed(Err(handled), out));
    }

    /// The connection has its session from here on; the state of the login is dropped.
    pub(super) fn live(&mut self, conn: ConnId, stage: Stage) {
        let Some(connection) = self.clients.table.get_mut(conn) else { return };
        let before = std::mem::replace(&mut connection.stage, stage);
        connection.flags.probed = false;
        connection.partial.shrink_to_fit();
        connection.framer.set_max_skipped(MAX_BYTES_SKIPPED);
        let session = connection.stage.session();
        self.metrics.sessions.add(1);
        if let Stage::Login(login) = before {
            if !login.early.is_empty() {
                self.clients.put(conn, &login.early);
            }
            if let Some(session) = session {
                let lang = login.negotiation.lang();
                self.rooms.call(&mut self.clients, |shard, _| shard.speaks(session, lang));
            }
        }
        let idle_ms = self.clients.timing.idle_timeout_ms;
        self.clients.set_deadline(conn, idle_ms);
    }
}

/// The account that a name stands for, if any account can have the name; and the account for which tries are counted. A name that
/// no account can have is treated like a number without an account.
fn accounts_of(username: &str) -> (Option<AccountId>, AccountId) {
    let account = AccountName::parse(username).ok().map(|name| name.account());
    (account, account.or(AccountId::phone(10_000)).unwrap_or(AccountId::from_bits(0)))
}

/// The credentials that were looked up. `None`: there is no such account.
fn found(verdict: Verdict) -> Result<Option<Credentials>, Failure> {
    match verdict {
        Ok(Granted::Credentials(credentials)) => Ok(Some(credentials)),
        Err(Denied::NotAuthorized) => Ok(None),
        Ok(_) | Err(_) => Err(Failure::TemporaryAuthFailure),
    }
}
