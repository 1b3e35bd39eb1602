//! Addresses (RFC 7622), prepared by PRECIS in today's Unicode: local parts and the labels of domains by case and width, resources
//! by nothing but composition and spaces.
//!
//! Called wherever an address enters: stream headers, stanzas, configuration. Promises that every [`Jid`] and [`JidRef`] is in
//! normal form, so that comparing texts compares addresses. ASCII addresses, so every phone number's, cost one look at
//! each byte. Internationalised domains are kept as they are written: `xn--` labels and their Unicode form differ.
//! What was stored is read by [`JidRef::split`] and so stays what it is, whatever the rules were when it was prepared.

use std::borrow::Cow;
use std::fmt;

mod precis;

/// Most bytes of each part of a JID.
pub const MAX_PART_BYTES: usize = 1023;

/// Most bytes of a label of a domain: 63 characters of four bytes.
const LABEL_BYTES_MAX: usize = 252;

/// Why a text is no JID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// A part is empty where it must not be.
    #[error("a part of the address is empty")]
    Empty,
    /// A part is longer than 1023 bytes.
    #[error("a part of the address is too long")]
    TooLong,
    /// A part holds a character that is not allowed.
    #[error("the address holds a forbidden character")]
    Forbidden,
    /// It has a resource where a bare JID is wanted, or has none where a full one is.
    #[error("a resource is missing or not expected")]
    WrongForm,
}

/// A JID borrowed from somewhere, in normal form: comparing it compares addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JidRef<'a> {
    /// Before the `@`.
    pub local: Option<&'a str>,
    /// The domain.
    pub domain: &'a str,
    /// After the first `/`.
    pub resource: Option<&'a str>,
}

impl<'a> JidRef<'a> {
    /// Parses and normalises. An address already in normal form (every phone number's is) is borrowed from `text`;
    /// otherwise the normal form is put into `scratch` and borrowed from there.
    pub fn parse(text: &'a str, scratch: &'a mut String) -> Result<Self, JidError> {
        let (local, domain, resource) = split(text);
        let local = local.map(prepare_local).transpose()?;
        let domain = prepare_domain(domain)?;
        let resource = resource.map(prepare_resource).transpose()?;
        if let (None | Some(Cow::Borrowed(_)), Cow::Borrowed(domain), None | Some(Cow::Borrowed(_))) =
            (&local, &domain, &resource)
        {
            // Borrowed from `text`, though maybe less of it: nothing was changed.
            let borrowed = |part: &Option<Cow<'a, str>>| match part {
                Some(Cow::Borrowed(part)) => Some(*part),
                _ => None,
            };
            return Ok(Self { local: borrowed(&local), domain, resource: borrowed(&resource) });
        }
        scratch.clear();
        JidRef { local: local.as_deref(), domain: &domain, resource: resource.as_deref() }.push_to(scratch);
        Ok(Self::split(scratch))
    }

    /// Splits what is known to be in normal form already (it came from [`Jid`] or our own data). No checks.
    pub fn split(normal: &'a str) -> Self {
        let (local, domain, resource) = split(normal);
        Self { local, domain, resource }
    }

    /// Without its resource.
    pub fn to_bare(self) -> JidRef<'a> {
        JidRef { resource: None, ..self }
    }

    /// Appends its text: what formatting it does, at a tenth of the price.
    pub fn push_to(self, out: &mut String) {
        if let Some(local) = self.local {
            out.push_str(local);
            out.push('@');
        }
        out.push_str(self.domain);
        if let Some(resource) = self.resource {
            out.push('/');
            out.push_str(resource);
        }
    }

    /// An owned copy.
    pub fn to_jid(self) -> Jid {
        let mut text = String::with_capacity(
            self.local.map_or(0, |local| local.len() + 1)
                + self.domain.len()
                + self.resource.map_or(0, |resource| resource.len() + 1),
        );
        self.push_to(&mut text);
        let domain_start = self.local.map_or(0, |local| local.len() + 1);
        let domain_end = domain_start + self.domain.len();
        Jid { text: text.into(), domain_start: domain_start as u16, domain_end: domain_end as u16 }
    }
}

/// Splits at the first `/` and, before it, at the first `@` (RFC 7622 §3.2).
fn split(text: &str) -> (Option<&str>, &str, Option<&str>) {
    let (bare, resource) = match split_at_byte(text, b'/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (text, None),
    };
    match split_at_byte(bare, b'@') {
        Some((local, domain)) => (Some(local), domain, resource),
        None => (None, bare, resource),
    }
}

/// As `split_once`, for an ASCII character.
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let place = memchr::memchr(byte, text.as_bytes())?;
    Some((&text[..place], &text[place + 1..]))
}

impl fmt::Display for JidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(local) = self.local {
            write!(f, "{local}@")?;
        }
        f.write_str(self.domain)?;
        match self.resource {
            Some(resource) => write!(f, "/{resource}"),
            None => Ok(()),
        }
    }
}

/// An address in normal form: bare, full or a domain (with or without a resource).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid {
    text: Box<str>,
    /// Where the domain begins: 0, or one after the `@`.
    domain_start: u16,
    /// Where the domain ends: the text's length, or the `/`.
    domain_end: u16,
}

impl Jid {
    /// Parses and normalises.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        JidRef::parse(text, &mut String::new()).map(JidRef::to_jid)
    }

    /// Joins parts, normalising each.
    pub fn from_parts(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Self, JidError> {
        let local = local.map(prepare_local).transpose()?;
        let domain = prepare_domain(domain)?;
        let resource = resource.map(prepare_resource).transpose()?;
        Ok(JidRef { local: local.as_deref(), domain: &domain, resource: resource.as_deref() }.to_jid())
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Before the `@`.
    pub fn local(&self) -> Option<&str> {
        self.text.get(..usize::from(self.domain_start).checked_sub(1)?)
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.domain_start)..usize::from(self.domain_end)]
    }

    /// After the first `/`.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.domain_end) + 1..)
    }

    /// The text without the resource.
    pub fn bare_str(&self) -> &str {
        &self.text[..usize::from(self.domain_end)]
    }

    /// Without the resource.
    pub fn to_bare(&self) -> BareJid {
        BareJid(Jid { text: self.bare_str().into(), ..*self })
    }

    /// As borrowed parts.
    pub fn as_ref(&self) -> JidRef<'_> {
        JidRef { local: self.local(), domain: self.domain(), resource: self.resource() }
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl std::str::FromStr for Jid {
    type Err = JidError;
    fn from_str(text: &str) -> Result<Self, JidError> {
        Self::parse(text)
    }
}

/// A JID without resource. Dereferences to [`Jid`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BareJid(Jid);

/// A JID with resource. Dereferences to [`Jid`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FullJid(Jid);

impl BareJid {
    /// Parses and normalises; refuses a resource.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let jid = Jid::parse(text)?;
        if jid.resource().is_none() { Ok(Self(jid)) } else { Err(JidError::WrongForm) }
    }

    /// With this resource, which is prepared by [`prepare_resource`].
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        let resource = prepare_resource(resource)?;
        Ok(FullJid(JidRef { resource: Some(&resource), ..self.as_ref() }.to_jid()))
    }
}

impl FullJid {
    /// Parses and normalises; wants a resource.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let jid = Jid::parse(text)?;
        if jid.resource().is_some() { Ok(Self(jid)) } else { Err(JidError::WrongForm) }
    }
}

impl std::ops::Deref for BareJid {
    type Target = Jid;
    fn deref(&self) -> &Jid {
        &self.0
    }
}

impl std::ops::Deref for FullJid {
    type Target = Jid;
    fn deref(&self) -> &Jid {
        &self.0
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FullJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Prepares a resource alone (RFC 7622 §3.4: `OpaqueString`).
pub fn prepare_resource(resource: &str) -> Result<Cow<'_, str>, JidError> {
    if !resource.is_ascii() {
        return bounded(settled(resource, precis::opaque)?.into());
    }
    let is_control = |b: u8| b < b' ' || b == 0x7F;
    if resource.bytes().any(is_control) { Err(JidError::Forbidden) } else { bounded(Cow::Borrowed(resource)) }
}

/// What a character of ASCII means in an address, as a set of bits.
const FORBIDDEN_IN_LOCAL: u8 = 1;
const UPPER_CASE: u8 = 2;
const FORBIDDEN_IN_DOMAIN: u8 = 4;
const NOT_ASCII: u8 = 8;

/// By byte: one look at each instead of a comparison for each rule.
const MEANINGS: [u8; 256] = {
    let mut meanings = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let excluded = matches!(b, b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@');
        if excluded || !matches!(b, b'!'..=b'~') {
            meanings[byte] |= FORBIDDEN_IN_LOCAL;
        }
        if b.is_ascii_uppercase() {
            meanings[byte] |= UPPER_CASE;
        }
        if !matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | 0x80..) {
            meanings[byte] |= FORBIDDEN_IN_DOMAIN;
        }
        if !b.is_ascii() {
            meanings[byte] |= NOT_ASCII;
        }
        byte += 1;
    }
    meanings
};

/// What there is among these.
fn meanings(text: &str) -> u8 {
    text.bytes().fold(0, |found, byte| found | MEANINGS[usize::from(byte)])
}

/// Prepares a local part alone (RFC 7622 §3.3: `UsernameCaseMapped` without some characters).
pub fn prepare_local(local: &str) -> Result<Cow<'_, str>, JidError> {
    let found = meanings(local);
    if found & NOT_ASCII == 0 {
        return match found & FORBIDDEN_IN_LOCAL {
            0 => bounded(lower_case(local, found)),
            _ => Err(JidError::Forbidden),
        };
    }
    let prepared = settled(local, precis::username)?;
    // Only now: some of those have forms of full width.
    if prepared.bytes().all(|b| b >= 0x80 || MEANINGS[usize::from(b)] & FORBIDDEN_IN_LOCAL == 0) {
        bounded(prepared.into())
    } else {
        Err(JidError::Forbidden)
    }
}

/// Prepares a domain alone (RFC 7622 §3.2, RFC 5895), e.g. the `to` of a stream header.
pub fn prepare_domain(domain: &str) -> Result<Cow<'_, str>, JidError> {
    let found = meanings(domain);
    let prepared = if found & NOT_ASCII == 0 {
        lower_case(domain.strip_suffix('.').unwrap_or(domain), found)
    } else {
        // RFC 3490 §3.1: these are dots too.
        let dotted = domain.replace(['\u{3002}', '\u{FF0E}', '\u{FF61}'], ".");
        settled(dotted.strip_suffix('.').unwrap_or(&dotted), labels)?.into()
    };
    if !is_domain(&prepared) {
        return Err(if prepared.is_empty() { JidError::Empty } else { JidError::Forbidden });
    }
    bounded(prepared)
}

/// Prepares a nickname (RFC 8266): what is shown of a person, in a room for one. Names that differ by case alone are two, but
/// [`nickname_key`] is one.
pub fn prepare_nickname(name: &str) -> Result<Cow<'_, str>, JidError> {
    let is_plain = |b: u8| matches!(b, b'!'..=b'~');
    if name.bytes().all(is_plain) {
        return bounded(Cow::Borrowed(name));
    }
    bounded(settled(name, precis::nickname)?.into())
}

/// By which nicknames are compared (RFC 8266 §2.4).
pub fn nickname_key(prepared: &str) -> Result<String, JidError> {
    prepare_nickname(&prepared.to_lowercase()).map(Cow::into_owned)
}

fn labels(name: &str) -> Option<String> {
    let labels: Option<Vec<String>> = name.split('.').map(precis::username).collect();
    Some(labels?.join("."))
}

/// A host name (its ASCII characters are letters, digits, `-`, `_`; no label is empty) or an address literal.
fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return literal.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let mut rest = domain;
    meanings(domain) & FORBIDDEN_IN_DOMAIN == 0
        && loop {
            let label = memchr::memchr(b'.', rest.as_bytes()).unwrap_or(rest.len());
            if !(1..=LABEL_BYTES_MAX).contains(&label) {
                break false;
            }
            match rest.get(label + 1..) {
                Some(behind) => rest = behind,
                None => break true,
            }
        }
}

/// In lower case, if it is not. `found` is what there is in it.
fn lower_case(text: &str, found: u8) -> Cow<'_, str> {
    match found & UPPER_CASE {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(text.to_ascii_lowercase()),
    }
}

fn bounded(part: Cow<'_, str>) -> Result<Cow<'_, str>, JidError> {
    match part.len() {
        0 => Err(JidError::Empty),
        1..=MAX_PART_BYTES => Ok(part),
        _ => Err(JidError::TooLong),
    }
}

/// A few texts need more than one step, as RFC 8264 §7 has it. What has not come to rest after three has no normal form and is
/// refused.
fn settled(text: &str, prepare: impl Fn(&str) -> Option<String>) -> Result<String, JidError> {
    // Before the costly part: nothing of use grows shorter by so much.
    if text.len() > 2 * MAX_PART_BYTES {
        return Err(JidError::TooLong);
    }
    let mut prepared = prepare(text).ok_or(JidError::Forbidden)?;
    if prepared == text {
        return Ok(prepared);
    }
    for _ in 0..3 {
        let again = prepare(&prepared).ok_or(JidError::Forbidden)?;
        if again == prepared {
            return Ok(prepared);
        }
        prepared = again;
    }
    Err(JidError::Forbidden)
}

#[cfg(test)]
mod tests;
