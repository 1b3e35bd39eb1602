//! What the server says of itself (XEP-0115 §6.3): the hash of its own `disco#info`, in the stream's features, so that clients
//! that know this version of it need not ask.

use super::hash;
use crate::disco;
use chaski_xmpp::{Stanza, Writer, ns};

/// Where the software is described.
const NODE: &str = "https://github.com/chaski/chaski";

/// The hash of what the domain answers to `disco#info`.
fn ver() -> Option<String> {
    let info = disco::server_info(None);
    hash::of(&Stanza::parse(&info).ok()?.root())
}

/// `<c/>`, for the stream's features.
pub fn own() -> String {
    let mut out = Vec::new();
    if let Some(ver) = ver() {
        let mut writer = Writer::new(&mut out);
        writer.open_ns("c", ns::CAPS).attr("hash", "sha-1").attr("node", NODE).attr("ver", &ver);
        writer.close_all();
    }
    String::from_utf8(out).expect("what is written from text is UTF-8")
}

/// Whether a node of `disco#info` is this hash.
pub(crate) fn is_own(node: &str) -> bool {
    let asked = node.strip_prefix(NODE).and_then(|rest| rest.strip_prefix('#'));
    asked.is_some_and(|asked| ver().as_deref() == Some(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_answer() {
        let caps = own();
        let stanza = Stanza::parse(caps.as_bytes()).unwrap();
        let ver = stanza.attr("ver").unwrap();
        let node = format!("{NODE}#{ver}");
        assert!(is_own(&node) && !is_own(NODE) && !is_own(&format!("{NODE}#x")));
        let answer = disco::server_info(Some(&node));
        assert_eq!(hash::of(&Stanza::parse(&answer).unwrap().root()).as_deref(), Some(&*ver));
    }
}
