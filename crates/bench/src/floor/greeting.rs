//! The canned half of a login: enough for a client that speaks XMPP (RFC 6120 §4 to §7) to believe that it is live. Nothing is checked.
//!
//! Called by `relay` until a connection is live. Promises: no answer depends on anything but the last element.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

/// The domain of all addresses.
const DOMAIN: &str = "localhost";
/// Longest name.
const NAME_BYTES_MAX: usize = 256;

/// To a stream header; with what is behind the login, stream management if there are acknowledgements.
pub(super) fn header(is_authenticated: bool, has_acks: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"<?xml version='1.0'?><stream:stream from='localhost' id='floor' version='1.0' xml:lang='en' \
          xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>",
    );
    out.extend_from_slice(match is_authenticated {
        true => b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>".as_slice(),
        false => {
            b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
        }
    });
    if is_authenticated && has_acks {
        out.extend_from_slice(b"<sm xmlns='urn:xmpp:sm:3'/>");
    }
    out.extend_from_slice(b"</stream:features>");
}

/// To PLAIN's message: the bare JID (RFC 4616 §2).
pub(super) fn success(data: &[u8], out: &mut Vec<u8>) -> Option<Box<str>> {
    let plain = STANDARD.decode(data.trim_ascii()).ok()?;
    let name = plain.split(|&byte| byte == 0).nth(1)?;
    let name =
        std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX)?;
    if name.contains(['<', '>', '&', '\'', '"', '/', '@']) {
        return None;
    }
    out.extend_from_slice(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    Some(format!("{name}@{DOMAIN}").into())
}

/// To a request to bind a resource, whose start tag this is.
pub(super) fn bound(tag: &[u8], jid: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<iq type='result' id='");
    out.extend_from_slice(id(tag).unwrap_or(b""));
    out.extend_from_slice(b"'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>");
    out.extend_from_slice(jid.as_bytes());
    out.extend_from_slice(b"/floor</jid></bind></iq>");
}

fn id(tag: &[u8]) -> Option<&[u8]> {
    let at = memmem::find(tag, b" id=")? + " id=".len();
    let (quote, rest) = tag[at..].split_first()?;
    // One that could end our own quotes is as good as none.
    rest.split(|byte| byte == quote).next().filter(|id| !id.contains(&b'\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_taken_from_plain() {
        let mut out = Vec::new();
        let data = STANDARD.encode("\0romeo\0any key");
        assert_eq!(success(data.as_bytes(), &mut out).as_deref(), Some("romeo@localhost"));
        for bad in ["", "romeo", "\0\0key", "\0<a>\0key"] {
            assert_eq!(success(STANDARD.encode(bad).as_bytes(), &mut out), None, "{bad}");
        }
        assert_eq!(success(b"%%", &mut out), None);
    }

    #[test]
    fn the_answer_has_the_question_s_id() {
        let mut out = Vec::new();
        bound(b"<iq type='set' id=\"b1\"", "romeo@localhost", &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("<iq type='result' id='b1'><bind")
                && text.contains("<jid>romeo@localhost/floor</jid>"),
            "{text}"
        );
        assert_eq!(id(b"<iq id='x' type='set'"), Some(b"x".as_slice()));
        assert_eq!(id(b"<iq id=\"'\""), None);
    }
}
