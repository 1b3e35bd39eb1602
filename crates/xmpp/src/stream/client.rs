//! The client's side of a negotiation, in pieces: what our own client, the load generator and tests write and read.
//! The order of things is the caller's. (Stream headers: [`super::Framing::write_header`]; SASL's bytes:
//! [`crate::sasl::client`]; resumption: [`crate::sm`].)

mod sasl2;

pub use sasl2::{Authenticate, Offer, Sasl2Reply, write_authenticate, write_response2};

use super::{Framing, Outlet};
use crate::error::StreamCondition;
use crate::sasl::{Mechanism, base64};
use crate::write::Writer;
use crate::{Stanza, ns};

/// What a server offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// `<starttls/>`
    pub starttls: bool,
    /// The mechanisms that we speak.
    pub mechanisms: Vec<Mechanism>,
    /// XEP-0388's way in, if there is one.
    pub sasl2: Option<Offer>,
    /// XEP-0440's types, if the server names them.
    pub channel_bindings: Option<Vec<String>>,
    /// `<bind/>`
    pub bind: bool,
    /// `<sm/>`
    pub stream_management: bool,
}

impl Features {
    /// Reads `<stream:features/>`; `None` if it is something else.
    pub fn parse(element: &Stanza<'_>) -> Option<Self> {
        let mut features = element.is("features", ns::STREAMS).then(Self::default)?;
        for child in element.children() {
            if child.is("mechanisms", ns::SASL) {
                let names = child.children().filter(|mechanism| mechanism.is("mechanism", ns::SASL));
                features.mechanisms.extend(names.filter_map(|name| Mechanism::from_name(name.text().trim())));
            } else if child.is("authentication", ns::SASL2) {
                features.sasl2 = Some(Offer::parse(&child));
            } else if child.is("sasl-channel-binding", ns::CHANNEL_BINDING) {
                let types = child.children().filter_map(|binding| binding.attr("type"));
                features.channel_bindings = Some(types.map(|name| name.into_owned()).collect());
            }
            features.starttls |= child.is("starttls", ns::TLS);
            features.bind |= child.is("bind", ns::BIND);
            features.stream_management |= child.is("sm", ns::SM);
        }
        Some(features)
    }
}

/// What a server says during SASL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaslReply {
    /// `<challenge/>`
    Challenge(Vec<u8>),
    /// `<success/>`, with additional data or none.
    Success(Vec<u8>),
    /// `<failure/>`, with its condition and text.
    Failure(String, Option<String>),
}

impl SaslReply {
    /// Reads an element; `None` if it is something else or not in base64.
    pub fn parse(element: &Stanza<'_>) -> Option<Self> {
        if element.ns() != ns::SASL {
            return None;
        }
        let data = || base64::decode(&element.root().text()).ok().map(Option::unwrap_or_default);
        match element.name() {
            "challenge" => data().map(Self::Challenge),
            "success" => data().map(Self::Success),
            "failure" => {
                let (condition, text) = condition_and_text(element, ns::SASL);
                Some(Self::Failure(condition.unwrap_or_default(), text))
            }
            _ => None,
        }
    }
}

/// Why the server ends the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// The condition.
    pub condition: StreamCondition,
    /// The text for a person.
    pub text: Option<String>,
}

impl StreamError {
    /// Reads `<stream:error/>`; `None` if it is something else.
    pub fn parse(element: &Stanza<'_>) -> Option<Self> {
        if !element.is("error", ns::STREAMS) {
            return None;
        }
        let (condition, text) = condition_and_text(element, ns::STREAM_ERRORS);
        let condition = condition.and_then(|name| StreamCondition::from_name(&name));
        Some(Self { condition: condition.unwrap_or(StreamCondition::UndefinedCondition), text })
    }
}

fn condition_and_text(element: &Stanza<'_>, namespace: &str) -> (Option<String>, Option<String>) {
    let (mut condition, mut text) = (None, None);
    for child in element.children().filter(|child| child.ns() == namespace) {
        match child.name() {
            "text" => text = Some(child.text().into_owned()),
            name => condition = condition.or(Some(name.to_owned())),
        }
    }
    (condition, text)
}

/// Writes `<starttls/>`.
pub fn write_starttls(out: &mut dyn Outlet) {
    out.put(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
}

/// Writes `<auth/>` with an initial response.
pub fn write_auth(mechanism: Mechanism, initial: &[u8], out: &mut dyn Outlet) {
    let mut piece = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut piece);
    writer
        .open_ns("auth", ns::SASL)
        .attr("mechanism", mechanism.name())
        .text(&base64::encode(initial))
        .close();
    drop(writer);
    out.put(&piece);
}

/// Writes `<response/>`.
pub fn write_response(data: &[u8], out: &mut dyn Outlet) {
    let mut piece = Vec::with_capacity(256);
    Writer::new(&mut piece).open_ns("response", ns::SASL).text(&base64::encode(data)).close();
    out.put(&piece);
}

/// Writes the iq that binds this resource, or one of the server's choice.
pub fn write_bind(framing: Framing, id: &str, resource: Option<&str>, out: &mut dyn Outlet) {
    let mut piece = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut piece);
    writer.open("iq").attr_opt("xmlns", framing.stanza_ns()).attr("type", "set").attr("id", id);
    writer.open_ns("bind", ns::BIND);
    if let Some(resource) = resource {
        writer.leaf("resource", resource);
    }
    writer.close().close();
    drop(writer);
    out.put(&piece);
}

/// The full JID of the result that answers [`write_bind`].
pub fn bound_jid(element: &Stanza<'_>) -> Option<String> {
    let jid = element.child("bind", ns::BIND)?.child("jid", ns::BIND)?;
    Some(jid.text().into_owned())
}
