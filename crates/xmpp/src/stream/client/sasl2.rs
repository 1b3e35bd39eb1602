//! The client's side of XEP-0388, XEP-0386 and XEP-0484: what is offered, what is asked for, what came of it.

use super::condition_and_text;
use crate::element::ElementRef;
use crate::sasl::token::TokenMechanism;
use crate::sasl::{Mechanism, base64};
use crate::sm::{self, Nonza};
use crate::stream::{Access, Admission, InlineBind, InlineEnabled, IssuedToken, Outlet, TokenUse, Wishes};
use crate::write::Writer;
use crate::{Stanza, datetime, ns};

/// `<authentication/>` among a server's features.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The mechanisms that we speak.
    pub mechanisms: Vec<Mechanism>,
    /// What can be switched on while binding, if one can bind at once.
    pub bind: Option<Vec<String>>,
    /// Whether a session can be resumed at once.
    pub resume: bool,
    /// The mechanisms for tokens that we speak.
    pub tokens: Vec<TokenMechanism>,
}

impl Offer {
    pub(super) fn parse(authentication: &ElementRef<'_>) -> Self {
        let mut offer = Self::default();
        for child in authentication.children() {
            if child.is("mechanism", ns::SASL2) {
                offer.mechanisms.extend(Mechanism::from_name(child.text().trim()));
            } else if child.is("inline", ns::SASL2) {
                child.children().for_each(|inline| offer.take_inline(&inline));
            }
        }
        offer
    }

    fn take_inline(&mut self, inline: &ElementRef<'_>) {
        if inline.is("bind", ns::BIND2) {
            let features = inline.child("inline", ns::BIND2).into_iter().flat_map(|inline| inline.children());
            self.bind =
                Some(features.filter_map(|feature| Some(feature.attr("var")?.into_owned())).collect());
        } else if inline.is("fast", ns::FAST) {
            let names = inline.children().filter(|mechanism| mechanism.is("mechanism", ns::FAST));
            self.tokens.extend(names.filter_map(|name| TokenMechanism::from_name(name.text().trim())));
        }
        self.resume |= inline.is("sm", ns::SM);
    }
}

/// An `<authenticate/>`.
#[derive(Debug, Clone, Copy)]
pub struct Authenticate<'a> {
    /// The mechanism's name.
    pub mechanism: &'a str,
    /// Its first message.
    pub initial: &'a [u8],
    /// What the program is called.
    pub software: Option<&'a str>,
    /// Everything else that is asked for.
    pub wishes: &'a Wishes,
    /// How a token is used, if one is.
    pub token_use: Option<TokenUse>,
}

/// Writes `<authenticate/>`.
pub fn write_authenticate(authenticate: &Authenticate<'_>, out: &mut dyn Outlet) {
    let Authenticate { wishes, .. } = authenticate;
    let (initial, mut resume) = (base64::encode_element(authenticate.initial), Vec::new());
    if let Some(session) = &wishes.resume {
        sm::write_resume(&mut resume, &session.previd, session.h);
    }
    let mut piece = Vec::with_capacity(512);
    let mut writer = Writer::new(&mut piece);
    writer.open_ns("authenticate", ns::SASL2).attr("mechanism", authenticate.mechanism);
    writer.leaf("initial-response", &initial);
    if wishes.client.is_some() || authenticate.software.is_some() {
        let id = wishes.client.map(|client| client.to_uuid());
        writer.open("user-agent").attr_opt("id", id.as_deref());
        if let Some(software) = authenticate.software {
            writer.leaf("software", software);
        }
        writer.close();
    }
    writer.raw(&resume);
    if let Some(bind) = &wishes.bind {
        write_bind(bind, &mut writer);
    }
    if let Some(mechanism) = wishes.token {
        writer.open_ns("request-token", ns::FAST).attr("mechanism", mechanism.name()).close();
    }
    if let Some(TokenUse { count, invalidate }) = authenticate.token_use {
        let count = count.map(|count| count.to_string());
        writer.open_ns("fast", ns::FAST).attr_opt("count", count.as_deref());
        writer.attr_opt("invalidate", invalidate.then_some("true")).close();
    }
    writer.close();
    drop(writer);
    out.put(&piece);
}

fn write_bind(bind: &InlineBind, writer: &mut Writer<'_>) {
    writer.open_ns("bind", ns::BIND2);
    if let Some(tag) = &bind.tag {
        writer.leaf("tag", tag);
    }
    if let Some(enable) = bind.enable {
        writer.open_ns("enable", ns::SM).attr_opt("resume", enable.resume.then_some("true"));
        writer.attr_opt("max", enable.max_s.map(|max_s| max_s.to_string()).as_deref()).close();
    }
    if bind.carbons {
        writer.open_ns("enable", ns::CARBONS).close();
    }
    if bind.inactive {
        writer.open_ns("inactive", ns::CSI).close();
    }
    writer.close();
}

/// Writes `<response/>`.
pub fn write_response2(data: &[u8], out: &mut dyn Outlet) {
    let mut piece = Vec::with_capacity(256);
    Writer::new(&mut piece).open_ns("response", ns::SASL2).text(&base64::encode_element(data)).close();
    out.put(&piece);
}

/// What a server says during SASL2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sasl2Reply {
    /// `<challenge/>`
    Challenge(Vec<u8>),
    /// `<success/>`, with what proves the server (or nothing) and what came of our wishes.
    Success(Vec<u8>, Box<Admission>),
    /// `<failure/>`, with its condition and text.
    Failure(String, Option<String>),
}

impl Sasl2Reply {
    /// Reads an element; `None` if it is something else or malformed.
    pub fn parse(element: &Stanza<'_>) -> Option<Self> {
        if element.ns() != ns::SASL2 {
            return None;
        }
        let root = element.root();
        match element.name() {
            "challenge" => base64::decode_element(&root.text()).ok().map(Self::Challenge),
            "success" => {
                let data = match root.child("additional-data", ns::SASL2) {
                    Some(data) => base64::decode_element(&data.text()).ok()?,
                    None => Vec::new(),
                };
                Some(Self::Success(data, Box::new(parse_admission(&root)?)))
            }
            "failure" => {
                let (condition, text) = condition_and_text(element, ns::SASL);
                let text = text.or_else(|| Some(root.child("text", ns::SASL2)?.text().into_owned()));
                Some(Self::Failure(condition.unwrap_or_default(), text))
            }
            _ => None,
        }
    }
}

fn parse_admission(success: &ElementRef<'_>) -> Option<Admission> {
    let jid = success.child("authorization-identifier", ns::SASL2)?.text().trim().to_owned();
    let mut admission = Admission { jid, access: Access::Authenticated, lost: None, token: None };
    for child in success.children() {
        if child.is("bound", ns::BIND2) {
            admission.access = parse_bound(&child);
        } else if child.is("token", ns::FAST) {
            admission.token = Some(IssuedToken {
                token: child.attr("token")?.into_owned(),
                expires_unix_ms: datetime::parse(&child.attr("expiry")?)?,
            });
        } else if let Some(nonza) = Nonza::parse(&child) {
            match nonza.ok()? {
                Nonza::Resumed { previd, h } => {
                    admission.access = Access::Resumed { previd: previd.into_owned(), h };
                }
                Nonza::Failed { h } => admission.lost = Some(h),
                _ => return None,
            }
        }
    }
    Some(admission)
}

fn parse_bound(bound: &ElementRef<'_>) -> Access {
    let enabled = bound.children().find_map(|child| match Nonza::parse(&child)? {
        Ok(Nonza::Enabled { id, resume, max }) => Some(InlineEnabled {
            id: id.filter(|_| resume).map(|id| id.into_owned()),
            max_s: max.unwrap_or_default(),
        }),
        _ => None,
    });
    Access::Bound { enabled, carbons: bound.child("enabled", ns::CARBONS).is_some() }
}
