//! What is refused, and how.

use super::*;
use crate::sasl::Salting;

#[test]
fn bad_headers_end_the_stream_with_their_own_error() {
    for (from, to, condition) in [
        ("to='example.org'", "to='example.com'", StreamCondition::HostUnknown),
        ("to='example.org'", "to=''", StreamCondition::HostUnknown),
        ("to='example.org'", "", StreamCondition::ImproperAddressing),
        ("version='1.0' xml", "xml", StreamCondition::UnsupportedVersion),
        ("version='1.0' xml", "version='0.9' xml", StreamCondition::UnsupportedVersion),
        ("version='1.0' xml", "version='+1.0' xml", StreamCondition::UnsupportedVersion),
        ("version='1.0' xml", "version='1' xml", StreamCondition::UnsupportedVersion),
        ("jabber:client", "jabber:server", StreamCondition::InvalidNamespace),
        ("xmlns='jabber:client'", "", StreamCondition::InvalidNamespace),
        ("jabber.org/streams", "jabber.org/other", StreamCondition::InvalidNamespace),
        ("<stream:stream", "<stream:river", StreamCondition::BadFormat),
    ] {
        let header = HEADER.replacen(from, to, 1);
        assert_ne!(header, HEADER, "{from}");
        let mut play = Play::new(Framing::Tcp, Security::StartTls);
        assert_eq!(play.stream(&header), Action::Close, "{header}");
        play.ended_with(condition, true);
    }
    let mut play = Play::new(Framing::Tcp, Security::StartTls);
    let header = HEADER.replace("<stream:stream", "<s:stream").replace("xmlns:stream", "xmlns:s");
    assert_eq!(play.stream(&header), Action::Close);
    play.ended_with(StreamCondition::BadNamespacePrefix, true);
}

#[test]
fn an_error_before_any_header_brings_ours_along() {
    for framing in [Framing::Tcp, Framing::WebSocket] {
        let mut play = Play::new(framing, Security::Secured(bindings()));
        let action = play.negotiation.fail(StreamCondition::NotWellFormed, Some("a < b"), &mut play.said);
        assert_eq!(action, Action::Close);
        play.ended_with(StreamCondition::NotWellFormed, true);
        let mut play = Play::new(framing, Security::Secured(bindings()));
        assert_eq!(play.says("<iq type='get' id='1'/>"), Action::Close);
        play.ended_with(StreamCondition::BadFormat, true);
    }
}

#[test]
fn nothing_but_starttls_works_before_tls() {
    for element in ["<message/>", BIND, "<a xmlns='urn:xmpp:sm:3' h='1'/>"] {
        let mut play = Play::new(Framing::Tcp, Security::StartTls);
        let _ = play.header();
        play.said();
        assert_eq!(play.says(element), Action::Close);
        play.ended_with(StreamCondition::NotAuthorized, false);
    }
    let mut play = Play::new(Framing::Tcp, Security::StartTls);
    let _ = play.header();
    play.said();
    assert_eq!(play.auth(Mechanism::Plain, b"\0u\0p"), Action::Read);
    assert!(play.one().contains("<encryption-required"));
}

#[test]
fn nothing_but_sasl_works_before_authentication() {
    let during = |play: &mut Play| {
        let _ = play.says("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>");
        play.said();
    };
    for element in ["<message/>", BIND, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<success/>"] {
        for amid_exchange in [false, true] {
            let mut play = Play::secured();
            if amid_exchange {
                during(&mut play);
            }
            assert_eq!(play.says(element), Action::Close);
            play.ended_with(StreamCondition::NotAuthorized, false);
        }
    }
}

#[test]
fn nothing_but_bind_and_resume_works_before_a_session() {
    for element in [
        "<message/>",
        "<presence/>",
        "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='get' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
    ] {
        let mut play = Play::authenticated();
        assert_eq!(play.says(element), Action::Close, "{element}");
        play.ended_with(StreamCondition::NotAuthorized, false);
    }
}

/// XEP-0198 §3: it is told so, and what was under way goes on.
#[test]
fn stream_management_before_authentication_is_too_early() {
    const EARLY: [&str; 2] =
        ["<enable xmlns='urn:xmpp:sm:3'/>", "<resume xmlns='urn:xmpp:sm:3' previd='a' h='1'/>"];
    let failed = "<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    for element in EARLY {
        let mut play = Play::new(Framing::Tcp, Security::StartTls);
        let _ = play.header();
        play.said();
        assert_eq!(play.says(element), Action::Read, "before TLS");
        assert_eq!(play.one(), failed);
        assert_eq!(play.says("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), Action::StartTls);
        let mut play = Play::secured();
        assert_eq!(play.says(element), Action::Read, "before authentication");
        assert_eq!(play.one(), failed);
        let _ = play.says("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>");
        play.said();
        assert_eq!(play.says(element), Action::Read, "amid an exchange");
        assert_eq!(play.one(), failed);
        assert!(play.negotiation.is_amid_exchange());
        assert!(matches!(play.response(b"\0u\0key"), Action::VerifyPlain { .. }));
    }
    let mut play = Play::secured();
    let actions: Vec<_> = (0..8).map(|_| play.says(EARLY[0])).collect();
    assert!(actions.ends_with(&[Action::Read, Action::Close]), "not for ever: {actions:?}");
}

#[test]
fn a_header_amid_a_stream_is_refused() {
    let mut play = Play::secured();
    assert_eq!(play.header(), Action::Close);
    play.ended_with(StreamCondition::BadFormat, false);
    let mut play = Play::new(Framing::WebSocket, Security::Secured(bindings()));
    assert_eq!(play.stream(HEADER), Action::Close, "the other framing's");
}

#[test]
fn each_sasl_mistake_has_its_failure() {
    let auth = |attributes: &str, text: &str| {
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' {attributes}>{text}</auth>")
    };
    for (element, condition) in [
        (auth("mechanism='DIGEST-MD5'", ""), "invalid-mechanism"),
        (auth("mechanism='plain'", ""), "invalid-mechanism"),
        (auth("", ""), "malformed-request"),
        (auth("mechanism='PLAIN'", "AGE"), "incorrect-encoding"),
        (auth("mechanism='PLAIN'", " AHUAcA=="), "incorrect-encoding"),
        (auth("mechanism='PLAIN'", "<a/>"), "malformed-request"),
        (auth("mechanism='PLAIN'", "="), "malformed-request"),
        (auth("mechanism='PLAIN'", "eABhAGI="), "invalid-authzid"),
        (auth("mechanism='SCRAM-SHA-1'", "eSwsbj11LHI9YQ=="), "malformed-request"),
        ("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".into(), "malformed-request"),
        ("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".into(), "malformed-request"),
    ] {
        let mut play = Play::secured();
        assert_eq!(play.says(&element), Action::Read, "{element}");
        let said = play.one();
        let reply = SaslReply::parse(&Stanza::parse(said.as_bytes()).unwrap()).unwrap();
        assert_eq!(reply, SaslReply::Failure(condition.into(), None), "{element}");
        assert_eq!(play.plain("u", Ok(())), Action::Authenticated { username: "u".into() }, "another try");
    }
}

#[test]
fn plus_is_refused_where_there_is_nothing_to_bind_to() {
    let mut play = Play::new(Framing::Tcp, Security::Secured(ChannelBindings::NONE));
    let _ = play.header();
    play.said();
    assert_eq!(play.auth(Mechanism::ScramSha256Plus, b"p=tls-exporter,,n=u,r=a"), Action::Read);
    assert!(play.one().contains("<invalid-mechanism"));
}

#[test]
fn an_abort_is_answered_and_counts() {
    let mut play = Play::secured();
    for round in 1..=3 {
        let _ = play.says("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>");
        play.said();
        let action = play.says("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        assert_eq!(action, if round < 3 { Action::Read } else { Action::Close });
        assert!(play.said()[0].contains("<aborted"));
    }
}

#[test]
fn three_wrong_passwords_end_the_stream() {
    let mut play = Play::secured();
    assert_eq!(play.plain("u", Err(Failure::NotAuthorized)), Action::Read);
    assert!(play.one().contains("<not-authorized"));
    let decoy = ScramSecret::decoy(&Salting([1; 32]), Hash::Sha1, "+15551230001", 4096);
    assert_eq!(scram(&mut play, Mechanism::ScramSha1, "key", decoy), Action::Read);
    assert!(play.one().contains("<not-authorized"));
    assert_eq!(play.plain("u", Err(Failure::NotAuthorized)), Action::Close);
    play.ended_with(StreamCondition::PolicyViolation, false);
    assert_eq!(play.says("<message/>"), Action::Close);
    assert_eq!(play.said(), Vec::<String>::new(), "over is over");
}

#[test]
fn our_own_trouble_is_temporary() {
    let mut play = Play::secured();
    let _ = play.auth(Mechanism::ScramSha1, b"n,,n=u,r=a");
    assert_eq!(play.credentials(Err(Failure::TemporaryAuthFailure)), Action::Read);
    assert!(play.one().contains("<temporary-auth-failure"));
    let _ = play.auth(Mechanism::ScramSha1, b"n,,n=u,r=a");
    assert_eq!(play.credentials(Err(Failure::AccountDisabled)), Action::Read);
    assert!(play.one().contains("<account-disabled"));
}

#[test]
fn a_refused_bind_may_be_repeated_but_not_for_ever() {
    let mut play = Play::authenticated();
    for (refusal, condition, error_type) in [
        (BindRefusal::BadResource, "bad-request", "modify"),
        (BindRefusal::TooMany, "resource-constraint", "wait"),
        (BindRefusal::Unavailable, "internal-server-error", "cancel"),
    ] {
        let _ = play.says(BIND);
        assert_eq!(play.bound(Err(refusal)), Action::Read);
        let said = play.one();
        let element = Stanza::parse(said.as_bytes()).unwrap();
        assert_eq!((element.id().as_deref(), element.type_attr().as_deref()), (Some("b<1"), Some("error")));
        let error = element.child("error", crate::ns::CLIENT).unwrap();
        assert_eq!(error.attr("type").as_deref(), Some(error_type));
        assert!(error.child(condition, crate::ns::STANZA_ERRORS).is_some());
    }
    for _ in 0..4 {
        let enable = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
        assert_eq!(play.says(enable), Action::Read);
        assert!(play.one().contains("<unexpected-request"));
    }
    assert_eq!(play.says("<resume xmlns='urn:xmpp:sm:3' previd='x'/>"), Action::Close, "the eighth");
    play.ended_with(StreamCondition::PolicyViolation, false);
    let mut play = Play::authenticated();
    let _ = play.says(BIND);
    assert_eq!(play.bound(Err(BindRefusal::NotAuthorized)), Action::Close);
    play.ended_with(StreamCondition::NotAuthorized, false);
}

#[test]
fn an_edge_that_does_not_wait_is_told_so() {
    let mut play = Play::secured();
    let _ = play.auth(Mechanism::ScramSha1, b"n,,n=u,r=a");
    assert_eq!(play.says("<message/>"), Action::Close);
    play.ended_with(StreamCondition::InternalServerError, false);
    assert_eq!(play.credentials(Err(Failure::NotAuthorized)), Action::Close);
    assert_eq!(play.said(), Vec::<String>::new());
}

#[test]
fn secrets_do_not_show() {
    let mut play = Play::secured();
    let _ = play.auth(Mechanism::Plain, b"\0u\0tanstaaf");
    let shown = format!("{:?}", play.negotiation);
    assert!(!shown.contains("tanstaaf") && !shown.contains("3, 3, 3"), "{shown}");
}

#[test]
fn odd_languages_are_not_kept() {
    let mut play = Play::new(Framing::Tcp, Security::StartTls);
    let _ = play.stream(&HEADER.replace("'es'", "'e&lt;s'"));
    assert_eq!(play.negotiation.lang(), None);
}

/// One thing that a client or the edge might do.
#[derive(Debug, Clone)]
enum Deed {
    Header,
    Says(&'static str),
    Plain(bool),
    Scram,
    Tls,
    Credentials(bool),
    Bound(bool),
    Resumed(bool),
    Close,
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let elements = [
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AHUAcA==</response>",
        "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='a' h='1'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<message/>",
        BIND,
    ];
    prop_oneof![
        4 => Just(Deed::Header),
        4 => prop::sample::select(elements.to_vec()).prop_map(Deed::Says),
        3 => any::<bool>().prop_map(Deed::Plain),
        1 => Just(Deed::Scram),
        2 => Just(Deed::Tls),
        1 => any::<bool>().prop_map(Deed::Credentials),
        1 => any::<bool>().prop_map(Deed::Bound),
        1 => any::<bool>().prop_map(Deed::Resumed),
        1 => Just(Deed::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However the deeds come: no panic, at most three failures, no session without authentication, silence after the end.
    #[test]
    fn no_order_of_deeds_gets_around_the_rules(
        websocket in any::<bool>(),
        starttls in any::<bool>(),
        deeds in prop::collection::vec(any_deed(), 0..40),
    ) {
        let framing = if websocket { Framing::WebSocket } else { Framing::Tcp };
        let security = if starttls { Security::StartTls } else { Security::Secured(bindings()) };
        let mut play = Play::new(framing, security);
        let (mut proved, mut over, mut failures) = (false, false, 0);
        for deed in deeds {
            let action = match &deed {
                Deed::Header => play.header(),
                Deed::Says(element) => play.says(element),
                Deed::Plain(right) => play.plain("u", right.then_some(()).ok_or(Failure::NotAuthorized)),
                Deed::Scram => play.auth(Mechanism::ScramSha256, b"n,,n=u,r=a"),
                Deed::Tls => {
                    play.negotiation.tls_established(bindings());
                    continue;
                }
                Deed::Credentials(good) => {
                    let secret = ScramSecret::decoy(&Salting([1; 32]), Hash::Sha256, "u", 1);
                    play.credentials(good.then_some(secret).ok_or(Failure::NotAuthorized))
                }
                Deed::Bound(good) => play.bound(good.then_some("u@example.org/r").ok_or(BindRefusal::BadResource)),
                Deed::Resumed(good) => play.resumed(good.then_some(1).ok_or(None)),
                Deed::Close => play.closes(),
            };
            let said = play.said();
            failures += said.iter().filter(|piece| piece.contains("<failure ")).count();
            prop_assert!(failures <= 3);
            if over {
                prop_assert_eq!(&action, &Action::Close);
                prop_assert!(said.is_empty());
            }
            match action {
                Action::Authenticated { .. } => proved = true,
                Action::Bind { .. } | Action::Resume { .. } | Action::Established => prop_assert!(proved),
                Action::Close => over = true,
                _ => {}
            }
            over |= action == Action::Established;
        }
    }
}
