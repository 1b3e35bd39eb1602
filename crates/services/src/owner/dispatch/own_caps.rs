//! Entity capabilities of the server itself (XEP-0115 §6.3): the hash of the domain's `disco#info` in the stream features, so
//! that a client that knows this hash need not ask.

use super::disco;
use crate::realm::Realm;
use crate::rooms::caps;
use chaski_xmpp::{Stanza, Writer, ns};

/// The URI in `node`, which identifies the software.
const NODE: &str = "https://github.com/chaski/chaski";

/// The hash of the domain's answer to `disco#info`.
fn ver(realm: &Realm) -> Option<String> {
    let info = disco::server_info(realm, None);
    caps::hash_of(&Stanza::parse(&info).ok()?.root())
}

/// The `<c/>` element for the stream features.
pub fn own_caps(realm: &Realm) -> String {
    let mut out = Vec::new();
    if let Some(ver) = ver(realm) {
        let mut writer = Writer::new(&mut out);
        writer.open_ns("c", ns::CAPS).attr("hash", "sha-1").attr("node", NODE).attr("ver", &ver);
        writer.close_all();
    }
    String::from_utf8(out).expect("what is written from text is UTF-8")
}

/// Whether the node of a `disco#info` request is the server's own hash.
pub(super) fn is_own(realm: &Realm, node: &str) -> bool {
    let asked = node.strip_prefix(NODE).and_then(|rest| rest.strip_prefix('#'));
    asked.is_some_and(|asked| ver(realm).as_deref() == Some(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_answer() {
        let realm = Realm::new("d.example", 1, [0; 16]);
        let caps = own_caps(&realm);
        let stanza = Stanza::parse(caps.as_bytes()).unwrap();
        let ver = stanza.attr("ver").unwrap();
        let node = format!("{NODE}#{ver}");
        assert!(is_own(&realm, &node) && !is_own(&realm, NODE) && !is_own(&realm, &format!("{NODE}#x")));
        let answer = disco::server_info(&realm, Some(&node));
        assert_eq!(caps::hash_of(&Stanza::parse(&answer).unwrap().root()).as_deref(), Some(&*ver));
    }
}
