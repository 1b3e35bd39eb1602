//! JIDs: parts, bounds, preparation, equality.

use super::*;
use proptest::prelude::*;

#[test]
fn a_normal_address_is_borrowed() {
    let mut scratch = String::new();
    let jid = JidRef::parse("+15551230001@chaski.example/Phone 1/2@x", &mut scratch).unwrap();
    assert_eq!(
        jid,
        JidRef { local: Some("+15551230001"), domain: "chaski.example", resource: Some("Phone 1/2@x") }
    );
    assert_eq!(jid.to_string(), "+15551230001@chaski.example/Phone 1/2@x");
    assert_eq!(scratch, "");
}

#[test]
fn others_are_normalised() {
    for (text, normal) in [
        ("A.b@EXAMPLE.org./Res", "a.b@example.org/Res"),
        ("Ñ@BÜCHER.example", "ñ@bücher.example"),
        ("fußball@a", "fußball@a"),
        ("STRAẞE@a", "straße@a"),
        ("ＡＢ@a", "ab@a"),
        ("a@例。jp", "a@例.jp"),
        ("a@Ｂücher.例。", "a@bücher.例"),
        ("a@b/e\u{301}", "a@b/é"),
        ("a@b/ℌ ", "a@b/ℌ "),
        ("a@b/a\u{3000}b", "a@b/a b"),
        ("[::1]", "[::1]"),
        ("a@b//", "a@b//"),
    ] {
        assert_eq!(Jid::parse(text).map(|jid| jid.to_string()).as_deref(), Ok(normal), "{text}");
    }
    assert_eq!(Jid::parse("a@b/c"), Jid::parse("A@B/c"));
    assert_ne!(Jid::parse("a@b/c"), Jid::parse("a@b/C"));
}

#[test]
fn a_resource_may_have_what_unicode_has_today() {
    for (resource, normal) in [
        ("📱", "📱"),
        ("₿", "₿"),
        ("GROẞE Straße", "GROẞE Straße"),
        ("🫨🪿", "🫨🪿"),
        ("👍🏽", "👍🏽"),
        ("🇵🇪", "🇵🇪"),
        // How something is drawn is no part of a name.
        ("❤\u{FE0F}", "❤"),
        ("👩\u{200D}🚀", "👩🚀"),
        ("🏴\u{E0067}\u{E0062}\u{E007F}", "🏴"),
        ("نامه\u{200C}ای", "نامه\u{200C}ای"),
    ] {
        assert_eq!(prepare_resource(resource).as_deref(), Ok(normal), "{resource}");
        let full = format!("+15551230001@d.example/{resource}");
        assert_eq!(Jid::parse(&full).unwrap().resource(), Some(normal));
    }
    for refused in ["\u{FE0F}", "📱\u{7}", "\u{202E}x", "\u{E000}", "\u{378}"] {
        assert!(prepare_resource(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn nicknames_are_shown_as_they_are_and_compared_by_their_key() {
    assert_eq!(prepare_nickname("+15551230001").as_deref(), Ok("+15551230001"));
    assert_eq!(prepare_nickname(" Zoë  ₿ ").as_deref(), Ok("Zoë ₿"));
    assert_eq!(prepare_nickname("\u{200B}"), Err(JidError::Empty));
    assert_eq!(prepare_nickname("\u{7}"), Err(JidError::Forbidden));
    assert_eq!(nickname_key("GROẞE"), nickname_key("große"));
    assert_ne!(nickname_key("Zoë"), nickname_key("Zoe"));
}

#[test]
fn what_older_rules_made_is_read_as_it_is() {
    // nodeprep had symbols in local parts, and folded what is now kept.
    for stored in ["☃@b.example", "fussball@b.example/H", "a@b.example/x·y"] {
        let read = JidRef::split(stored);
        assert_eq!(read.to_string(), stored);
        assert_eq!(read.to_jid().as_str(), stored);
    }
    assert_eq!(Jid::parse("☃@b.example"), Err(JidError::Forbidden));
}

#[test]
fn refuses_what_is_no_address() {
    let long = "x".repeat(1024);
    for (text, error) in [
        ("", JidError::Empty),
        ("@a", JidError::Empty),
        ("a@", JidError::Empty),
        ("a@b/", JidError::Empty),
        ("/r", JidError::Empty),
        ("a@b@c", JidError::Forbidden),
        ("a b@c", JidError::Forbidden),
        ("a'b@c", JidError::Forbidden),
        ("a@b c", JidError::Forbidden),
        ("a@b..c", JidError::Forbidden),
        ("a@[::g]", JidError::Forbidden),
        ("a@b/\u{1}", JidError::Forbidden),
        ("a@b/\u{FDD0}", JidError::Forbidden),
        ("ａ＠b@c", JidError::Forbidden),
        ("ａ＇b@c", JidError::Forbidden),
        ("☃@c", JidError::Forbidden),
        ("a\u{3000}b@c", JidError::Forbidden),
        ("a@☃.c", JidError::Forbidden),
        ("a@b／c.é", JidError::Forbidden),
        (&format!("{long}@b"), JidError::TooLong),
        (&format!("a@b/{long}"), JidError::TooLong),
    ] {
        assert_eq!(Jid::parse(text), Err(error), "{text}");
    }
    assert!(Jid::parse(&format!("{}@b/{}", &long[1..], &long[1..])).is_ok());
}

#[test]
fn parts() {
    let jid = Jid::parse("a@b/c").unwrap();
    assert_eq!(
        (jid.local(), jid.domain(), jid.resource(), jid.bare_str()),
        (Some("a"), "b", Some("c"), "a@b")
    );
    let domain = Jid::parse("b").unwrap();
    assert_eq!((domain.local(), domain.domain(), domain.resource()), (None, "b", None));
    let full = jid.to_bare().with_resource("Ｒe\u{301}").unwrap();
    assert_eq!(full.as_str(), "a@b/Ｒé");
    assert_eq!(full.to_bare().resource(), None);
    assert_eq!(BareJid::parse("a@b/c"), Err(JidError::WrongForm));
    assert_eq!(FullJid::parse("a@b"), Err(JidError::WrongForm));
    assert_eq!(Jid::from_parts(Some("A"), "B", None).map(|jid| jid.to_string()).as_deref(), Ok("a@b"));
    assert!(Jid::from_parts(Some("a/b"), "c", None).is_err());
    assert!(std::mem::size_of::<Jid>() <= 24);
}

proptest! {
    #[test]
    fn what_is_parsed_is_in_normal_form(text in "[a-zA-Zßéﬁ\u{130}\u{37A}日@/.＠\u{200D}\u{200C}क्\u{FE0F}ΣẞＡא]{1,12}|\\PC{1,20}") {
        if let Ok(jid) = Jid::parse(&text) {
            prop_assert_eq!(Jid::parse(jid.as_str()), Ok(jid.clone()));
            prop_assert_eq!(JidRef::split(jid.as_str()), jid.as_ref());
            prop_assert_eq!(jid.as_ref().to_jid(), jid);
        }
    }
}
