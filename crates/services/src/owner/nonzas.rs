//! What a client sends that is no stanza: stream management (XEP-0198) and client state indication (XEP-0352).

use super::context::Context;
use super::desk::Desk;
use super::mailbox;
use super::state::Owner;
use crate::account::Account;
use crate::budget;
use crate::wire::SessionId;
use chaski_xmpp::sm::Nonza;
use chaski_xmpp::{Stanza, ns};

impl Owner {
    pub(crate) fn counted(&mut self, ctx: &mut Context<'_>, id: SessionId, nonza: &Nonza<'_>) {
        self.said_beside(ctx, id, |desk, ctx, account| {
            if let Nonza::Ack { h } = *nonza {
                return mailbox::acknowledged(desk, ctx, account, id, h);
            }
            let Some(session) = account.session_mut(id) else { return };
            match *nonza {
                Nonza::Request => session.requested(desk, ctx),
                Nonza::Enable { resume, max } => session.enable(desk, ctx, resume, max),
                Nonza::Resume { .. } => session.resume_refused(desk, ctx),
                Nonza::Ack { .. } | Nonza::Enabled { .. } | Nonza::Resumed { .. } | Nonza::Failed { .. } => {
                    session.unexpected(desk)
                }
            }
        });
    }

    /// Handles an element that is no stanza.
    pub(crate) fn foreign(&mut self, ctx: &mut Context<'_>, id: SessionId, element: &Stanza<'_>) {
        let read = Nonza::parse(&element.root());
        if let Some(Ok(nonza)) = read {
            return self.counted(ctx, id, &nonza);
        }
        self.said_beside(ctx, id, |desk, ctx, account| {
            let Some(session) = account.session_mut(id) else { return };
            match read {
                Some(_) => session.unexpected(desk),
                None if element.is("active", ns::CSI) => session.set_inactive(desk, ctx, false),
                None if element.is("inactive", ns::CSI) => session.set_inactive(desk, ctx, true),
                None => session.foreign(desk),
            }
        });
    }

    /// Handles an element of a session that is no stanza, and notes the account's activity: a client that only reads and
    /// acknowledges for weeks must not be taken for gone, or else its number would count as silent and lose its registration
    /// lock.
    pub(crate) fn said_beside(
        &mut self,
        ctx: &mut Context<'_>,
        id: SessionId,
        act: impl FnOnce(&mut Desk, &mut Context<'_>, &mut Account),
    ) {
        self.desk.spend(budget::WRITTEN);
        let Some((desk, account)) = self.account_of(id) else { return };
        let (owner, is_news) = (account.id, account.record.is_seen_due(ctx.unix_ms));
        act(desk, ctx, account);
        if is_news {
            self.note_activity(ctx, owner);
        }
    }
}
