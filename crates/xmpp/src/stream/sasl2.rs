//! Authentication with everything else in one exchange (XEP-0388), whose bytes are the same as SASL's: reading
//! `<authenticate/>`, and answering with `<success/>` when the account's owner has done what was asked for.
//!
//! There is no new stream behind it. A resumed session goes on at once; whoever has bound or not gets the features of
//! an authenticated stream (XEP-0388 §2.6.1, XEP-0198 §9.2).

use super::inline::{Access, Admission, InlineEnabled, IssuedToken, TokenProof, TokenUse, Wishes};
use super::state::{Phase, State};
use super::{Action, Negotiation, Outlet, Refused, features};
use crate::error::{StanzaCondition, StreamCondition};
use crate::sasl::server::Step;
use crate::sasl::token::{Claim, TokenMechanism};
use crate::sasl::{Failure, Mechanism, base64};
use crate::write::Writer;
use crate::{Stanza, datetime, ns, sm};

impl Negotiation {
    /// `<authenticate/>`.
    pub(super) fn authenticate(&mut self, element: &Stanza<'_>, out: &mut dyn Outlet) -> Action {
        // From here on failures are told in its namespace.
        self.wishes = Some(Box::default());
        match self.begin_authenticate(element) {
            Ok(Begun::Exchange(step)) => self.take_step(step, out),
            Ok(Begun::Token { username, proof }) => {
                self.state = State::Token { username: username.as_str().into() };
                Action::ProveToken { username, proof }
            }
            Err(failure) => self.take_step(Step::Failure(failure), out),
        }
    }

    fn begin_authenticate(&mut self, element: &Stanza<'_>) -> Result<Begun, Failure> {
        let root = element.root();
        let mechanism = element.attr("mechanism").ok_or(Failure::MalformedRequest)?;
        let initial = match element.child("initial-response", ns::SASL2) {
            None => None,
            Some(response) => Some(base64::decode_element(&response.text())?),
        };
        self.wishes = Some(Box::new(Wishes::parse(&root)?));
        if let Some(mechanism) = TokenMechanism::from_name(&mechanism) {
            let token_use = TokenUse::parse(&root).ok_or(Failure::MalformedRequest)??;
            return self.begin_token(mechanism, initial.as_deref(), token_use);
        }
        let mechanism = Mechanism::from_name(&mechanism).ok_or(Failure::InvalidMechanism)?;
        self.start_exchange(mechanism, initial.as_deref()).map(Begun::Exchange)
    }

    /// XEP-0484 §3.4. Which token it is stands between the client and the owner of the account.
    fn begin_token(
        &mut self,
        mechanism: TokenMechanism,
        initial: Option<&[u8]>,
        token_use: TokenUse,
    ) -> Result<Begun, Failure> {
        let binding = mechanism.binding(&self.bindings).ok_or(Failure::InvalidMechanism)?.into();
        let claim = initial.and_then(Claim::parse).ok_or(Failure::MalformedRequest)?;
        let wishes = self.wishes.get_or_insert_default();
        // Without a client's id nobody has a token.
        let client = wishes.client.ok_or(Failure::NotAuthorized)?;
        wishes.came_by = Some(mechanism).filter(|_| !token_use.invalidate);
        let proof = TokenProof { client, mechanism, binding, proof: claim.proof, token_use };
        Ok(Begun::Token { username: claim.username, proof: Box::new(proof) })
    }

    /// The client is who it says: now for the rest.
    pub(super) fn admit(&mut self, username: String, data: Vec<u8>, mut wishes: Box<Wishes>) -> Action {
        // One that this connection can't have would be of no use on the next.
        wishes.token = wishes.token.filter(|mechanism| mechanism.binding(&self.bindings).is_some());
        if wishes.client.is_none() {
            wishes.token = None;
        }
        self.state = State::Admitting { data: data.into() };
        Action::Admit { username, wishes }
    }

    pub(super) fn answer_admission(
        &mut self,
        data: &[u8],
        result: Result<&Admission, Refused>,
        out: &mut dyn Outlet,
    ) -> Action {
        let admission = match result {
            Ok(admission) => admission,
            Err(refused) => {
                self.wishes = Some(Box::default());
                let failure = match refused {
                    Refused::NotAuthorized => Failure::NotAuthorized,
                    Refused::Unavailable => Failure::TemporaryAuthFailure,
                };
                return self.authentication_failed(failure.condition(), State::Auth, out);
            }
        };
        let mut piece = Vec::with_capacity(512);
        write_success(&mut piece, data, admission);
        out.put(&piece);
        match admission.access {
            Access::Resumed { .. } => return Action::Established,
            Access::Bound { .. } => {
                self.framing.write_features(&features::of(Phase::Bound, &self.settings, &self.bindings), out);
                return Action::Established;
            }
            Access::Authenticated => {}
        }
        self.framing.write_features(&features::of(Phase::Authenticated, &self.settings, &self.bindings), out);
        self.state = State::Session;
        Action::Read
    }

    /// A second `<authenticate/>` behind a success (XEP-0388 §6.8).
    pub(super) fn authenticate_again(&mut self, out: &mut dyn Outlet) -> Action {
        self.fail(StreamCondition::PolicyViolation, Some("authenticated already"), out)
    }
}

/// How an `<authenticate/>` goes on.
enum Begun {
    Exchange(Step),
    Token { username: String, proof: Box<TokenProof> },
}

/// `<challenge/>`.
pub(super) fn put_challenge(data: &[u8], out: &mut dyn Outlet) {
    let mut piece = Vec::with_capacity(256);
    Writer::new(&mut piece).open_ns("challenge", ns::SASL2).text(&base64::encode_element(data)).close();
    out.put(&piece);
}

/// `<failure/>` (XEP-0388 §2.6.2): its own element, the condition of RFC 6120.
pub(super) fn put_failure(condition: &str, out: &mut dyn Outlet) {
    let mut piece = Vec::with_capacity(160);
    Writer::new(&mut piece).open_ns("failure", ns::SASL2).open_ns(condition, ns::SASL).close().close();
    out.put(&piece);
}

fn write_success(piece: &mut Vec<u8>, data: &[u8], admission: &Admission) {
    let mut inline = Vec::with_capacity(256);
    write_access(&mut inline, admission);
    if let Some(IssuedToken { token, expires_unix_ms }) = &admission.token {
        let mut writer = Writer::new(&mut inline);
        writer.open_ns("token", ns::FAST).attr("expiry", &datetime::format(*expires_unix_ms));
        writer.attr("token", token).close();
    }
    let mut writer = Writer::new(piece);
    writer.open_ns("success", ns::SASL2);
    if !data.is_empty() {
        writer.leaf("additional-data", &base64::encode_element(data));
    }
    writer.leaf("authorization-identifier", &admission.jid).raw(&inline).close();
}

fn write_access(inline: &mut Vec<u8>, admission: &Admission) {
    if let Some(h) = admission.lost {
        sm::write_failed(inline, StanzaCondition::ItemNotFound, h);
    }
    match &admission.access {
        Access::Authenticated => {}
        Access::Resumed { previd, h } => sm::write_resumed(inline, previd, *h),
        Access::Bound { enabled, carbons } => {
            let mut within = Vec::with_capacity(160);
            if let Some(InlineEnabled { id, max_s }) = enabled {
                sm::write_enabled(&mut within, id.as_deref().map(|id| (id, *max_s)));
            }
            if *carbons {
                // XEP-0386 needs no answer to this; Conversations knows by it that it need not ask again.
                Writer::new(&mut within).open_ns("enabled", ns::CARBONS).close();
            }
            Writer::new(inline).open_ns("bound", ns::BIND2).raw(&within).close();
        }
    }
}
