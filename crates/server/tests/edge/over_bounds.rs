//! Stanzas that are over a bound or not well-formed, in a session: answered and counted where their end can be found,
//! else the end of the session for good. Nobody is cut again and again by the same bytes.

use crate::rig::{Client, KEY, Server};
use chaski_server::ListenerTls::Terminated;

/// A managed session, and the id of its resumption.
fn managed(server: &Server, local: &str) -> (Client, String) {
    let mut client = server.session(local, "phone");
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = client.until("/>");
    let id = enabled.split("id='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    (client, id)
}

/// What the server says to an attempt to resume.
fn resume(server: &Server, local: &str, previd: &str) -> String {
    let mut client = server.connect(Terminated);
    client.plain(local, KEY);
    client.send(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='0'/>"));
    client.until(">")
}

/// A message with this id, and what stands in its body.
fn message(id: &str, attributes: &str, content: &str) -> String {
    format!(
        "<message type='chat' to='+15550000000@localhost' id='{id}'{attributes}><body>{content}</body></message>"
    )
}

/// Name, message and the condition that answers it.
pub(crate) fn answered(id: &str) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    let wide: String = (0..80).map(|n| format!(" a{n}=''")).collect();
    let name = "n".repeat(2000);
    let with = |content: &str| message(id, "", content).into_bytes();
    vec![
        ("large", with(&"y".repeat(300_000)), "policy-violation"),
        ("nearly 4 MiB", with(&"<b>]]&gt;</b>".repeat(300_000)), "policy-violation"),
        ("deep", with(&deep), "policy-violation"),
        ("wide", message(id, &wide, "").into_bytes(), "policy-violation"),
        ("a long name", with(&format!("<{name}/>")), "policy-violation"),
        ("undeclared prefix", with("<x:y/>"), "bad-request"),
        ("half a character", with("&#xD83D;"), "bad-request"),
        ("no such entity", with("&nbsp;"), "bad-request"),
        ("a control character", with("\u{b}"), "bad-request"),
        (
            "not UTF-8",
            [message(id, "", "").replace("</body></message>", "").as_bytes(), b"\xff</body></message>"]
                .concat(),
            "bad-request",
        ),
        ("an attribute twice", message(id, " a='1' a='2'", "").into_bytes(), "bad-request"),
    ]
}

#[test]
fn what_is_over_a_bound_is_counted_and_answered() {
    let server = Server::start();
    for local in server.two_accounts() {
        let (mut client, previd) = managed(&server, &local);
        let cases = answered("id-of-a-message");
        let count = cases.len();
        for (h, (name, bytes, condition)) in cases.into_iter().enumerate() {
            client.send_bytes(&bytes);
            client.send("<r xmlns='urn:xmpp:sm:3'/>");
            let heard = client.until(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", h + 1));
            assert!(heard.contains(&format!("<{condition} ")), "{name}: {heard}");
            assert!(
                heard.contains("id='id-of-a-message' type='error'><error type='modify'>"),
                "{name}: {heard}"
            );
            assert!(heard.contains("<message from='+15550000000@localhost' to='"), "{name}: {heard}");
        }
        // The same session goes on, also after a resumption.
        client.ping("goes-on");
        client.vanish();
        let resumed = resume(&server, &local, &previd);
        assert!(resumed.contains(&format!("h='{}'", count + 1)), "{resumed}");
    }
    assert_eq!(server.metric("chaski_edge_stanzas_refused_total"), 22);
    // All of both that was large, but for what had come before it was known to be.
    let skipped = server.metric("chaski_edge_skipped_bytes_total");
    assert!((8_400_000..8_410_000).contains(&skipped), "{skipped}");
}

#[test]
fn the_order_stays() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let (mut client, _) = managed(&server, &local);
    let ping =
        |id: &str| format!("<iq type='get' to='localhost' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>");
    let large = "z".repeat(600_000);
    let burst = [
        ping("first"),
        format!("<iq type='set' id='second'><query xmlns='jabber:iq:private'>{large}</query></iq>"),
        ping("third"),
        format!("<presence id='fourth'><status>{large}</status></presence>"),
        "<r xmlns='urn:xmpp:sm:3'/>".to_owned(),
    ];
    client.send(&burst.concat());
    let heard = client.until("<a xmlns='urn:xmpp:sm:3' h='4'/>");
    let places: Vec<_> = ["first", "second", "third", "fourth"].map(|id| heard.find(id)).into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{heard}");
    assert!(heard.contains("id='second' type='error'"), "{heard}");
}

#[test]
fn answers_and_errors_get_none_and_are_counted() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let (mut client, _) = managed(&server, &local);
    let large = "z".repeat(300_000);
    for stanza in [
        format!("<message type='error' id='m'><body>{large}</body></message>"),
        format!("<iq type='result' id='r'><x xmlns='urn:x'>{large}</x></iq>"),
        format!("<iq type='error' id='e'><x xmlns='urn:x'>{large}</x></iq>"),
        "<iq type='result' id='r'><x xmlns='urn:x'>&nbsp;</x></iq>".to_owned(),
    ] {
        client.send(&stanza);
    }
    client.send("<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(client.until("h='4'/>"), "<a xmlns='urn:xmpp:sm:3' h='4'/>");
}

#[test]
fn what_cannot_be_framed_ends_the_session_for_good() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let endless = message("id-of-a-message", "", &"y".repeat(5 << 20));
    for (bytes, condition) in [
        (&b"<message><body>a</message></body>"[..], "not-well-formed"),
        (b"<message a=b><body>a</body></message>", "not-well-formed"),
        (b"<message><body><!-- --></body></message>", "restricted-xml"),
        (b"hello", "not-well-formed"),
        (b"<a xmlns='urn:x'>&nbsp;</a>", "restricted-xml"),
        (endless.as_bytes(), "policy-violation"),
    ] {
        let (mut client, previd) = managed(&server, &local);
        // What is behind the end is not read.
        let _ = client.try_send(bytes);
        let end = client.until_closed();
        assert!(end.contains(condition) && end.ends_with("</stream:stream>"), "{condition}: {end}");
        let failed = resume(&server, &local, &previd);
        assert!(failed.contains("<failed"), "{condition}: {failed}");
    }
}
