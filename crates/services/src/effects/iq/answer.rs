//! The answer to an IQ request: a result or an error, addressed and posted.

use crate::account::Account;
use crate::account::roster::Contact;
use crate::account::settings::What;
use crate::account::shows::shows;
use crate::account::viewer::Viewer;
use crate::effects::turn::command::reply::note_forgotten;
use crate::effects::turn::outbox::{Outbox, Post};
use crate::realm::Realm;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::{Header, JidRef, Kind, Stanza, StanzaError, write};

/// The answer to one stanza. Either [`result`](Self::result) or [`error`](Self::error) is called, once. It outlives the
/// stanza, so that an answer can wait for the store.
pub struct Reply {
    kind: Kind,
    id: Option<String>,
    from: Option<String>,
    to: String,
    /// `None`: it has been given.
    target: Option<Target>,
}

/// Another account that has sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// Who.
    pub(crate) contact: Contact,
    /// The other account has a subscription to the presence of the account that it asks.
    pub(crate) subscribed: bool,
    /// The account shows the other one its presence, so the other one may know that it exists.
    pub(crate) may_see: bool,
}

impl Asker {
    /// The asker as the rules for PEP nodes see it.
    pub(crate) fn viewer(&self) -> Viewer<'_> {
        Viewer { contact: &self.contact, subscribed: self.subscribed }
    }
}

enum Target {
    Session(SessionId),
    Other { account: AccountId, resource: Box<str> },
}

impl Reply {
    /// An answer to a session of this account, without `from` if the request had no `to`.
    pub fn to_owner(account: &Account, session: SessionId, request: &Stanza<'_>) -> Self {
        let to = account.session(session).map(|session| account.full_jid(session)).unwrap_or_default();
        // If the request named the account's bare JID, the answer comes from there; if it had no `to`, the answer has no `from`.
        // The answer to a presence comes from the JID that the presence was for (RFC 6120 §8.3.1).
        let from = request.to().map(|to| match request.kind() {
            Kind::Presence => to.into_owned(),
            _ => account.bare.to_string(),
        });
        Self::new(request, from, to, Target::Session(session))
    }

    /// The same, on the domain's behalf.
    pub fn from_domain(mut self, realm: &Realm) -> Self {
        self.from = Some(realm.domain.to_string());
        self
    }

    /// The same, on behalf of one of the server's services.
    pub(crate) fn on_behalf_of(mut self, address: &str) -> Self {
        self.from = Some(address.to_owned());
        self
    }

    /// An answer to another account's session that has sent a request to this account's bare JID. `None`: the request has no full
    /// JID of this domain as its `from`.
    pub fn to_other(account: &Account, domain: &str, request: &Stanza<'_>) -> Option<Self> {
        let to = request.from()?.into_owned();
        let asker = JidRef::split(&to);
        let resource = asker.resource?.into();
        let asker_account =
            (asker.domain == domain).then(|| AccountId::from_local(asker.local?)).flatten()?;
        let target = Target::Other { account: asker_account, resource };
        Some(Self::new(request, Some(account.bare.to_string()), to, target))
    }

    fn new(request: &Stanza<'_>, from: Option<String>, to: String, target: Target) -> Self {
        Self {
            kind: request.kind(),
            id: request.id().map(|id| id.into_owned()),
            from,
            to,
            target: Some(target),
        }
    }

    /// The recipient of the answer, as a full JID.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// The account that has sent the request, if it is another one.
    pub(crate) fn asker(&self, account: &Account) -> Asker {
        let bare = self.to.split_once('/').map_or(&*self.to, |(bare, _)| bare);
        let domain = account.bare.split_once('@').map_or(&*account.bare, |(_, domain)| domain);
        let contact = Contact::new(bare, domain);
        let subscribed = bare == &*account.bare || account.roster.state(&contact).from();
        let may_see = shows(account, What::Online, &contact);
        Asker { contact, subscribed, may_see }
    }

    /// The result, with this payload.
    pub fn result(self, outbox: &mut Outbox, payload: &[u8]) {
        let mut out = Vec::with_capacity(128 + payload.len());
        write::stanza(&mut out, self.kind, &self.header("result"), payload);
        self.post(outbox, out);
    }

    /// An empty result, which a session of the account gets behind what waits for it in the mailbox.
    pub(crate) fn result_behind_mail(mut self, outbox: &mut Outbox) {
        let Some(Target::Session(session)) = self.target else { return self.result(outbox, b"") };
        self.target = None;
        let mut out = Vec::with_capacity(128);
        write::stanza(&mut out, self.kind, &self.header("result"), b"");
        outbox.posts.push(Post::BehindMail { session, stanza: out.into() });
    }

    /// Posts an error.
    pub fn error<'e>(self, outbox: &mut Outbox, error: impl Into<StanzaError<'e>>) {
        let out = self.error_stanza(&error.into());
        self.post(outbox, out);
    }

    /// The stanza that [`error`](Self::error) posts.
    pub(crate) fn error_stanza(&self, error: &StanzaError<'_>) -> Vec<u8> {
        let (mut out, mut element) = (Vec::with_capacity(256), Vec::with_capacity(128));
        write::error_element(&mut element, error);
        write::stanza(&mut out, self.kind, &self.header("error"), &element);
        out
    }

    fn header<'a>(&'a self, type_attr: &'a str) -> Header<'a> {
        let (from, to, id) = (self.from.as_deref(), Some(&*self.to), self.id.as_deref());
        Header { from, to, id, type_attr: Some(type_attr) }
    }

    fn post(mut self, outbox: &mut Outbox, stanza: Vec<u8>) {
        match self.target.take() {
            Some(Target::Session(session)) => outbox.to_session(session, stanza),
            Some(Target::Other { account, resource }) => outbox.to_resource(account, &resource, stanza),
            None => {}
        }
    }

    /// No answer is owed: it has been given by other means.
    pub(crate) fn give_up(mut self) {
        self.target = None;
    }
}

/// Whoever has asked waits for an answer: one that is dropped was forgotten.
impl Drop for Reply {
    fn drop(&mut self) {
        if self.target.is_some() {
            note_forgotten("a request");
        }
    }
}
