//! The checks of a client's stream header (RFC 6120 §4.7, §4.8; RFC 7395 §3.3), for both framings.

use super::Settings;
use crate::error::StreamCondition;
use crate::{Jid, StreamHeader, jid, ns, websocket};

/// Longest `xml:lang` that is kept: language tags have at most 35 characters in practice (RFC 5646 §4.4.1).
const LANG_BYTES_MAX: usize = 64;

/// What both kinds of header have, and what is wrong with the envelope itself.
pub(super) struct Opening<'a> {
    to: Option<&'a str>,
    from: Option<&'a str>,
    version: Option<&'a str>,
    lang: Option<&'a str>,
    envelope: Result<(), StreamCondition>,
}

impl<'a> Opening<'a> {
    pub(super) fn of_stream(header: &'a StreamHeader<'_>) -> Self {
        Self {
            to: header.to.as_deref(),
            from: header.from.as_deref(),
            version: header.version.as_deref(),
            lang: header.lang.as_deref(),
            envelope: check_namespaces(header),
        }
    }

    pub(super) fn of_open(open: &'a websocket::Open<'_>) -> Self {
        Self {
            to: open.to.as_deref(),
            from: open.from.as_deref(),
            version: open.version.as_deref(),
            lang: open.lang.as_deref(),
            envelope: Ok(()),
        }
    }

    pub(super) fn check(&self, settings: &Settings) -> Result<(), StreamCondition> {
        self.envelope?;
        let to = self.to.ok_or(StreamCondition::ImproperAddressing)?;
        let host = jid::prepare_domain(to).map_err(|_| StreamCondition::HostUnknown)?;
        if host != settings.domain.as_str() {
            return Err(StreamCondition::HostUnknown);
        }
        // RFC 6120 §4.7.5: no version means 0.9, which knows no features and so no way in.
        self.version.is_some_and(is_version_1).then_some(()).ok_or(StreamCondition::UnsupportedVersion)
    }

    /// Whom our own header is to be addressed to (RFC 6120 §4.7.2): only what is an address.
    pub(super) fn answer_to(&self) -> Option<String> {
        self.from.and_then(|from| Jid::parse(from).ok()).map(|jid| jid.bare_str().to_owned())
    }

    /// The default language, if it is a language tag.
    pub(super) fn lang(&self) -> Option<&'a str> {
        self.lang.filter(|lang| {
            (1..=LANG_BYTES_MAX).contains(&lang.len())
                && lang.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
    }
}

fn check_namespaces(header: &StreamHeader<'_>) -> Result<(), StreamCondition> {
    if header.ns != ns::STREAMS || header.default_ns.as_deref() != Some(ns::CLIENT) {
        return Err(StreamCondition::InvalidNamespace);
    }
    if header.name != "stream" {
        return Err(StreamCondition::BadFormat);
    }
    (header.prefix == Some("stream")).then_some(()).ok_or(StreamCondition::BadNamespacePrefix)
}

/// `1.0` or a later one, to which we answer 1.0.
fn is_version_1(version: &str) -> bool {
    let Some((major, minor)) = version.split_once('.') else { return false };
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten()
    };
    number(minor).is_some() && number(major).is_some_and(|major| major >= 1)
}
