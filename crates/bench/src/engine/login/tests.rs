//! A login as a play: what servers say, and what the client answers.

use super::*;

fn wishes() -> Wishes {
    Wishes {
        domain: "localhost".into(),
        starttls: false,
        stream_management: true,
        presence: true,
        way: Way::Classic,
        mechanism: Some(Mechanism::Plain),
    }
}

fn juliet() -> Credentials {
    Credentials { username: "juliet".into(), password: "secret".into(), authzid: None }
}

/// What the client answers to each element, and what comes next.
struct Play {
    wishes: Wishes,
    login: Login,
    previous: Option<(&'static str, u32)>,
}

impl Play {
    fn new(wishes: Wishes) -> Self {
        Self::coming(wishes, None).0
    }

    fn coming(wishes: Wishes, token: Option<&'static str>) -> (Self, String) {
        let mut out = Vec::new();
        let own = Own { account: 0, token, previous: None };
        let login = Login::begin(false, &wishes, &own, &mut out);
        (Self { wishes, login, previous: None }, String::from_utf8(out).unwrap())
    }

    fn says(&mut self, element: &str) -> (Result<Next, LoginError>, String) {
        let mut out = Vec::new();
        let previous = self.previous.map(|(id, h)| Previous { id, h });
        let own = Own { account: 0, token: Some("token"), previous };
        let next = self.login.element(element.as_bytes(), &self.wishes, &own, juliet, &mut out);
        (next, String::from_utf8(out).unwrap())
    }
}

const MECHANISMS: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
     <mechanism>PLAIN</mechanism><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>";
const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const BOUND: &str = "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@localhost/load</jid></bind></iq>";

#[test]
fn a_pipelined_login_says_everything_with_its_proof() {
    let mut play = Play::new(Wishes { way: Way::Pipelined, ..wishes() });
    let (next, said) = play.says(MECHANISMS);
    assert_eq!(next.unwrap(), Next::More);
    let order = ["<auth ", "<stream:stream ", "<resource>load</resource>", "<enable ", "<presence/>"];
    let at: Vec<usize> = order.iter().map(|what| said.find(what).unwrap()).collect();
    assert!(at.is_sorted(), "{said}");
    for (element, next) in [(SUCCESS, Next::NewStream), (BIND, Next::More), (BOUND, Next::More)] {
        let (came, said) = play.says(element);
        assert_eq!((came.unwrap(), said.as_str()), (next, ""));
    }
    let live = play.says("<enabled xmlns='urn:xmpp:sm:3' id='x' resume='true'/>").0.unwrap();
    assert_eq!(
        live,
        Next::Live(Live { is_managed: true, id: Some("x".into()), stanzas_sent: 1, ..Live::default() })
    );
}

#[test]
fn a_session_becomes_live() {
    let mut play = Play::new(wishes());
    let (next, said) = play.says(MECHANISMS);
    assert_eq!(next.unwrap(), Next::More);
    assert!(said.contains("mechanism='PLAIN'") && said.contains("AGp1bGlldABzZWNyZXQ="), "{said}");
    let (next, said) = play.says(SUCCESS);
    assert_eq!(next.unwrap(), Next::NewStream);
    assert!(said.contains("<stream:stream to='localhost'"), "{said}");
    let (next, said) = play.says(BIND);
    assert!(next.unwrap() == Next::More && said.contains("<resource>load</resource>"), "{said}");
    let (next, said) = play.says(BOUND);
    assert_eq!(next.unwrap(), Next::More);
    assert!(said.starts_with("<enable ") && said.ends_with("<presence/>"), "{said}");
    assert_eq!(play.says("<presence from='juliet@localhost/load'/>").0.unwrap(), Next::NotOurs);
    let (next, _) = play.says("<enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true'/>");
    let live = Live { is_managed: true, id: Some("s1".into()), stanzas_sent: 1, ..Live::default() };
    assert_eq!(next.unwrap(), Next::Live(live));
}

#[test]
fn an_old_server_is_asked_for_a_session_and_not_for_management() {
    let mut play = Play::new(wishes());
    play.says(MECHANISMS).0.unwrap();
    play.says(SUCCESS).0.unwrap();
    let old = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
         <session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></stream:features>";
    play.says(old).0.unwrap();
    let (next, said) = play.says(BOUND);
    assert!(next.unwrap() == Next::More && said.contains("xmpp-session"), "{said}");
    let (next, said) = play.says("<iq type='result' id='session'/>");
    assert_eq!(next.unwrap(), Next::Live(Live { stanzas_sent: 1, ..Live::default() }));
    assert_eq!(said, "<presence/>");
    let optional = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>";
    assert!(!needs_session(optional.as_bytes()));
}

#[test]
fn a_session_is_resumed_or_bound_anew() {
    for (answer, resumed) in [
        ("<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='4'/>", true),
        ("<failed xmlns='urn:xmpp:sm:3'/>", false),
    ] {
        let mut play = Play { previous: Some(("s1", 9)), ..Play::new(wishes()) };
        play.says(MECHANISMS).0.unwrap();
        play.says(SUCCESS).0.unwrap();
        let (_, said) = play.says(BIND);
        assert!(said.contains("previd='s1'") && said.contains("h='9'"), "{said}");
        let (next, said) = play.says(answer);
        match next.unwrap() {
            Next::Live(live) => {
                assert!(resumed && live.resumed == Some(4) && live.id.as_deref() == Some("s1"))
            }
            next => assert!(!resumed && next == Next::More && said.contains("<bind"), "{said}"),
        }
    }
}

#[test]
fn refusals_are_told() {
    let mut play = Play::new(Wishes { starttls: true, ..wishes() });
    assert!(play.says(MECHANISMS).0.unwrap_err().to_string().contains("STARTTLS"));
    let mut play = Play::new(Wishes { mechanism: Some(Mechanism::ScramSha256), ..wishes() });
    assert!(play.says(MECHANISMS).0.is_err());
    let mut play = Play::new(wishes());
    play.says(MECHANISMS).0.unwrap();
    let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
    assert!(play.says(failure).0.unwrap_err().to_string().contains("not-authorized"));
    let mut play = Play::new(wishes());
    let full =
        "<stream:error><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    assert!(play.says(full).0.unwrap_err().to_string().contains("resource-constraint"));
    assert!(play.says("<no").0.is_err());
}

#[test]
fn one_exchange_has_it_all_and_leaves_a_token() {
    let mut play = Play::new(Wishes { way: Way::Fast, ..wishes() });
    let offer = "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline>\
         <bind xmlns='urn:xmpp:bind:0'/></inline></authentication></stream:features>";
    let (next, said) = play.says(offer);
    assert_eq!(next.unwrap(), Next::More);
    for what in ["mechanism='PLAIN'", "<enable xmlns='urn:xmpp:sm:3' resume='true'/>", "<request-token "] {
        assert!(said.contains(what), "{said}");
    }
    let (next, said) = play.says(
        "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@localhost/x</authorization-identifier>\
         <bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true' max='300'/></bound>\
         <token xmlns='urn:xmpp:fast:0' token='t' expiry='2030-01-01T00:00:00Z'/></success>",
    );
    let token = Some(Box::new("t".to_owned()));
    let live = Live { is_managed: true, id: Some("s1".into()), resumed: None, stanzas_sent: 1, token };
    assert_eq!((next.unwrap(), said.as_str()), (Next::Live(live), "<presence/>"));
}

#[test]
fn a_token_is_sent_at_once() {
    let (mut play, said) = Play::coming(Wishes { way: Way::Fast, ..wishes() }, Some("token"));
    assert!(said.contains("<stream:stream ") && said.contains("mechanism='HT-SHA-256-NONE'"), "{said}");
    assert_eq!(play.says(MECHANISMS).1, "", "they are known");
    let data = chaski_xmpp::sasl::token::responder("token", b"");
    let data = chaski_xmpp::sasl::base64::encode(&data);
    play.previous = Some(("s1", 9));
    let success = |data: &str| {
        format!(
            "<success xmlns='urn:xmpp:sasl:2'><additional-data>{data}</additional-data>\
             <authorization-identifier>juliet@localhost/x</authorization-identifier>\
             <resumed xmlns='urn:xmpp:sm:3' previd='s1' h='4'/></success>"
        )
    };
    let live = Live { is_managed: true, id: Some("s1".into()), resumed: Some(4), ..Live::default() };
    assert!(play.says(&success("AAAA")).0.is_err(), "an impostor");
    assert_eq!(play.says(&success(&data)).0.unwrap(), Next::Live(live));
}
