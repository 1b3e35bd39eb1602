//! Cuts one element out of what was read: where it ends, and whom it is for.
//!
//! Called by `relay` for every element. It looks for three things (`>`, ` to=`, `</message>`) and believes the rest: no `>` in attributes, no
//! element within one of the same name.

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element<'a> {
    /// To be relayed to this address.
    Message(u64),
    /// The beginning of a stream.
    Header,
    /// A login: what is between its tags.
    Auth(&'a [u8]),
    /// A question before the session is live: its start tag.
    Iq(&'a [u8]),
    /// The end of a stream.
    End,
    /// A stanza that goes nowhere.
    Stanza,
    /// Stream management: it begins.
    Enable,
    /// Stream management: how many stanzas have come?
    Request,
    /// Of no interest.
    Other,
}

/// An element and the bytes it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut<'a> {
    pub(super) element: Element<'a>,
    pub(super) bytes: usize,
}

/// Not our dialect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbage;

/// What is searched for.
pub(super) struct Knife {
    message_end: Finder<'static>,
    to: Finder<'static>,
}

impl Knife {
    pub(super) fn new() -> Self {
        Self { message_end: Finder::new("</message>"), to: Finder::new(" to=") }
    }

    /// The first element; `None`: it is not complete.
    pub(super) fn cut<'a>(&self, bytes: &'a [u8]) -> Result<Option<Cut<'a>>, Garbage> {
        match bytes.first() {
            None => return Ok(None),
            Some(b'<') => {}
            Some(space) if space.is_ascii_whitespace() => {
                return Ok(Some(Cut { element: Element::Other, bytes: 1 }));
            }
            Some(_) => return Err(Garbage),
        }
        let Some(tag_end) = memchr(b'>', bytes) else { return Ok(None) };
        let tag = &bytes[..tag_end];
        if tag.starts_with(b"<message") {
            return Ok(self.message(bytes, tag));
        }
        let cut = |element| Ok(Some(Cut { element, bytes: tag_end + 1 }));
        match tag {
            [b'<', b'/', ..] => cut(Element::End),
            [b'<', b'?', ..] => cut(Element::Other),
            [.., b'/'] => cut(closed(tag)),
            _ if tag.starts_with(b"<stream:stream") => cut(Element::Header),
            _ => Ok(other(bytes, tag)),
        }
    }

    fn message(&self, bytes: &[u8], tag: &[u8]) -> Option<Cut<'static>> {
        let end = match tag.last() {
            Some(b'/') => tag.len() + 1,
            _ => tag.len() + self.message_end.find(&bytes[tag.len()..])? + "</message>".len(),
        };
        let to = self.to.find(tag).and_then(|at| address(&tag[at + " to=".len()..]));
        Some(Cut { element: to.map_or(Element::Stanza, Element::Message), bytes: end })
    }
}

/// An element without content.
fn closed(tag: &[u8]) -> Element<'static> {
    match tag {
        [b'<', b'r', b' ' | b'/', ..] => Element::Request,
        [b'<', b'e', b'n', b'a', b'b', b'l', b'e', ..] => Element::Enable,
        [b'<', b'p', b'r', b'e', b's', ..] | [b'<', b'i', b'q', ..] => Element::Stanza,
        _ => Element::Other,
    }
}

fn other<'a>(bytes: &'a [u8], tag: &'a [u8]) -> Option<Cut<'a>> {
    let name_end = tag.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(tag.len());
    let name = &tag[1..name_end];
    let closing = [b"</", name, b">"].concat();
    let at = tag.len() + memchr::memmem::find(&bytes[tag.len()..], &closing)?;
    let element = match name {
        b"auth" => Element::Auth(&bytes[tag.len() + 1..at]),
        b"iq" => Element::Iq(tag),
        b"presence" => Element::Stanza,
        _ => Element::Other,
    };
    Some(Cut { element, bytes: at + closing.len() })
}

/// The address in quotes at the beginning: its hash, without resource.
fn address(quoted: &[u8]) -> Option<u64> {
    let (&quote, rest) = quoted.split_first()?;
    let end = memchr2(quote, b'/', rest)?;
    Some(hash(&rest[..end]))
}

/// Eight bytes a step. Addresses whose 64 bits collide would get each other's messages: the floor is no server.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut mix = |word: u64| {
        let wide = u128::from(state ^ word) * u128::from(FACTOR);
        state = (wide as u64) ^ ((wide >> 64) as u64);
    };
    words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
    let mut last = [0_u8; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(u64::from_le_bytes(last));
    mix(FACTOR);
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Result<Option<Cut<'_>>, Garbage> {
        Knife::new().cut(text.as_bytes())
    }

    #[test]
    fn a_message_ends_with_its_end_tag() {
        let message = "<message id='1' to='juliet@capulet.lit/balcony'><body>a</body></message>";
        let juliet = Element::Message(hash(b"juliet@capulet.lit"));
        let twice = format!("{message}{message}");
        assert_eq!(cut(&twice), Ok(Some(Cut { element: juliet, bytes: message.len() })));
        for end in 0..message.len() {
            assert_eq!(cut(&message[..end]), Ok(None), "{}", &message[..end]);
        }
    }

    #[test]
    fn what_a_login_needs_is_found() {
        let element = |text| cut(text).unwrap().unwrap().element;
        assert_eq!(element("<stream:stream to='localhost' xmlns='jabber:client'>"), Element::Header);
        assert_eq!(element("<auth mechanism='PLAIN'>AGEAYg==</auth>"), Element::Auth(b"AGEAYg=="));
        assert_eq!(element("<iq type='set' id='b'><bind/></iq>"), Element::Iq(b"<iq type='set' id='b'"));
        assert_eq!(element("</stream:stream>"), Element::End);
        assert_eq!(cut("GET / HTTP/1.1"), Err(Garbage));
    }

    #[test]
    fn the_rest_is_dropped() {
        for (element, texts) in [
            (
                Element::Other,
                ["<?xml version='1.0'?>", " ", "<a xmlns='urn:xmpp:sm:3' h='3'/>", "<a><b/></a>"],
            ),
            (
                Element::Stanza,
                ["<presence/>", "<message/>", "<iq type='result' id='1'/>", "<presence><show/></presence>"],
            ),
        ] {
            for text in texts {
                assert_eq!(cut(text), Ok(Some(Cut { element, bytes: text.len() })), "{text}");
            }
        }
    }

    #[test]
    fn stream_management_is_told_apart() {
        for (text, element) in [
            ("<r xmlns='urn:xmpp:sm:3'/>", Element::Request),
            ("<r/>", Element::Request),
            ("<enable xmlns='urn:xmpp:sm:3' resume='true'/>", Element::Enable),
        ] {
            assert_eq!(cut(text), Ok(Some(Cut { element, bytes: text.len() })), "{text}");
        }
    }

    #[test]
    fn near_addresses_have_far_hashes() {
        let mut seen = std::collections::HashSet::new();
        for index in 0..100_000 {
            assert!(seen.insert(hash(crate::accounts::number(index).as_bytes())));
        }
    }
}
