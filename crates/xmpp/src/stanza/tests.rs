//! Stanzas: what is accepted, what is refused with which condition, and what the view shows.

use super::*;
use proptest::prelude::*;

fn parsed(text: &str) -> Stanza<'_> {
    Stanza::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn shows_a_message() {
    let text = "<message to='+15551230001@chaski.example' id='a&amp;b' type=\"chat\" xml:lang='qu'>\
                <body>ima&#xF1;a <![CDATA[<3]]></body><active xmlns='http://jabber.org/protocol/chatstates'/> </message>";
    let stanza = parsed(text);
    assert_eq!(stanza.kind(), Kind::Message);
    assert_eq!(stanza.to(), Some(Cow::Borrowed("+15551230001@chaski.example")));
    assert!(matches!(stanza.to(), Some(Cow::Borrowed(_))));
    assert_eq!(stanza.id().as_deref(), Some("a&b"));
    assert_eq!(stanza.from(), None);
    assert_eq!(stanza.lang().as_deref(), Some("qu"));
    assert_eq!(stanza.message_type(), MessageType::Chat);
    assert_eq!(stanza.child_count(), 2);
    assert_eq!(
        stanza.child("body", ns::CLIENT).map(|body| body.text().into_owned()).as_deref(),
        Some("imaña <3")
    );
    assert!(stanza.has_child("active", ns::CHAT_STATES) && stanza.has_child_in(ns::CHAT_STATES));
    assert!(!stanza.has_child("active", ns::CLIENT) && !stanza.has_child("body", ns::CHAT_STATES));
    assert_eq!(stanza.bytes(), text.as_bytes());
    assert!(stanza.payload().starts_with(b"<body>") && stanza.payload().ends_with(b"/> "));
}

#[test]
fn descends_with_the_right_namespaces() {
    let text = "<iq type='set' xmlns:f='urn:f'><f:a k='v'><b/><c xmlns='urn:c' xmlns:f='urn:g'><d/><f:e xml:lang='x'/></c>\
                </f:a><!-- --></iq>"
        .replace("<!-- -->", "text");
    let stanza = parsed(&text);
    let a = stanza.child("a", "urn:f").unwrap();
    assert_eq!(a.attr("k").as_deref(), Some("v"));
    let names = |element: &ElementRef<'_>| -> Vec<String> {
        element.children().map(|child| format!("{{{}}}{}", child.ns(), child.name())).collect()
    };
    assert_eq!(names(&a), ["{jabber:client}b", "{urn:c}c"]);
    let c = a.child("c", "urn:c").unwrap();
    assert_eq!(names(&c), ["{urn:c}d", "{urn:g}e"]);
    assert_eq!(c.child("e", "urn:g").unwrap().lang().as_deref(), Some("x"));
    assert_eq!(&text.as_bytes()[a.range()], a.bytes());
    assert_eq!(c.inner_bytes(), b"<d/><f:e xml:lang='x'/>");
    let mut alone = Vec::new();
    a.write_standalone(&mut alone);
    assert!(alone.starts_with(b"<f:a xmlns='jabber:client' xmlns:f='urn:f' k='v'><b/>"));
}

#[test]
fn kinds_and_types() {
    assert_eq!(parsed("<iq type='get' id='1'/>").iq_type(), Some(IqType::Get));
    assert_eq!(parsed("<iq id='1'/>").iq_type(), None);
    assert_eq!(parsed("<presence/>").presence_type(), Some(PresenceType::Available));
    assert_eq!(parsed("<presence type='what'/>").presence_type(), None);
    assert_eq!(parsed("<message type='what'/>").message_type(), MessageType::Normal);
    assert_eq!(parsed("<message xmlns='jabber:server'/>").kind(), Kind::Nonza);
    assert_eq!(parsed("<message xmlns='jabber:client'/>").kind(), Kind::Message);
    let nonza = parsed("<a xmlns='urn:xmpp:sm:3' h='1'/>\n");
    assert!(nonza.kind() == Kind::Nonza && nonza.is("a", ns::SM));
    assert_eq!(nonza.attr("h").as_deref(), Some("1"));
    assert!(parsed("<stream:error><x xmlns='urn:x'/></stream:error>").is("error", ns::STREAMS));
}

#[test]
fn refuses_what_could_break_another_stream() {
    use ParseError::{BadNamespacePrefix as Prefix, NotWellFormed as Malformed, Restricted, TooLarge};
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let prefixes = |count: usize| (0..count).map(|n| format!(" xmlns:p{n}='u'")).collect::<String>();
    for (text, error) in [
        ("".to_owned(), Malformed),
        ("x".into(), Malformed),
        (" <a/>".into(), Malformed),
        ("<a/><b/>".into(), Malformed),
        ("<a/>x".into(), Malformed),
        ("<a>".into(), Malformed),
        ("</a>".into(), Malformed),
        ("<a></b>".into(), Malformed),
        ("<a><b></a></b>".into(), Malformed),
        ("<a b=c/>".into(), Malformed),
        ("<a b='1'c='2'/>".into(), Malformed),
        ("<a b='1' b='2'/>".into(), Malformed),
        ("<a b='<'/>".into(), Malformed),
        ("<a b='&'/>".into(), Malformed),
        ("<a>]]></a>".into(), Malformed),
        ("<a>\u{1}</a>".into(), Malformed),
        ("<a>\u{FFFF}</a>".into(), Malformed),
        ("<a>&#0;</a>".into(), Malformed),
        ("<1/>".into(), Malformed),
        ("<a:/>".into(), Malformed),
        ("<a::b/>".into(), Malformed),
        ("<a xmlns:p='u' xmlns:q='&#117;' p:x='' q:x=''/>".into(), Malformed),
        ("<a><![CDATA[x</a>".into(), Malformed),
        ("<p:a/>".into(), Prefix),
        ("<p:iq xmlns:p='jabber:client'/>".into(), Prefix),
        ("<p:message xmlns:p='jabber:serve&#114;'/>".into(), Prefix),
        ("<p:error xmlns:p='http://etherx.jabber.org/streams'/>".into(), Prefix),
        ("<stream:a xmlns:stream='u'/>".into(), Prefix),
        ("<a><p:b/></a>".into(), Prefix),
        ("<a><b xmlns:p='u'/><p:b/></a>".into(), Prefix),
        ("<message><stream:b/></message>".into(), Prefix),
        ("<a p:b=''/>".into(), Prefix),
        ("<a xmlns:p=''/>".into(), Prefix),
        ("<a xmlns:xmlns='u'/>".into(), Prefix),
        ("<a xmlns:xml='u'/>".into(), Prefix),
        ("<a xmlns='http://www.w3.org/2000/xmlns/'/>".into(), Prefix),
        ("<a xmlns:p='http://www.w3.org/XML/1998/namespac&#101;'/>".into(), Prefix),
        ("<!DOCTYPE a>".into(), Restricted),
        ("<?xml version='1.0'?><a/>".into(), Restricted),
        ("<a><!-- --></a>".into(), Restricted),
        ("<a><!DOCTYPE b></a>".into(), Restricted),
        ("<a><?b?></a>".into(), Restricted),
        ("<a>&nbsp;</a>".into(), Restricted),
        ("<a b='\r\n'/>".into(), Restricted),
        ("<\u{1F600}/>".into(), Malformed),
        (format!("<{}/>", "a".repeat(1025)), TooLarge),
        (nested(33), TooLarge),
        (format!("<a{}/>", (0..65).map(|n| format!(" a{n}=''")).collect::<String>()), TooLarge),
        (format!("<a{}><b{}/></a>", prefixes(60), prefixes(5)), TooLarge),
        (format!("<a>{}</a>", "x".repeat(1 << 20)), TooLarge),
    ] {
        assert_eq!(Stanza::parse(text.as_bytes()).err(), Some(error), "{text:.80}");
    }
    assert!(Stanza::parse(b"<a>\xFF</a>").is_err());
    parsed(&nested(32));
    parsed(&format!("<a>{}</a>", format!("<b{}/>", prefixes(60)).repeat(3)));
    parsed("<a xmlns:p='u' xmlns:q='v' p:x='' q:x='' x=''/>");
    parsed("<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:space='preserve'/>");
}

#[test]
fn an_element_of_another_namespace_may_have_a_prefix() {
    for (text, name, ns) in [
        ("<t:starttls xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'/>", "starttls", ns::TLS),
        ("<s:r xmlns:s='urn:xmpp:sm:3' xmlns='x'></s:r>", "r", ns::SM),
        ("<x:message xmlns:x='u'/>", "message", "u"),
    ] {
        let stanza = parsed(text);
        assert!(stanza.is(name, ns) && stanza.root().is(name, ns) && stanza.kind() == Kind::Nonza, "{text}");
    }
    let authenticate = parsed(
        "<s:authenticate xmlns:s='urn:xmpp:sasl:2' mechanism='PLAIN'><s:initial-response>AA==</s:initial-response>\
         </s:authenticate>",
    );
    let initial = authenticate.root().child("initial-response", ns::SASL2).unwrap();
    assert_eq!(initial.text(), "AA==");
}

#[test]
fn reads_stream_headers() {
    let text = "<?xml version=\"1.0\" encoding='UTF-8'?>\r\n<stream:stream xmlns='jabber:client' to='a.b' version='1.0' \
                xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en'>";
    let header = StreamHeader::parse(text.as_bytes()).unwrap();
    assert_eq!((header.name, header.prefix), ("stream", Some("stream")));
    assert_eq!((header.ns.as_ref(), header.default_ns.as_deref()), (ns::STREAMS, Some(ns::CLIENT)));
    assert_eq!((header.to.as_deref(), header.from.as_deref()), (Some("a.b"), None));
    assert_eq!((header.version.as_deref(), header.lang.as_deref()), (Some("1.0"), Some("en")));
    for bad in [
        "<stream:stream/>",
        "<stream:stream xmlns='jabber:client'>",
        "<?xml?><a>",
        "<?xml version='1.0' encoding='latin1'?><a>",
        "<?xml version='1.0'encoding='utf-8'?><a>",
        "<?xml encoding='utf-8' version='1.0'?><a>",
        "<?xml version='1.0'?>x<a>",
        "<?xmlversion='1.0'?><a>",
        "<?xml version='é?><a>",
        "<a>x",
        "",
    ] {
        assert!(StreamHeader::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(StreamHeader::parse(b"<a>").is_ok_and(|header| header.ns.is_empty()));
}

#[test]
fn typical_stanzas_need_no_heap() {
    let stanza =
        parsed("<message to='a' from='b' id='c' xmlns:x='u'><body/><x:a/><b xmlns='c'/><d/></message>");
    assert!(!stanza.children.spilled() && !stanza.attrs.declarations.spilled() && !stanza.bindings.spilled());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(prop::sample::select(b"<>/&;#x'\"= a:?![]-\xC3\xA9".to_vec()), 0..60)) {
        let _ = Stanza::parse(&bytes);
        let _ = StreamHeader::parse(&bytes);
    }
}
