//! What goes well.

use super::*;

#[test]
fn a_phone_comes_in_by_starttls_and_scram_plus() {
    let mut play = Play::new(Framing::Tcp, Security::StartTls);
    assert_eq!(play.header(), Action::Read);
    let features = play.features();
    assert_eq!(features, Features { starttls: true, ..Features::default() }, "nothing else before TLS");

    assert_eq!(play.says("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), Action::StartTls);
    assert_eq!(play.one(), "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert!(play.negotiation.owes_answer());
    play.negotiation.tls_established(bindings());

    assert_eq!(play.header(), Action::Read);
    let features = play.features();
    assert_eq!(features.mechanisms, Mechanism::ALL);
    assert_eq!(features.channel_bindings.unwrap(), ["tls-exporter", "tls-server-end-point"]);
    assert!(!features.starttls && !features.bind);

    let secret = ScramSecret::derive(Hash::Sha256, "key", b"salt", 1);
    let authenticated = Action::Authenticated { username: "+15551230001".into() };
    assert_eq!(scram(&mut play, Mechanism::ScramSha256Plus, "key", secret), authenticated);

    assert_eq!(play.header(), Action::Read);
    let features = play.features();
    assert!(features.bind && features.stream_management && features.mechanisms.is_empty());
    assert_eq!(play.negotiation.lang(), Some("es"));

    assert_eq!(play.says(BIND), Action::Bind { resource: Some("phone".into()) });
    assert!(play.negotiation.owes_answer());
    assert_eq!(play.bound(Ok("+15551230001@example.org/phone")), Action::Established);
    let result = play.one();
    let result = Stanza::parse(result.as_bytes()).unwrap();
    assert_eq!((result.id().as_deref(), result.type_attr().as_deref()), (Some("b<1"), Some("result")));
    assert_eq!(bound_jid(&result).as_deref(), Some("+15551230001@example.org/phone"));
}

#[test]
fn a_browser_comes_in_by_websocket_and_plain() {
    let mut play = Play::new(Framing::WebSocket, Security::Secured(ChannelBindings::NONE));
    assert_eq!(play.header(), Action::Read);
    let features = play.features();
    assert_eq!(features.mechanisms, [Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::Plain]);
    assert_eq!(features.channel_bindings, None, "nothing to bind to");
    assert_eq!(play.plain("bot", Ok(())), Action::Authenticated { username: "bot".into() });
    assert_eq!(play.one(), "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert_eq!(play.header(), Action::Read);
    assert!(play.features().bind);
    let bind = BIND.replace("<iq ", "<iq xmlns='jabber:client' ");
    assert_eq!(play.says(&bind), Action::Bind { resource: Some("phone".into()) });
    assert_eq!(play.bound(Ok("bot@example.org/phone")), Action::Established);
    assert!(play.one().starts_with("<iq xmlns='jabber:client' "));
}

#[test]
fn stream_ids_differ_and_ours_is_the_sender() {
    let mut play = Play::new(Framing::Tcp, Security::StartTls);
    let _ = play.header();
    let said = play.said();
    let first = play.check_header(&said[0]);
    let _ = play.says("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    play.negotiation.tls_established(bindings());
    play.said();
    let _ = play.header();
    let said = play.said();
    assert_ne!(play.check_header(&said[0]), first);
    assert_eq!(first.len(), 32);
}

#[test]
fn a_header_is_answered_to_its_sender() {
    let mut play = Play::new(Framing::Tcp, Security::StartTls);
    let header = HEADER.replace("to=", "from='a&apos;b@example.org/x' to=");
    assert_eq!(play.stream(&header), Action::Read, "a bad sender is ignored");
    let said = play.said();
    assert_eq!(StreamHeader::parse(said[0].as_bytes()).unwrap().to, None);
    let mut play = Play::new(Framing::Tcp, Security::StartTls);
    assert_eq!(play.stream(&HEADER.replace("to=", "from='+15551230001@example.org/x' to=")), Action::Read);
    let said = play.said();
    let header = StreamHeader::parse(said[0].as_bytes()).unwrap();
    assert_eq!(header.to.as_deref(), Some("+15551230001@example.org"));
    assert_eq!((header.version.as_deref(), header.lang.as_deref()), (Some("1.0"), Some("en")));
}

#[test]
fn domains_compare_without_case_and_later_versions_are_taken() {
    let mut play = Play::new(Framing::Tcp, Security::StartTls);
    assert_eq!(
        play.stream(&HEADER.replace("'example.org'", "'Example.ORG'").replace("n='1.0' xml", "n='1.7' xml")),
        Action::Read
    );
}

#[test]
fn scram_without_initial_response_gets_an_empty_challenge() {
    let mut play = Play::secured();
    assert_eq!(
        play.says("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'/>"),
        Action::Read
    );
    assert_eq!(play.one(), "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</challenge>");
    let lookup = Action::LookupCredentials { username: "u".into(), hash: Hash::Sha1 };
    assert_eq!(play.response(b"n,,n=u,r=abc"), lookup);
}

#[test]
fn a_session_is_resumed() {
    let mut play = Play::authenticated();
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='a&lt;b' h='7'/>";
    assert_eq!(play.says(resume), Action::Resume { previd: "a<b".into(), h: 7 });
    assert!(play.negotiation.owes_answer());
    assert_eq!(play.resumed(Ok(4_294_967_295)), Action::Established);
    let said = play.one();
    let element = Stanza::parse(said.as_bytes()).unwrap();
    assert!(element.is("resumed", crate::ns::SM));
    assert_eq!(
        (element.attr("previd").as_deref(), element.attr("h").as_deref()),
        (Some("a<b"), Some("4294967295"))
    );
}

#[test]
fn who_can_not_resume_binds() {
    let mut play = Play::authenticated();
    let _ = play.says("<resume xmlns='urn:xmpp:sm:3' previd='x' h='7'/>");
    assert_eq!(play.resumed(Err(Some(12))), Action::Read);
    let said = play.one();
    let element = Stanza::parse(said.as_bytes()).unwrap();
    assert!(element.is("failed", crate::ns::SM));
    assert_eq!(element.attr("h").as_deref(), Some("12"));
    assert!(element.has_child("item-not-found", crate::ns::STANZA_ERRORS));
    let bind = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    assert_eq!(play.says(bind), Action::Bind { resource: None });
    assert_eq!(play.bound(Ok("+15551230001@example.org/a&b")), Action::Established);
    assert!(play.one().contains("a&amp;b"));
}

#[test]
fn further_features_and_a_choice_of_mechanisms_are_settings() {
    let settings = Settings {
        mechanisms: vec![Mechanism::ScramSha1],
        session_features: [PRE_APPROVAL, ROSTER_VERSIONING].concat(),
        ..Settings::new(DOMAIN)
    };
    let mut play = Play::with(settings, Framing::Tcp, Security::Secured(bindings()));
    let _ = play.header();
    let features = play.features();
    assert_eq!((features.mechanisms, features.channel_bindings), (vec![Mechanism::ScramSha1], None));
    assert_eq!(play.auth(Mechanism::Plain, b"\0u\0p"), Action::Read);
    assert!(play.one().contains("<invalid-mechanism"));
    // Without a -PLUS mechanism on offer, `y` is true.
    let lookup = Action::LookupCredentials { username: "u".into(), hash: Hash::Sha1 };
    assert_eq!(play.auth(Mechanism::ScramSha1, b"y,,n=u,r=abc"), lookup);
}

#[test]
fn who_closes_is_answered() {
    let mut play = Play::secured();
    assert_eq!(play.closes(), Action::Close);
    assert_eq!(play.one(), "</stream:stream>");
    assert_eq!(play.closes(), Action::Close);
    assert_eq!(play.said(), Vec::<String>::new(), "once");
}
