//! The stored and relayed form of a stanza: a new start tag, the payload untouched.
//!
//! Called by the router before it stores or relays. The form is made so that what is added later needs no parsing: it
//! begins with the stanza's name and a space (WebSocket puts `xmlns` there) and ends with an end tag (`<delay/>` goes
//! before it, XEP-0203). What a sender says in a server's name must not pass (XEP-0359 §5: [`servers_words`]).

use crate::JidRef;
use crate::escape::escape_into;
use crate::ns;
use crate::scan::Span;
use crate::stanza::{ChildName, Kind, Stanza};
use memchr::memrchr;
use std::ops::Range;

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attr<'r> {
    /// As it came, or absent if it was.
    #[default]
    Keep,
    /// Absent.
    Drop,
    /// This text (escaped when written).
    Set(&'r str),
}

/// How a stanza is changed. Its own `xml:lang` and `xmlns:*` are always kept, other attributes and `xmlns` dropped.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rewrite<'r> {
    /// The sender.
    pub from: Attr<'r>,
    /// The recipient.
    pub to: Attr<'r>,
    /// The stanza's id.
    pub id: Attr<'r>,
    /// The stanza's type.
    pub type_attr: Attr<'r>,
    /// Its language, if it names none itself.
    pub lang: Option<&'r str>,
    /// Well-formed elements to be put right after the start tag, in order.
    pub extra: &'r [&'r [u8]],
    /// Ranges of children (from [`crate::ElementRef::range`]) to leave out, in order.
    pub skip: &'r [Range<usize>],
}

/// Where parts of a start tag that was written are, from the stanza's `<`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    /// The value of `from`, between its quotes.
    pub(crate) from: Span,
    /// The value of `id`.
    pub(crate) id: Span,
    /// The `>` that ends the tag.
    pub(crate) tag_end: usize,
}

/// Appends the changed stanza to `out`. The result begins `<message `, `<presence ` or `<iq ` (a nonza keeps its name),
/// declares no default namespace and ends with an explicit end tag.
pub fn rewrite(stanza: &Stanza<'_>, change: &Rewrite<'_>, out: &mut Vec<u8>) {
    write(stanza, change, out);
}

/// The same, and says where the parts are.
pub(crate) fn write(stanza: &Stanza<'_>, change: &Rewrite<'_>, out: &mut Vec<u8>) -> Written {
    let doc = stanza.doc();
    let root = stanza.root_span();
    let name = match stanza.kind() {
        Kind::Nonza => root.name.of(doc),
        kind => kind.name(),
    };
    let added: usize = change.extra.iter().map(|element| element.len()).sum();
    out.reserve(doc.len() + added + 128);
    let start = out.len();
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    let tag_start = out.len();
    let from = attr(doc, " from=", change.from, stanza.attrs.from, out);
    attr(doc, " to=", change.to, stanza.attrs.to, out);
    let id = attr(doc, " id=", change.id, stanza.attrs.id, out);
    attr(doc, " type=", change.type_attr, stanza.attrs.type_attr, out);
    let lang = change.lang.filter(|_| stanza.attrs.lang.is_none()).map_or(Attr::Keep, Attr::Set);
    attr(doc, " xml:lang=", lang, stanza.attrs.lang, out);
    for declaration in &stanza.attrs.declarations {
        out.push(b' ');
        out.extend_from_slice(declaration.of(doc).as_bytes());
    }
    if out.len() == tag_start {
        out.push(b' ');
    }
    let tag_end = out.len() - start;
    out.push(b'>');
    for element in change.extra {
        out.extend_from_slice(element);
    }
    payload(stanza, change.skip, out);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    Written { from: from.less(start), id: id.less(start), tag_end }
}

/// Writes an attribute, if there is one; where its value is now.
fn attr(doc: &str, prefix: &str, change: Attr<'_>, original: Span, out: &mut Vec<u8>) -> Span {
    let value_start = out.len() + prefix.len() + 1;
    match change {
        Attr::Set(text) => {
            out.extend_from_slice(prefix.as_bytes());
            out.push(b'\'');
            escape_into(text, out);
            out.push(b'\'');
        }
        Attr::Keep if !original.is_none() => {
            out.extend_from_slice(prefix.as_bytes());
            // With its own quotes, as it came: it may hold the other ones.
            let quoted = Span { start: original.start - 1, end: original.end + 1 };
            out.extend_from_slice(quoted.of(doc).as_bytes());
        }
        Attr::Keep | Attr::Drop => return Span::default(),
    }
    Span::new(value_start, out.len() - 1)
}

/// What is between start and end tag, without the ranges to skip.
fn payload(stanza: &Stanza<'_>, skip: &[Range<usize>], out: &mut Vec<u8>) {
    let bytes = stanza.bytes();
    let root = stanza.root_span();
    let end = root.content_end as usize;
    let mut pos = root.head_end as usize;
    for range in skip {
        out.extend_from_slice(bytes.get(pos..range.start.min(end)).unwrap_or_default());
        pos = pos.max(range.end);
    }
    out.extend_from_slice(bytes.get(pos..end).unwrap_or_default());
}

/// Ranges of children, usually none.
pub type Ranges = smallvec::SmallVec<[Range<usize>; 2]>;

/// What an element says in somebody's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// `<stanza-id by='…'/>` (XEP-0359): who has given the stanza its id.
    StanzaId,
    /// `<delay from='…'/>` (XEP-0203, XEP-0091): who says that it was late.
    Delay,
}

/// The children that only a server may put into a stanza: stanza-ids and delays in a name that is `ours`, copies and the wish
/// that none are made, which is for servers (XEP-0280 §9, §11), and what is Chaski's own. Nearly always none, and found by one
/// look at each child's name.
pub fn servers_words(stanza: &Stanza<'_>, is_ours: impl Fn(Word, &str) -> bool) -> Ranges {
    let is_said =
        |word: Word, name: Option<std::borrow::Cow<'_, str>>| name.is_some_and(|name| is_ours(word, &name));
    stanza
        .children_named(may_be_a_servers)
        .filter(|child| match child.name() {
            "stanza-id" => is_said(Word::StanzaId, child.attr("by")),
            "delay" | "x" => is_said(Word::Delay, child.attr("from")),
            _ => true,
        })
        .map(|child| child.range())
        .collect()
}

pub(crate) fn may_be_a_servers(child: &ChildName<'_>) -> bool {
    match child.local() {
        "stanza-id" => child.is_in(ns::STANZA_ID),
        "delay" => child.is_in(ns::DELAY),
        "x" => child.is_in(ns::LEGACY_DELAY),
        "private" | "sent" | "received" => child.is_in(ns::CARBONS),
        "gap" => child.is_in(ns::MAILBOX),
        "key-changed" => child.is_in(ns::REGISTRATION),
        _ => false,
    }
}

/// Where a `<delay/>` (or any child) can be put into a stanza in stored form: before its end tag.
pub fn delay_split(stored: &[u8]) -> usize {
    // An end tag holds no other `<`.
    memrchr(b'<', stored).unwrap_or(stored.len())
}

/// What only the server may say, in a message or a presence of this sender. His own delay is his to tell: a client says so of what
/// it could not send before. (A request has one child, which its recipient takes for what he is asked, and an answer goes to who
/// knows what he has asked for: there is nothing to be believed beside it.)
pub fn left_out(stanza: &Stanza<'_>, domain: &str, sender: &str) -> Ranges {
    servers_words(stanza, |word, name| {
        let mut scratch = String::new();
        // What is no address is nobody's, and might be taken for ours.
        let Ok(jid) = JidRef::parse(name, &mut scratch) else { return true };
        let rest = jid.domain.strip_suffix(domain);
        let is_ours = rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        is_ours && (word != Word::Delay || jid.to_bare() != JidRef::split(sender).to_bare())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(input: &str, change: &Rewrite<'_>) -> String {
        let mut out = Vec::new();
        rewrite(&Stanza::parse(input.as_bytes()).unwrap(), change, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(Stanza::parse(text.as_bytes()).is_ok(), "{text}");
        text
    }

    #[test]
    fn replaces_the_start_tag_and_keeps_the_payload() {
        let input = "<message xmlns='jabber:client' xmlns:x=\"u'v\" other='o' type='chat'\n to='b' from='forged' \
                     id=\"it's &lt;\" xml:lang='en'> <body>a &amp; b</body><x:y/>\n</message>";
        let change = Rewrite {
            from: Attr::Set("a@b/<'>"),
            to: Attr::Keep,
            extra: &[b"<e/>", b"<f/>"],
            ..Rewrite::default()
        };
        assert_eq!(
            rewritten(input, &change),
            "<message from='a@b/&lt;&apos;&gt;' to='b' id=\"it's &lt;\" type='chat' xml:lang='en' xmlns:x=\"u'v\">\
             <e/><f/> <body>a &amp; b</body><x:y/>\n</message>"
        );
    }

    #[test]
    fn an_empty_stanza_gets_an_end_tag() {
        assert_eq!(rewritten("<presence/>", &Rewrite::default()), "<presence ></presence>");
        let lang = Rewrite { lang: Some("de"), ..Rewrite::default() };
        assert_eq!(rewritten("<presence/>", &lang), "<presence xml:lang='de'></presence>");
        let spanish = "<presence xml:lang='es'></presence>";
        assert_eq!(rewritten(spanish, &lang), spanish, "its own");
        let drop = Rewrite { id: Attr::Drop, type_attr: Attr::Set("error"), ..Rewrite::default() };
        assert_eq!(rewritten("<iq id='1' type='get'/>", &drop), "<iq type='error'></iq>");
    }

    #[test]
    fn what_is_said_in_our_name_is_left_out() {
        let input = "<message xmlns:s='urn:xmpp:si&#100;:0' xmlns:d='urn:xmpp:delay'>\
                     <stanza-id xmlns='urn:xmpp:sid:0' by='me' id='1'/><stanza-id xmlns='urn:xmpp:sid:0' by='room' id='2'/>\
                     <body/><s:stanza-id by='&#109;e' id='3'>x</s:stanza-id><stanza-id by='me'/>\
                     <delay xmlns='urn:xmpp:delay' from='me'/><d:delay from='me'>late</d:delay><d:delay from='you'/>\
                     <delay from='me'/><x xmlns='jabber:x:delay' from='me'/><x xmlns='jabber:x:data' from='me'/>\
                     <sent xmlns='urn:xmpp:carbons:2'/><received xmlns='urn:xmpp:receipts'/>\
                     <gap xmlns='urn:chaski:mailbox:0'/><key-changed xmlns='urn:chaski:registration:0'/></message>";
        let stanza = Stanza::parse(input.as_bytes()).unwrap();
        let forged = servers_words(&stanza, |_, name| name == "me");
        assert_eq!(
            rewritten(input, &Rewrite { skip: &forged, ..Rewrite::default() }),
            "<message xmlns:s='urn:xmpp:si&#100;:0' xmlns:d='urn:xmpp:delay'>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='room' id='2'/><body/><stanza-id by='me'/><d:delay from='you'/>\
             <delay from='me'/><x xmlns='jabber:x:data' from='me'/><received xmlns='urn:xmpp:receipts'/></message>"
        );
        let ids = servers_words(&stanza, |word, _| word == Word::StanzaId);
        assert_eq!(ids.len(), 3 + 3, "three ids, and what nobody may say in any name");
    }

    #[test]
    fn a_child_can_be_put_before_the_end_tag() {
        let stored = rewritten("<message to='b'><body>x</body></message>", &Rewrite::default());
        let (head, tail) = stored.split_at(delay_split(stored.as_bytes()));
        assert_eq!(format!("{head}<delay/>{tail}"), "<message to='b'><body>x</body><delay/></message>");
        assert_eq!(delay_split(b""), 0);
    }
}
