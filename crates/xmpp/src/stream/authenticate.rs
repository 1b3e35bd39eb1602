//! SASL inside `<auth/>`, `<challenge/>` and `<response/>` (RFC 6120 §6.4), and what [`super::sasl2`] has in common with
//! it. The bytes are [`crate::sasl`]'s.

use super::state::{Phase, State};
use super::{Action, Negotiation, Outlet, features, sasl2};
use crate::error::StreamCondition;
use crate::sasl::server::{self, AwaitingResponse, Context, Step};
use crate::sasl::{Failure, Mechanism, Nonce, base64};
use crate::write::Writer;
use crate::{Stanza, ns};

/// Encryption is required before anything is said about mechanisms (RFC 6120 §6.5.5).
const ENCRYPTION_REQUIRED: &str = "encryption-required";

impl Negotiation {
    /// Before TLS.
    pub(super) fn before_tls(&mut self, element: &Stanza<'_>, out: &mut dyn Outlet) -> Action {
        if element.is("starttls", ns::TLS) {
            out.put(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            self.state = State::Handshake;
            return Action::StartTls;
        }
        if element.is("auth", ns::SASL) {
            return self.authentication_failed(ENCRYPTION_REQUIRED, State::StartTls, out);
        }
        if element.is("authenticate", ns::SASL2) {
            self.wishes = Some(Box::default());
            return self.authentication_failed(ENCRYPTION_REQUIRED, State::StartTls, out);
        }
        self.fail(StreamCondition::NotAuthorized, None, out)
    }

    /// Before an authentication.
    pub(super) fn before_auth(&mut self, element: &Stanza<'_>, out: &mut dyn Outlet) -> Action {
        if element.is("auth", ns::SASL) {
            let step = self.begin_exchange(element).unwrap_or_else(Step::Failure);
            return self.take_step(step, out);
        }
        if element.is("authenticate", ns::SASL2) {
            return self.authenticate(element, out);
        }
        if is_sasl(element, "abort") || is_sasl(element, "response") {
            self.wishes = element.is(element.name(), ns::SASL2).then(Box::default);
            return self.take_step(Step::Failure(Failure::MalformedRequest), out);
        }
        self.fail(StreamCondition::NotAuthorized, None, out)
    }

    fn begin_exchange(&mut self, element: &Stanza<'_>) -> Result<Step, Failure> {
        let mechanism = element.attr("mechanism").ok_or(Failure::MalformedRequest)?;
        let mechanism = Mechanism::from_name(&mechanism).ok_or(Failure::InvalidMechanism)?;
        let initial = data(element)?;
        self.start_exchange(mechanism, initial.as_deref())
    }

    pub(super) fn start_exchange(
        &mut self,
        mechanism: Mechanism,
        initial: Option<&[u8]>,
    ) -> Result<Step, Failure> {
        if !features::offered(&self.settings, &self.bindings).any(|offered| offered == mechanism) {
            return Err(Failure::InvalidMechanism);
        }
        let mut entropy = [0; 18];
        entropy.copy_from_slice(&self.draw(b"nonce")[..18]);
        let nonce = Nonce::from_entropy(entropy);
        // Only the newer protocol compares who opened the stream with who acts (XEP-0388 §2.3).
        let from = self.from.as_deref().filter(|_| self.wishes.is_some());
        let context = Context { domain: &self.settings.domain, from, bindings: &self.bindings, nonce };
        Ok(server::start(mechanism, initial, context))
    }

    /// During an authentication.
    pub(super) fn during_auth(
        &mut self,
        waiting: AwaitingResponse,
        element: &Stanza<'_>,
        out: &mut dyn Outlet,
    ) -> Action {
        let namespace = if self.wishes.is_some() { ns::SASL2 } else { ns::SASL };
        let step = if element.is("response", namespace) {
            let response = match namespace {
                ns::SASL2 => base64::decode_element(&element.root().text()),
                _ => data(element).map(Option::unwrap_or_default),
            };
            response.map_or_else(Step::Failure, |data| waiting.respond_within(&data, self.tries))
        } else if element.is("abort", namespace) {
            Step::Failure(Failure::Aborted)
        } else if element.is("auth", ns::SASL) && namespace == ns::SASL {
            Step::Failure(Failure::MalformedRequest)
        } else {
            return self.fail(StreamCondition::NotAuthorized, None, out);
        };
        self.take_step(step, out)
    }

    pub(super) fn take_step(&mut self, step: Step, out: &mut dyn Outlet) -> Action {
        match step {
            Step::Challenge(data, waiting) => {
                self.state = State::Response(waiting);
                match &self.wishes {
                    Some(_) => sasl2::put_challenge(&data, out),
                    None => put_data("challenge", Some(&data), out),
                }
                Action::Read
            }
            Step::NeedSecret(need) => {
                let action =
                    Action::LookupCredentials { username: need.username().to_owned(), hash: need.hash() };
                self.state = State::Secret(need);
                action
            }
            Step::VerifyPlain(verify) => {
                let (username, password) = (verify.username().to_owned(), verify.password().clone());
                self.state = State::Password(verify);
                Action::VerifyPlain { username, password }
            }
            Step::Success { username, data } => {
                if let Some(wishes) = self.wishes.take() {
                    return self.admit(username, data, wishes);
                }
                put_data("success", Some(&data[..]).filter(|data| !data.is_empty()), out);
                self.begin(Phase::Authenticated);
                Action::Authenticated { username }
            }
            Step::Failure(failure) => self.authentication_failed(failure.condition(), State::Auth, out),
        }
    }

    pub(super) fn authentication_failed(
        &mut self,
        condition: &str,
        next: State,
        out: &mut dyn Outlet,
    ) -> Action {
        if self.wishes.take().is_some() {
            sasl2::put_failure(condition, out);
        } else {
            let mut piece = Vec::with_capacity(128);
            Writer::new(&mut piece).open_ns("failure", ns::SASL).open(condition).close().close();
            out.put(&piece);
        }
        self.state = next;
        self.sasl_failures = self.sasl_failures.saturating_add(1);
        if self.sasl_failures >= self.settings.sasl_failures_max {
            return self.fail(StreamCondition::PolicyViolation, Some("too many failed authentications"), out);
        }
        Action::Read
    }
}

/// Whether it is SASL's element of this name, in either profile.
fn is_sasl(element: &Stanza<'_>, name: &str) -> bool {
    element.is(name, ns::SASL) || element.is(name, ns::SASL2)
}

/// The data of an `<auth/>` or `<response/>`.
fn data(element: &Stanza<'_>) -> Result<Option<Vec<u8>>, Failure> {
    if element.child_count() > 0 {
        return Err(Failure::MalformedRequest);
    }
    base64::decode(&element.root().text())
}

fn put_data(name: &'static str, data: Option<&[u8]>, out: &mut dyn Outlet) {
    let mut piece = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut piece);
    writer.open_ns(name, ns::SASL);
    if let Some(data) = data {
        writer.text(&base64::encode(data));
    }
    writer.close();
    drop(writer);
    out.put(&piece);
}
