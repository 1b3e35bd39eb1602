//! Logins at the account's owner: one entry for all requests of a login ([`crate::effects::login`]). This file also binds and
//! resumes, by which a connection gets a session (RFC 6120 §7, XEP-0198 §5). The rest is in `admission` and `fast`.

use crate::account::credentials::Credentials;
use crate::account::session::managed::Managed;
use crate::account::session::{End, Session};
use crate::effects::letter::{Envelope, Letter};
use crate::effects::login::{Ask, Bound, Denied, Granted, Question, ReplyTo, Resumed, Verdict};
use crate::owner::context::Context;
use crate::owner::directory::Work;
use crate::owner::state::Owner;
use crate::wire::{Authenticated, ConnId, SessionId, StreamEnd};
use chaski_store::AccountId;
use chaski_xmpp::jid::prepare_resource;
use chaski_xmpp::stream::InlineResume;
use std::fmt::Write as _;

/// Longest resource: it is in every stanza the session sends.
const RESOURCE_BYTES_MAX: usize = 256;

impl Owner {
    /// A connection of this shard sends a login request to the account's owner, on whichever shard. Answered by
    /// [`crate::owner::wire::Wire::verdict`], perhaps within this call.
    pub(crate) fn login(&mut self, ctx: &mut Context<'_>, question: Question) {
        let owner = self.desk.owner(question.account);
        if owner == self.desk.here {
            self.with_account(ctx, question.account, Work::Login(question));
            return self.settle(ctx);
        }
        let ReplyTo { conn, number, .. } = question.reply_to;
        if ctx.wire.forward(Envelope::new(owner, Letter::Login(Box::new(question)))).is_err() {
            ctx.wire.verdict(conn, number, Err(Denied::Unavailable));
        }
    }

    /// Handles a login request for an account that is in memory.
    pub(crate) fn login_now(&mut self, ctx: &mut Context<'_>, question: Question) {
        let Question { reply_to, account, proved, ask, .. } = question;
        let conn = reply_to.conn;
        // A session and its connection are on the same shard, so a login from another shard can't get a session here.
        let proved = proved.filter(|_| reply_to.place == self.desk.here);
        let who = proved.map(|key_generation| Authenticated { account, key_generation });
        let verdict = match (ask, who) {
            (Ask::Credentials, _) => self.credentials(account).map(Granted::Credentials),
            (Ask::Token(proof), _) => match self.prove(ctx, account, reply_to, &proof) {
                Some(proved) => proved.map(Granted::Token),
                None => return,
            },
            (Ask::Bind(resource), Some(who)) => {
                self.try_bind(ctx, conn, who, resource.as_deref()).map(Granted::Bound)
            }
            (Ask::Resume(InlineResume { previd, h }), Some(who)) => {
                self.try_resume(ctx, conn, who, &previd, h).map(Granted::Resumed)
            }
            (Ask::Admit(wishes), Some(who)) => self.try_admit(ctx, conn, who, &wishes).map(Granted::Admitted),
            (Ask::Bind(_) | Ask::Resume(_) | Ask::Admit(_), None) => Err(Denied::NotAuthorized),
        };
        let is_there = who.is_some() && verdict.is_ok();
        self.tell_verdict(ctx, reply_to, verdict);
        if is_there {
            self.note_activity(ctx, account);
        }
    }

    /// Sends the answer to the connection that waits for it.
    pub(crate) fn tell_verdict(&mut self, ctx: &mut Context<'_>, reply_to: ReplyTo, verdict: Verdict) {
        let ReplyTo { place, conn, number } = reply_to;
        if place == self.desk.here {
            ctx.wire.verdict(conn, number, verdict);
        } else {
            self.reliably(ctx, place, Letter::Verdict { conn, number, verdict: Box::new(verdict) });
        }
    }

    fn credentials(&mut self, id: AccountId) -> Result<Credentials, Denied> {
        let record = &self.directory.present(id).ok_or(Denied::Unavailable)?.record;
        if record.disabled { Err(Denied::NotAuthorized) } else { Ok(record.credentials.clone()) }
    }

    fn try_bind(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        wanted: Option<&str>,
    ) -> Result<Bound, Denied> {
        let account = self.directory.present(who.account).ok_or(Denied::Unavailable)?;
        if account.record.disabled || account.record.generation() != who.key_generation {
            return Err(Denied::NotAuthorized);
        }
        let resource: Box<str> = match wanted {
            None => made_up_resource(ctx.rng).into(),
            Some(wanted) if wanted.len() > RESOURCE_BYTES_MAX => return Err(Denied::BadResource),
            Some(wanted) => prepare_resource(wanted).map_err(|_| Denied::BadResource)?.into(),
        };
        self.make_session(ctx, conn, who, resource, wanted.is_none())
    }

    /// Makes a new session with this resource; an older session with the same resource ends.
    pub(crate) fn make_session(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        resource: Box<str>,
        is_secret: bool,
    ) -> Result<Bound, Denied> {
        let account = self.directory.present(who.account).ok_or(Denied::Unavailable)?;
        if let Some(old) = account.resource(&resource) {
            // RFC 6120 §7.7.2.2: the newer session stays. What the older one had not acknowledged is still in the mailbox.
            let old = old.id;
            self.end_session(ctx, who.account, old, &End::over("conflict", "replaced by a newer session"));
        }
        self.make_room(ctx, who)?;
        let id = self.directory.new_session(who.account);
        let account = self.directory.present(who.account).ok_or(Denied::Unavailable)?;
        let full_jid = format!("{}/{resource}", account.bare);
        let mut session = Session::new(id, resource, conn, is_secret);
        let left = account.sessions.iter().map(|other| other.presence.left_unix_ms()).max();
        session.presence.note_left(left.unwrap_or(account.record.seen_unix_ms()));
        account.add_session(session);
        self.desk.metrics.sessions.add(1);
        self.desk.trace(ctx, who.account, || format!("session {} begins", id.0));
        Ok(Bound { session: id, full_jid })
    }

    /// Ends the session that has hibernated longest if the account has as many sessions as it may: otherwise the sessions that it
    /// has left behind would keep out a client that can't resume. A session with a connection is never ended for another.
    fn make_room(&mut self, ctx: &mut Context<'_>, who: Authenticated) -> Result<(), Denied> {
        let most = self.desk.realm.limits.sessions_per_account;
        let account = self.directory.present(who.account).ok_or(Denied::Unavailable)?;
        if account.sessions.len() < most {
            return Ok(());
        }
        let sleepers = account.sessions.iter().filter(|session| session.connection().is_none());
        let sleeper = sleepers.min_by_key(|session| session.hibernates_until_ms()).map(|session| session.id);
        let sleeper = sleeper.ok_or(Denied::TooManySessions)?;
        self.end_session(ctx, who.account, sleeper, &End::Over(None));
        Ok(())
    }

    pub(crate) fn try_resume(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        previd: &str,
        h: u32,
    ) -> Result<Resumed, Denied> {
        let refused = Denied::Gone(None);
        let account = self.directory.present(who.account).ok_or(refused)?;
        if account.record.disabled || account.record.generation() != who.key_generation {
            return Err(refused);
        }
        let session = account.sessions.iter().find(|session| session.is_resumed_by(previd)).ok_or(refused)?;
        if session.is_expired(ctx.now_ms) {
            let (id, handled) = (session.id, session.managed.as_ref().map(|managed| managed.inbound.h()));
            self.end_session(ctx, who.account, id, &End::Over(None));
            return Err(Denied::Gone(handled));
        }
        let (id, resource) = (session.id, session.resource.clone());
        let full_jid = format!("{}/{resource}", account.bare);
        let session = account.session_mut(id).ok_or(refused)?;
        // An impossible `h` changes nothing: such a client is not the one that the session belongs to.
        session.acknowledge(&mut self.desk, h).map_err(Denied::TooHigh)?;
        let h = session.managed.as_mut().ok_or(refused)?.inbound.resume();
        match session.resume_on(&self.desk, conn) {
            Some(old) => {
                ctx.wire.close(old, Some(StreamEnd::new("conflict", "resumed on another connection")));
            }
            None => self.desk.metrics.sessions_hibernating.add(-1),
        }
        crate::owner::mailbox::delete(&mut self.desk, ctx, account);
        self.desk.metrics.sessions_resumed_total.inc();
        self.desk.trace(ctx, who.account, || format!("session {} is resumed", id.0));
        Ok(Resumed { session: id, full_jid, previd: previd.to_owned(), h })
    }

    /// `<resumed/>` has been written on the session's new connection: sends again what the client has not acknowledged, and reads
    /// on from the mailbox.
    pub(crate) fn resumed_now(&mut self, ctx: &mut Context<'_>, id: SessionId, conn: ConnId) {
        let Some(account) = self.directory.account_of(id).and_then(|a| self.directory.present(a)) else {
            return;
        };
        if let Some(session) = account.session_mut(id).filter(|session| session.is_resuming_on(conn)) {
            session.conn = session.managed.as_mut().and_then(Managed::take_resuming);
            session.resend(&mut self.desk, ctx);
            // XEP-0352 §5.2: a client that resumes is active until it says otherwise.
            session.set_inactive(&mut self.desk, ctx, false);
            session.ease(&mut self.desk);
        }
        crate::owner::mailbox::read_on(&mut self.desk, ctx, account, id);
    }
}

/// A resource of 96 random bits, which nobody can guess.
pub(crate) fn made_up_resource(rng: &mut dyn rand::CryptoRng) -> String {
    let mut random = [0u8; 12];
    rng.fill_bytes(&mut random);
    let mut resource = String::with_capacity(24);
    for byte in random {
        // Writing into a String can't fail.
        _ = write!(resource, "{byte:02x}");
    }
    resource
}
