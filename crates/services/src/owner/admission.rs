//! Everything that a client requests together with its SASL2 authentication, done in one turn at the account's owner: resuming,
//! or else binding with the features to be enabled, and a token (XEP-0388 §2.6.1, XEP-0386 §3.2, XEP-0198 §9, XEP-0484 §3.3).
//! Called by [`super::login`].

use crate::account::fast_tokens;
use crate::account::session::End;
use crate::effects::login::{Admitted, Bound, Denied, Resumed};
use crate::owner::context::Context;
use crate::owner::login::made_up_resource;
use crate::owner::state::Owner;
use crate::wire::{Authenticated, ConnId, SessionId};
use chaski_store::AccountId;
use chaski_xmpp::jid::prepare_resource;
use chaski_xmpp::stream::{Access, Admission, InlineBind, Wishes};

/// Longest tag that a client may choose for its resource (XEP-0386). A longer one, or one that no resource may contain, is
/// ignored: the protocol has no way to tell the client.
const TAG_BYTES_MAX: usize = 64;

impl Owner {
    /// Does what a client has requested with its authentication.
    pub(crate) fn try_admit(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        wishes: &Wishes,
    ) -> Result<Admitted, Denied> {
        let account = self.directory.present(who.account).ok_or(Denied::Unavailable)?;
        if account.record.disabled || account.record.generation() != who.key_generation {
            return Err(Denied::NotAuthorized);
        }
        let jid = account.bare.to_string();
        let mut admitted = Admitted {
            session: None,
            admission: Admission { jid, access: Access::Authenticated, lost: None, token: None },
        };
        self.resume_inline(ctx, conn, who, wishes, &mut admitted);
        if let (None, Some(bind)) = (admitted.session, &wishes.bind) {
            // A client that can't have a session now may bind by RFC 6120, where it gets the reason as an error.
            if let Ok(Bound { session, full_jid }) = self.bind_inline(ctx, conn, who, wishes, bind) {
                admitted.session = Some(session);
                admitted.admission.jid = full_jid;
                admitted.admission.access = self.begin_session(ctx, session, bind);
            }
        }
        admitted.admission.token = self.issue_token(ctx, who.account, wishes);
        Ok(admitted)
    }

    fn resume_inline(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        wishes: &Wishes,
        admitted: &mut Admitted,
    ) {
        let Some(resume) = &wishes.resume else { return };
        match self.try_resume(ctx, conn, who, &resume.previd, resume.h) {
            Ok(Resumed { session, full_jid, previd, h }) => {
                admitted.session = Some(session);
                admitted.admission.jid = full_jid;
                admitted.admission.access = Access::Resumed { previd, h };
            }
            Err(Denied::Gone(h)) => admitted.admission.lost = Some(h),
            Err(_) => admitted.admission.lost = Some(None),
        }
    }

    fn bind_inline(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        who: Authenticated,
        wishes: &Wishes,
        bind: &InlineBind,
    ) -> Result<Bound, Denied> {
        self.directory.present(who.account).ok_or(Denied::Unavailable)?;
        let ours = match wishes.client {
            Some(client) => fast_tokens::resource(&self.desk.realm.secrets.root, who.account, client),
            None => made_up_resource(ctx.rng),
        };
        if wishes.client.is_some() {
            self.end_device(ctx, who.account, &ours);
        }
        let tag = bind.tag.as_deref().filter(|tag| tag.len() <= TAG_BYTES_MAX);
        let resource = match tag.and_then(|tag| prepare_resource(tag).ok()) {
            Some(tag) => format!("{tag}/{ours}"),
            None => ours,
        };
        // The resource of a device is the same each time, so it may be known to others from before and is not secret.
        self.make_session(ctx, conn, who, resource.into(), wishes.client.is_none())
    }

    /// The same device has logged in again: ends its earlier sessions, whatever tag they had.
    fn end_device(&mut self, ctx: &mut Context<'_>, id: AccountId, ours: &str) {
        let Some(account) = self.at_work(id) else { return };
        let is_ours = |resource: &str| resource.rsplit('/').next() == Some(ours);
        let earlier: Vec<SessionId> = account
            .sessions
            .iter()
            .filter(|session| is_ours(&session.resource))
            .map(|session| session.id)
            .collect();
        for session in earlier {
            self.end_session(ctx, id, session, &End::over("conflict", "the same device has come again"));
        }
    }

    /// Enables for a new session what the client has requested with the bind.
    fn begin_session(&mut self, ctx: &mut Context<'_>, id: SessionId, bind: &InlineBind) -> Access {
        let mut access = Access::Bound { enabled: None, carbons: bind.carbons };
        self.with_session(id, |session, desk| {
            if bind.carbons {
                session.set_carbons(true);
            }
            if bind.inactive {
                session.set_inactive(desk, ctx, true);
            }
            let enabled =
                bind.enable.map(|enable| session.manage(desk, ctx.rng, enable.resume, enable.max_s));
            access = Access::Bound { enabled, carbons: bind.carbons };
        });
        access
    }
}
