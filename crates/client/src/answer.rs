//! Answers to requests of others (RFC 6120 §8.2.3: each must be answered): ping, service discovery, else an error.

use chaski_xmpp::stanza::IqType;
use chaski_xmpp::write::{self, StanzaError, Writer};
use chaski_xmpp::{Kind, Stanza, StanzaCondition, ns};

/// What we can do, for XEP-0030.
const FEATURES: [&str; 4] = [ns::DISCO_INFO, ns::PING, ns::RECEIPTS, ns::MARKERS];

/// Appends the answer if this is a request.
pub(crate) fn answer(stanza: &Stanza<'_>, out: &mut Vec<u8>) -> bool {
    if stanza.kind() != Kind::Iq || !matches!(stanza.iq_type(), Some(IqType::Get | IqType::Set)) {
        return false;
    }
    let from = stanza.from();
    let to = from.as_deref();
    let is_get = stanza.iq_type() == Some(IqType::Get);
    let discovers = stanza.child("query", ns::DISCO_INFO).is_some_and(|query| query.attr("node").is_none());
    if is_get && stanza.has_child("ping", ns::PING) {
        write::iq_result(out, stanza, None, to, b"");
    } else if is_get && discovers {
        write::iq_result(out, stanza, None, to, &disco());
    } else if stanza.has_child("query", ns::ROSTER) && !is_get {
        // RFC 6121 §2.1.6: a roster push.
        write::iq_result(out, stanza, None, to, b"");
    } else {
        write::error_reply(out, stanza, None, to, &StanzaError::new(StanzaCondition::ServiceUnavailable));
    }
    true
}

fn disco() -> Vec<u8> {
    let mut payload = Vec::new();
    let mut writer = Writer::new(&mut payload);
    writer.open_ns("query", ns::DISCO_INFO);
    writer.open("identity").attr("category", "client").attr("type", "console").attr("name", "Chaski").close();
    for feature in FEATURES {
        writer.open("feature").attr("var", feature).close();
    }
    writer.close();
    drop(writer);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(request: &str) -> Option<String> {
        let mut out = Vec::new();
        answer(&Stanza::parse(request.as_bytes()).unwrap(), &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_request_is_answered_and_nothing_else() {
        let ping =
            answered("<iq type='get' id='1' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").unwrap();
        assert!(ping.contains("type='result'") && ping.contains("to='localhost'"), "{ping}");
        let info = "<iq type='get' id='2'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
        assert!(answered(info).unwrap().contains("urn:xmpp:receipts"));
        let other = answered("<iq type='set' id='3'><x xmlns='y'/></iq>").unwrap();
        assert!(other.contains("service-unavailable"), "{other}");
        assert_eq!(answered("<iq type='result' id='4'/>"), None);
        assert_eq!(answered("<message id='4'/>"), None);
    }
}
