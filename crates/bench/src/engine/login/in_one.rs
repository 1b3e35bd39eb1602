//! A login in one exchange (XEP-0388 with XEP-0386), and by a token without waiting for anything (XEP-0484).

use super::{Live, Login, LoginError, Next, Own, Previous, Step, Wishes};
use crate::accounts;
use crate::load::Way;
use chaski_xmpp::Stanza;
use chaski_xmpp::sasl::client::ClientError;
use chaski_xmpp::sasl::token::{self, Claim, TokenMechanism};
use chaski_xmpp::stream::client::{Authenticate, Sasl2Reply, write_authenticate, write_response2};
use chaski_xmpp::stream::{
    self, Access, Admission, ClientId, InlineBind, InlineEnable, InlineResume, TokenUse,
};

/// The generator has no use for channel bindings, as in its other ways.
const TOKEN: TokenMechanism = TokenMechanism::Unbound;

/// Appends `<authenticate/>` with all that the session wants.
pub(super) fn write(mechanism: &str, initial: &[u8], wishes: &Wishes, own: &Own<'_>, out: &mut Vec<u8>) {
    let by_token = mechanism == TOKEN.name();
    let enable = wishes.stream_management.then_some(InlineEnable { resume: true, max_s: None });
    let resume = own.previous.filter(|_| wishes.stream_management);
    let all = stream::Wishes {
        client: Some(client(own.account)),
        resume: resume.map(|Previous { id, h }| InlineResume { previd: id.to_owned(), h }),
        bind: Some(InlineBind { tag: Some("load".into()), enable, ..InlineBind::default() }),
        token: (wishes.way == Way::Fast && !by_token).then_some(TOKEN),
        came_by: None,
    };
    let token_use = by_token.then(TokenUse::default);
    let authenticate = Authenticate { mechanism, initial, software: None, wishes: &all, token_use };
    write_authenticate(&authenticate, out);
}

/// The installation that an account's one session is.
fn client(account: u32) -> ClientId {
    let mut id = [0xC4; 16];
    id[..4].copy_from_slice(&account.to_be_bytes());
    ClientId(id)
}

impl Login {
    /// Who has a token does not wait for the server's features: it has seen them.
    pub(super) fn come_by_token(&mut self, wishes: &Wishes, own: &Own<'_>, out: &mut Vec<u8>) {
        let Some(token) = own.token.filter(|_| wishes.way == Way::Fast) else { return };
        let claim = Claim::write(&accounts::number(own.account as usize), token, &[]);
        write(TOKEN.name(), &claim, wishes, own, out);
        self.is_ahead = true;
    }

    pub(super) fn admission(
        &mut self,
        element: &Stanza<'_>,
        wishes: &Wishes,
        own: &Own<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Next, LoginError> {
        match Sasl2Reply::parse(element).ok_or(LoginError::Protocol("no SASL2"))? {
            Sasl2Reply::Challenge(data) => {
                let exchange = self.exchange.as_mut().ok_or(LoginError::Protocol("SASL out of turn"))?;
                write_response2(&exchange.challenge(&data)?, out);
                self.step = Step::Admission;
                Ok(Next::More)
            }
            Sasl2Reply::Success(data, admission) => {
                match (self.exchange.take(), own.token) {
                    (Some(exchange), _) => exchange.success(&data)?,
                    (None, Some(token)) if token::is_same(&data, &token::responder(token, &[])) => {}
                    _ => return Err(ClientError::ServerNotProved.into()),
                }
                live(*admission, wishes, own, out)
            }
            Sasl2Reply::Failure(condition, _) => Err(LoginError::Refused(condition)),
        }
    }
}

fn live(admission: Admission, wishes: &Wishes, own: &Own<'_>, out: &mut Vec<u8>) -> Result<Next, LoginError> {
    let token = admission.token.map(|issued| Box::new(issued.token));
    match admission.access {
        Access::Authenticated => Err(LoginError::Refused("no session is bound".into())),
        Access::Resumed { h, .. } => {
            let id = own.previous.map(|previous| previous.id.into());
            Ok(Next::Live(Live { is_managed: true, id, resumed: Some(h), stanzas_sent: 0, token }))
        }
        Access::Bound { enabled, .. } => {
            if wishes.presence {
                out.extend_from_slice(b"<presence/>");
            }
            let is_managed = enabled.is_some();
            let id = enabled.and_then(|enabled| enabled.id).map(Into::into);
            let stanzas_sent = u32::from(wishes.presence);
            Ok(Next::Live(Live { is_managed, id, resumed: None, stanzas_sent, token }))
        }
    }
}
