//! Addresses (RFC 7622, prepared by the stringprep profiles of RFC 6122). To be filled in.

use std::fmt;

/// Most bytes of each part of a JID.
pub const MAX_PART_BYTES: usize = 1023;

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
        let _ = (text, scratch);
        todo!()
    }

    /// Splits what is known to be in normal form already (it came from [`Jid`] or our own data). No checks.
    pub fn split(normal: &'a str) -> Self {
        let _ = normal;
        todo!()
    }

    /// Without its resource.
    pub fn to_bare(self) -> JidRef<'a> {
        JidRef { resource: None, ..self }
    }

    /// An owned copy.
    pub fn to_jid(self) -> Jid {
        todo!()
    }
}

impl fmt::Display for JidRef<'_> {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
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
        let _ = text;
        todo!()
    }

    /// Joins parts, normalising each.
    pub fn from_parts(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Self, JidError> {
        let _ = (local, domain, resource);
        todo!()
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Before the `@`.
    pub fn local(&self) -> Option<&str> {
        todo!()
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.domain_start)..usize::from(self.domain_end)]
    }

    /// After the first `/`.
    pub fn resource(&self) -> Option<&str> {
        todo!()
    }

    /// The text without the resource.
    pub fn bare_str(&self) -> &str {
        &self.text[..usize::from(self.domain_end)]
    }

    /// Without the resource.
    pub fn to_bare(&self) -> BareJid {
        todo!()
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
        let _ = text;
        todo!()
    }

    /// With this resource, which is prepared by resourceprep.
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        let _ = resource;
        todo!()
    }
}

impl FullJid {
    /// Parses and normalises; wants a resource.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let _ = text;
        todo!()
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

/// Prepares a resource alone (RFC 6122 resourceprep).
pub fn prepare_resource(resource: &str) -> Result<std::borrow::Cow<'_, str>, JidError> {
    let _ = resource;
    todo!()
}

/// Prepares a local part alone (RFC 6122 nodeprep).
pub fn prepare_local(local: &str) -> Result<std::borrow::Cow<'_, str>, JidError> {
    let _ = local;
    todo!()
}

/// Prepares a domain alone (RFC 6122 nameprep), e.g. the `to` of a stream header.
pub fn prepare_domain(domain: &str) -> Result<std::borrow::Cow<'_, str>, JidError> {
    let _ = domain;
    todo!()
}
