//! A stanza on its way: what is relayed, queued and stored. Parsed once, and written in pieces.
//!
//! Made by the router from a client's stanza, by a room from what it has composed, and by the mailbox from what it reads. It has two
//! parts, which are shared and never change. The *body* is the stanza as everybody gets it; the *head*, if there is one, is what one
//! recipient has for himself, `to` and the stanza-id (XEP-0359). It is written in the place of the `>` that ends the start tag, so that
//! one body stands in as many queues and mailboxes as it has recipients. A `<delay/>` (XEP-0203) goes before the end tag.
//!
//! In front of the body is what was found when it was parsed ([`Facts`], and where `from` and `id` are), so that nobody on the way
//! parses it again but who looks into it. This is also how it lies on disk and goes to other owners:
//!
//! ```text
//! head    u8 version, 1   u16 length of what follows   ` to='…'>` and elements
//! body    u8 kind   u8 type   u16 children   u32 where the start tag's `>` is
//!         u16 start and u16 length of `from`, the same of `id`   the stanza
//! ```
//!
//! Numbers are little-endian, offsets count from the stanza's `<`, a value that is not there has length 0. A stanza without head has one
//! of length 0. What begins with `<` is a stanza as it was stored before, whole; it is parsed.
//!
//! Promises: what is read is checked so far that nothing here panics and that all of it is text; whether it is well-formed is the
//! writer's promise.

mod facts;

pub use facts::{Facts, Has};

use crate::escape::{attr_value, escape_into};
use crate::rewrite::{self, Rewrite, Written, delay_split};
use crate::scan::Span;
use crate::stanza::{IqType, Kind, MessageType, ParseError, PresenceType, Stanza, Start};
use crate::write;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

const VERSION: u8 = 1;
/// Bytes of the head before its text.
const HEAD_START: usize = 3;
/// Bytes of the body before the stanza.
const BODY_START: usize = 16;
/// The head of a stanza that has none.
const NO_HEAD: [u8; HEAD_START] = [VERSION, 0, 0];
/// Where a value is that lies too far behind to be noted: it is looked for.
const FAR: u16 = u16::MAX;

/// See the module. Cloning it counts up two counters.
#[derive(Clone)]
pub struct Stored {
    head: Option<Arc<[u8]>>,
    body: Arc<[u8]>,
}

/// Bytes that are no stanza in stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a stanza in stored form")]
pub struct Malformed;

impl Stored {
    /// The stored form of a client's stanza, for everybody: without `to` unless the change sets or keeps it. `scratch` is overwritten.
    pub fn rewritten(stanza: &Stanza<'_>, facts: Facts, change: &Rewrite<'_>, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(&[0; BODY_START]);
        let written = rewrite::write(stanza, change, scratch);
        Self::finish(facts, written, scratch)
    }

    /// What `write` composes, which is a whole stanza as we write them. `scratch` is overwritten.
    pub fn composed(scratch: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        scratch.clear();
        scratch.extend_from_slice(&[0; BODY_START]);
        write(scratch);
        Self::ours(scratch)
    }

    /// A whole stanza that we have composed.
    pub fn of(text: impl Into<Vec<u8>>) -> Self {
        let mut body: Vec<u8> = text.into();
        body.splice(..0, [0; BODY_START]);
        Self::ours(&mut body)
    }

    /// What stands behind the room for the front. If it can't be read, which is a fault of ours, its kind is known all the same.
    fn ours(body: &mut [u8]) -> Self {
        let text = body.get(BODY_START..).unwrap_or_default();
        let (facts, written) =
            look(text).unwrap_or_else(|_| (Facts::unknown(kind_of(text)), Written::default()));
        Self::finish(facts, written, body)
    }

    /// A whole stanza, checked.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let (facts, written) = look(text)?;
        let mut body = Vec::with_capacity(BODY_START + text.len());
        body.extend_from_slice(&[0; BODY_START]);
        body.extend_from_slice(text);
        Ok(Self::finish(facts, written, &mut body))
    }

    fn finish(facts: Facts, written: Written, body: &mut [u8]) -> Self {
        let mut front = [0; BODY_START];
        front[..4].copy_from_slice(&facts.to_bytes());
        front[4..8].copy_from_slice(&(written.tag_end as u32).to_le_bytes());
        front[8..12].copy_from_slice(&place_to_bytes(written.from));
        front[12..].copy_from_slice(&place_to_bytes(written.id));
        body[..BODY_START].copy_from_slice(&front);
        Self { head: None, body: Arc::from(&*body) }
    }

    /// The same body for one recipient: `to`, and the id that he knows it by (the account that gives it, and the number). The stanza has
    /// no `to` of its own, and an end tag, as all that we write. `scratch` is overwritten.
    pub fn addressed(&self, to: &str, stanza_id: Option<(&str, u128)>, scratch: &mut Vec<u8>) -> Self {
        debug_assert!(!self.text().ends_with(b"/>"), "a head has no place in a stanza without end tag");
        scratch.clear();
        scratch.extend_from_slice(&NO_HEAD);
        scratch.extend_from_slice(b" to='");
        escape_into(to, scratch);
        scratch.extend_from_slice(b"'>");
        if let Some((by, id)) = stanza_id {
            write::stanza_id(scratch, by, id);
        }
        let Ok(length) = u16::try_from(scratch.len() - HEAD_START) else {
            debug_assert!(false, "no address is that long");
            return self.clone();
        };
        scratch[1..HEAD_START].copy_from_slice(&length.to_le_bytes());
        Self { head: Some(Arc::from(scratch.as_slice())), body: Arc::clone(&self.body) }
    }

    /// The same for the same recipient without some of its children, if it has any of these.
    pub fn without(&self, unwanted: impl Fn(&crate::ElementRef<'_>) -> bool) -> Option<Self> {
        let stanza = self.look_into().ok()?;
        let skip: rewrite::Ranges = stanza.children().filter(unwanted).map(|child| child.range()).collect();
        if skip.is_empty() {
            return None;
        }
        let mut body = vec![0; BODY_START];
        let written = rewrite::write(&stanza, &Rewrite { skip: &skip, ..Rewrite::default() }, &mut body);
        let (facts, _) = look(body.get(BODY_START..)?).ok()?;
        Some(Self { head: self.head.clone(), ..Self::finish(facts, written, &mut body) })
    }

    /// As it is written to a client.
    pub fn pieces(&self) -> [&[u8]; 3] {
        let text = self.text();
        match self.split() {
            Some((front, head, back)) => [front, head, back],
            None => [text, b"", b""],
        }
    }

    /// The same with an element before its end tag.
    pub fn pieces_with<'s>(&'s self, element: &'s [u8]) -> [&'s [u8]; 5] {
        let [front, head, back] = self.pieces();
        let (last, before) = if back.is_empty() { (front, true) } else { (back, false) };
        let (inner, end_tag) = last.split_at(delay_split(last));
        match before {
            true => [inner, b"", b"", element, end_tag],
            false => [front, head, inner, element, end_tag],
        }
    }

    /// In one piece.
    pub fn whole(&self) -> Cow<'_, [u8]> {
        match self.head {
            None => Cow::Borrowed(self.text()),
            Some(_) => Cow::Owned(self.pieces().concat()),
        }
    }

    /// How many bytes it is written as.
    pub fn len(&self) -> usize {
        // A head stands in the place of one `>`.
        let text = self.text().len();
        self.head_text().map_or(text, |head| text + head.len() - 1)
    }

    /// How many bytes it is stored as.
    pub fn stored_len(&self) -> usize {
        self.head.as_ref().map_or(NO_HEAD.len(), |head| head.len()) + self.body.len()
    }

    /// What stands in the place of one that was taken back: nothing is written for it.
    pub fn nothing() -> Self {
        Self { head: None, body: Arc::from([0; BODY_START]) }
    }

    /// Whether it is the very same: not one of equal bytes.
    pub fn is_same(&self, other: &Self) -> bool {
        let heads = match (&self.head, &other.head) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        };
        heads && Arc::ptr_eq(&self.body, &other.body)
    }

    /// Only in the place of one that was taken back.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was found when it was parsed.
    pub fn facts(&self) -> Facts {
        let [kind, type_number, low, high, ..] = *self.body else { return Facts::unknown(Kind::Nonza) };
        Facts::from_bytes([kind, type_number, low, high])
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.facts().kind()
    }

    /// The type of a message.
    pub fn message_type(&self) -> MessageType {
        self.facts().message_type()
    }

    /// The type of a presence, if it is one that exists.
    pub fn presence_type(&self) -> Option<PresenceType> {
        self.facts().presence_type()
    }

    /// The type of an iq, if it is one that exists.
    pub fn iq_type(&self) -> Option<IqType> {
        self.facts().iq_type()
    }

    /// Whether it has one of these children.
    pub fn has(&self, any_of: Has) -> bool {
        self.facts().has(any_of)
    }

    /// Its sender.
    pub fn from(&self) -> Option<Cow<'_, str>> {
        self.value_at(8, |stanza| stanza.from().map(Cow::into_owned))
    }

    /// Its id.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.value_at(12, |stanza| stanza.id().map(Cow::into_owned))
    }

    /// Whether this is its id. One of 64 KiB and more is nobody's: who asks about a whole queue must not have each parsed.
    pub fn is_called(&self, id: &str) -> bool {
        let is_noted = self.body.get(12..14).is_some_and(|start| *start != FAR.to_le_bytes());
        is_noted && !id.is_empty() && self.id().as_deref() == Some(id)
    }

    /// Its recipient.
    pub fn to(&self) -> Option<Cow<'_, str>> {
        match self.head_text() {
            Some(head) => {
                let value = head.strip_prefix(b" to='")?;
                let value = value.get(..memchr::memchr(b'\'', value)?)?;
                Some(attr_value(std::str::from_utf8(value).ok()?))
            }
            None => self.look_into().ok()?.to().map(|to| Cow::Owned(to.into_owned())),
        }
    }

    /// Parses it, without what is the recipient's own: for whoever looks into it.
    pub fn look_into(&self) -> Result<Stanza<'_>, ParseError> {
        Stanza::parse(self.text())
    }

    /// Its two parts, as they lie on disk one behind the other.
    pub fn parts(&self) -> (Arc<[u8]>, Arc<[u8]>) {
        let head = self.head.clone().unwrap_or_else(|| Arc::from(NO_HEAD));
        (head, Arc::clone(&self.body))
    }

    /// From its two parts, which need not be shared with anybody: the second alone may be all of it.
    pub fn from_parts(head: Arc<[u8]>, body: Arc<[u8]>) -> Result<Self, Malformed> {
        if head.is_empty() {
            return Self::decode(&body);
        }
        let head = (*head != NO_HEAD).then_some(head);
        Self { head, body }.checked()
    }

    /// Appends what [`Self::decode`] reads.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_deref().unwrap_or(&NO_HEAD));
        out.extend_from_slice(&self.body);
    }

    /// Reads what is all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match *bytes {
            [b'<', ..] => Self::parse(bytes).map_err(|_| Malformed),
            [VERSION, low, high, ..] => {
                let length = HEAD_START + usize::from(u16::from_le_bytes([low, high]));
                let (head, body) = bytes.split_at_checked(length).ok_or(Malformed)?;
                let head = (length > HEAD_START).then(|| Arc::from(head));
                Self { head, body: Arc::from(body) }.checked()
            }
            _ => Err(Malformed),
        }
    }

    /// Whether all that is read of it later is there.
    fn checked(self) -> Result<Self, Malformed> {
        let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
        let is_whole = self.body.len() > BODY_START
            && self.text().starts_with(b"<")
            && is_text(self.text())
            && self.head_text().is_none_or(|head| !head.is_empty() && is_text(head))
            && (self.head.is_none() || self.split().is_some());
        if is_whole { Ok(self) } else { Err(Malformed) }
    }

    fn text(&self) -> &[u8] {
        self.body.get(BODY_START..).unwrap_or_default()
    }

    fn head_text(&self) -> Option<&[u8]> {
        self.head.as_deref().map(|head| head.get(HEAD_START..).unwrap_or_default())
    }

    /// Up to the `>` of the start tag, what stands there instead, and what is behind it.
    fn split(&self) -> Option<(&[u8], &[u8], &[u8])> {
        let head = self.head_text()?;
        let tag_end = u32::from_le_bytes(self.body.get(4..8)?.try_into().ok()?) as usize;
        let (front, rest) = self.text().split_at_checked(tag_end)?;
        Some((front, head, rest.strip_prefix(b">")?))
    }

    /// The value whose place is noted there.
    fn value_at(
        &self,
        at: usize,
        looked_for: impl FnOnce(&Stanza<'_>) -> Option<String>,
    ) -> Option<Cow<'_, str>> {
        let [start_low, start_high, low, high] = *self.body.get(at..at + 4)? else { return None };
        let start = u16::from_le_bytes([start_low, start_high]);
        if start == FAR {
            return looked_for(&self.look_into().ok()?).map(Cow::Owned);
        }
        let length = usize::from(u16::from_le_bytes([low, high]));
        let value = self.text().get(usize::from(start)..usize::from(start) + length)?;
        (start > 0).then_some(attr_value(std::str::from_utf8(value).ok()?))
    }
}

/// What is to be known of a whole stanza. Of presence and requests the start tag is all that is looked at.
fn look(text: &[u8]) -> Result<(Facts, Written), ParseError> {
    let start = Start::read(text)?;
    let written = Written { from: start.attrs.from, id: start.attrs.id, tag_end: start.tag_end() };
    let facts = match start.kind {
        Kind::Message => Facts::of(&start.whole()?),
        Kind::Presence | Kind::Iq | Kind::Nonza => Facts::of_start(&start),
    };
    Ok((facts, written))
}

/// The kind that the stanza's name tells, of what we have composed.
fn kind_of(text: &[u8]) -> Kind {
    match text.get(1) {
        Some(b'm') => Kind::Message,
        Some(b'p') => Kind::Presence,
        Some(b'i') => Kind::Iq,
        _ => Kind::Nonza,
    }
}

fn place_to_bytes(value: Span) -> [u8; 4] {
    let place = u16::try_from(value.start).ok().zip(u16::try_from(value.end - value.start).ok());
    let (start, length) = place.filter(|(start, _)| *start < FAR).unwrap_or((FAR, 0));
    let ([a, b], [c, d]) = (start.to_le_bytes(), length.to_le_bytes());
    [a, b, c, d]
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head && self.body == other.body
    }
}

impl Eq for Stored {}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({:?}, {} bytes)", self.facts(), self.len())
    }
}

/// See [`Stored::of`].
impl From<Vec<u8>> for Stored {
    fn from(text: Vec<u8>) -> Self {
        Self::of(text)
    }
}

#[cfg(test)]
mod tests;
