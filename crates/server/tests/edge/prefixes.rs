//! Elements with namespace prefixes (XML names 1.0; RFC 6120 §4.8.5): understood like those without, also where only the
//! stream header declares the prefix; and what has none by definition is refused.

use crate::rig::{Client, HEADER, KEY, Server, auth_plain, bind};
use chaski_server::ListenerTls::{StartTls, Terminated};

const NAMES: [(&str, &str); 5] = [
    ("t", "urn:ietf:params:xml:ns:xmpp-tls"),
    ("a", "urn:ietf:params:xml:ns:xmpp-sasl"),
    ("s", "urn:xmpp:sm:3"),
    ("c", "urn:xmpp:csi:0"),
    ("n", "urn:xmpp:sasl:2"),
];

/// How a client declares the prefixes that it uses.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Declares {
    InEachElement,
    InTheHeader,
}

impl Declares {
    fn header(self) -> String {
        let declarations: String = match self {
            Self::InEachElement => String::new(),
            Self::InTheHeader => NAMES.iter().map(|(prefix, ns)| format!(" xmlns:{prefix}='{ns}'")).collect(),
        };
        HEADER.replace(" xmlns:stream", &format!("{declarations} xmlns:stream"))
    }

    /// The element with the prefix of its namespace. `rest` is what stands behind its name.
    fn element(self, prefix: &str, name: &str, rest: &str) -> String {
        let ns = NAMES.iter().find(|(known, _)| *known == prefix).unwrap().1;
        let declaration = match self {
            Self::InEachElement => format!(" xmlns:{prefix}='{ns}'"),
            Self::InTheHeader => String::new(),
        };
        format!("<{prefix}:{name}{declaration}{rest}")
    }

    fn open(self, client: &mut Client) -> String {
        client.send(&self.header());
        client.until("</stream:features>")
    }
}

/// The base64 of an element without prefix.
fn content(element: &str) -> &str {
    element.split_once('>').unwrap().1.split_once("</").unwrap().0
}

#[test]
fn what_leads_to_a_session_and_what_manages_it_may_have_prefixes() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    for how in [Declares::InEachElement, Declares::InTheHeader] {
        let mut client = server.connect(StartTls);
        how.open(&mut client);
        client.send(&how.element("t", "starttls", "/>"));
        client.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        let mut client = client.with_tls(&server.leaf);
        how.open(&mut client);
        let plain = auth_plain(&local, KEY);
        client.send(&how.element("a", "auth", &format!(" mechanism='PLAIN'>{}</a:auth>", content(&plain))));
        client.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        how.open(&mut client);
        client.send(&bind("phone"));
        client.until("</iq>");
        client.send(&how.element("s", "enable", " resume='true'/>"));
        let enabled = client.until("/>");
        let id = enabled.split("id='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        for state in ["inactive", "active"] {
            client.send(&how.element("c", state, "/>"));
        }
        client.ping("counted");
        client.send(&how.element("s", "r", "></s:r>"));
        client.until("<a xmlns='urn:xmpp:sm:3' h='1'/>");
        client.send(&how.element("s", "a", " h='1'/>"));
        client.ping("still there");
        client.vanish();

        let mut client = server.connect(Terminated);
        how.open(&mut client);
        let initial = format!("<n:initial-response>{}</n:initial-response>", content(&plain));
        let rest = format!(" mechanism='PLAIN'>{initial}</n:authenticate>");
        client.send(&how.element("n", "authenticate", &rest));
        client.until("</success>");
        client.send(&how.element("s", "resume", &format!(" previd='{id}' h='2'/>")));
        client.until("<resumed xmlns='urn:xmpp:sm:3'");
        client.ping("resumed");
    }
}

#[test]
fn a_message_brings_along_what_its_header_declares() {
    let server = Server::start();
    let [sender, reader] = server.two_accounts();
    let mut sending = server.connect(Terminated);
    sending.plain(&sender, KEY);
    // Each header counts for its own stream: the second declares this.
    let mut other = server.connect(Terminated);
    other.open();
    other.send(&auth_plain(&sender, KEY));
    other.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    other.send(&HEADER.replace(" xmlns:stream", " xmlns:x='urn:x&apos;y' xmlns:unused='urn:z' xmlns:stream"));
    other.until("</stream:features>");
    other.bind("other");
    other.send(&format!(
        "<message type='chat' to='{reader}@localhost' id='with-prefix-1'><x:y x:z='1'/><stream:s/></message>"
    ));
    other.ping("sent");
    let mut reading = server.session(&reader, "late");
    reading.send("<presence/>");
    let message = reading.until("</message>");
    assert!(message.contains(" xmlns:x='urn:x&apos;y'") && message.contains("<x:y x:z='1'/>"), "{message}");
    assert!(message.contains(" xmlns:stream='http://etherx.jabber.org/streams'"), "{message}");
    assert!(!message.contains("urn:z"), "{message}");
    chaski_xmpp::Stanza::parse(&message.as_bytes()[message.find("<message").unwrap()..]).unwrap();
    // On a stream whose header says nothing it is what it was.
    sending.bind("plain");
    sending.send(&format!("<message to='{reader}@localhost' id='undeclared'><x:y/></message>"));
    assert!(sending.until("</message>").contains("bad-request"));
}

#[test]
fn a_stanza_has_no_prefix() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    for stanza in [
        "<c:iq xmlns:c='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></c:iq>",
        "<c:message xmlns:c='jabber:client' to='localhost'/>",
        "<c:presence xmlns:c='jabber:server'/>",
    ] {
        let mut client = server.session(&local, "r");
        client.send(stanza);
        let end = client.until_closed();
        assert!(end.contains("<bad-namespace-prefix xmlns"), "{stanza} got {end}");
    }
}
