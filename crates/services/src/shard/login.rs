//! Binding and resuming: a connection becomes a session (RFC 6120 §7, XEP-0198 §5).

use crate::context::Context;
use crate::session::{End, Managed, Session};
use crate::shard::Shard;
use crate::wire::{Authenticated, BindRefused, Bound, ConnId, ResumeRefused, Resumed, SessionId, StreamEnd};
use chaski_xmpp::jid::prepare_resource;
use std::fmt::Write as _;

/// Longest resource: it is in every stanza the session sends.
const RESOURCE_BYTES_MAX: usize = 256;

impl Shard {
    /// Binds, the account being in memory.
    pub(crate) fn bind_now(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        resource: Option<&str>,
    ) {
        let result = self.try_bind(ctx, conn, who, resource);
        ctx.wire.bound(conn, result);
        self.note_activity(ctx, who.account);
    }

    fn try_bind(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        wanted: Option<&str>,
    ) -> Result<Bound, BindRefused> {
        let account = self.directory.present(who.account).ok_or(BindRefused::Unavailable)?;
        if account.record.disabled || account.record.generation() != who.key_generation {
            return Err(BindRefused::KeyChanged);
        }
        let resource: Box<str> = match wanted {
            None => made_up_resource(ctx.rng).into(),
            Some(wanted) if wanted.len() > RESOURCE_BYTES_MAX => return Err(BindRefused::BadResource),
            Some(wanted) => prepare_resource(wanted).map_err(|_| BindRefused::BadResource)?.into(),
        };
        self.make_session(ctx, conn, who, resource, wanted.is_none())
    }

    /// A new session under this resource; an older one under it ends.
    pub(super) fn make_session(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        resource: Box<str>,
        is_secret: bool,
    ) -> Result<Bound, BindRefused> {
        let account = self.directory.present(who.account).ok_or(BindRefused::Unavailable)?;
        if let Some(old) = account.resource(&resource) {
            // RFC 6120 §7.7.2.2: the newer one stays. What the older one had not acknowledged is still in the mailbox.
            let old = old.id;
            self.end_session(ctx, who.account, old, &End::over("conflict", "replaced by a newer session"));
        }
        self.make_room(ctx, who)?;
        let id = self.directory.new_session(who.account);
        let account = self.directory.present(who.account).ok_or(BindRefused::Unavailable)?;
        let full_jid = format!("{}/{resource}", account.bare);
        let mut session = Session::new(id, resource, conn, is_secret);
        let left = account.sessions.iter().map(|other| other.presence.left_unix_ms()).max();
        session.presence.note_left(left.unwrap_or(account.record.seen_unix_ms()));
        account.add_session(session);
        self.desk.metrics.sessions.add(1);
        Ok(Bound { session: id, full_jid })
    }

    /// Ends the session that has hibernated longest, if the account has as many as it may: else a client that can't resume
    /// would be kept out by what it has left behind. One that has a connection is never ended for another.
    fn make_room(&mut self, ctx: &mut Context<'_>, who: Authenticated) -> Result<(), BindRefused> {
        let most = self.desk.realm.limits.sessions_per_account;
        let account = self.directory.present(who.account).ok_or(BindRefused::Unavailable)?;
        if account.sessions.len() < most {
            return Ok(());
        }
        let sleepers = account.sessions.iter().filter(|session| session.connection().is_none());
        let sleeper = sleepers.min_by_key(|session| session.hibernates_until_ms()).map(|session| session.id);
        let sleeper = sleeper.ok_or(BindRefused::TooMany)?;
        self.end_session(ctx, who.account, sleeper, &End::Over(None));
        Ok(())
    }

    /// Resumes, the account being in memory.
    pub(crate) fn resume_now(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        previd: &str,
        h: u32,
    ) {
        let result = self.try_resume(ctx, conn, who, previd, h);
        let is_resumed = result.is_ok();
        ctx.wire.resumed(conn, result);
        if is_resumed {
            self.note_activity(ctx, who.account);
        }
    }

    pub(super) fn try_resume(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        previd: &str,
        h: u32,
    ) -> Result<Resumed, ResumeRefused> {
        let refused = ResumeRefused::default();
        let account = self.directory.present(who.account).ok_or(refused)?;
        if account.record.disabled || account.record.generation() != who.key_generation {
            return Err(refused);
        }
        let session = account.sessions.iter().find(|session| session.is_resumed_by(previd)).ok_or(refused)?;
        if session.is_expired(ctx.now_ms) {
            let (id, handled) = (session.id, session.managed.as_ref().map(|managed| managed.inbound.h()));
            self.end_session(ctx, who.account, id, &End::Over(None));
            return Err(ResumeRefused { h: handled, ..refused });
        }
        let (id, resource) = (session.id, session.resource.clone());
        let full_jid = format!("{}/{resource}", account.bare);
        let session = account.session_mut(id).ok_or(refused)?;
        // An impossible `h` leaves everything as it is: whoever says it is not the client we know.
        session
            .acknowledge(&mut self.desk, h)
            .map_err(|too_high| ResumeRefused { too_high: Some(too_high), ..refused })?;
        let h = session.managed.as_mut().ok_or(refused)?.inbound.resume();
        match session.resume_on(&self.desk, conn) {
            Some(old) => {
                ctx.wire.close(old, Some(StreamEnd::new("conflict", "resumed on another connection")));
            }
            None => self.desk.metrics.sessions_hibernating.add(-1),
        }
        crate::mailbox::delete(&mut self.desk, ctx, account);
        self.desk.metrics.sessions_resumed_total.inc();
        Ok(Resumed { session: id, full_jid, previd: previd.to_owned(), h })
    }

    /// `<resumed/>` is written: sends again what is unacknowledged, and reads on.
    pub(crate) fn resumed_now(&mut self, ctx: &mut Context<'_>, id: SessionId, conn: ConnId) {
        let Some(account) = self.directory.account_of(id).and_then(|a| self.directory.present(a)) else {
            return;
        };
        if let Some(session) = account.session_mut(id).filter(|session| session.is_resuming_on(conn)) {
            session.conn = session.managed.as_mut().and_then(Managed::take_resuming);
            session.resend(&mut self.desk, ctx);
            // XEP-0352 §5.2: who comes back is active until it says otherwise.
            session.set_inactive(&mut self.desk, ctx, false);
            session.ease(&mut self.desk);
        }
        crate::mailbox::read_on(&mut self.desk, ctx, account, id);
    }
}

/// A resource that nobody can guess.
pub(super) fn made_up_resource(rng: &mut dyn rand::CryptoRng) -> String {
    let mut random = [0u8; 12];
    rng.fill_bytes(&mut random);
    let mut resource = String::with_capacity(24);
    for byte in random {
        // Writing into a String can't fail.
        _ = write!(resource, "{byte:02x}");
    }
    resource
}
