//! One exchange for everything (XEP-0388), what comes with it, and what must not.

use super::*;
use crate::ns;
use crate::sasl::token::{self, Claim, TokenMechanism};
use crate::stream::client::{Authenticate, Sasl2Reply, write_authenticate, write_response2};

const PHONE: &str = "+15551230001";
const JID: &str = "+15551230001@example.org";
const CLIENT: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";

fn client() -> ClientId {
    ClientId::parse(CLIENT).unwrap()
}

fn bind() -> InlineBind {
    let enable = Some(InlineEnable { resume: true, max_s: None });
    InlineBind { tag: Some("Phone".into()), enable, carbons: true, inactive: true }
}

fn everything() -> Wishes {
    let resume = Some(InlineResume { previd: "a<b".into(), h: 7 });
    let token = Some(TokenMechanism::Exporter);
    Wishes { client: Some(client()), resume, bind: Some(bind()), token, came_by: None }
}

fn admission(access: Access) -> Admission {
    Admission { jid: JID.into(), access, lost: None, token: None }
}

impl Play {
    fn authenticate(
        &mut self,
        mechanism: &str,
        initial: &[u8],
        wishes: &Wishes,
        fast: Option<TokenUse>,
    ) -> Action {
        let software = Some("A & B");
        let authenticate = Authenticate { mechanism, initial, software, wishes, token_use: fast };
        let mut text = Vec::new();
        write_authenticate(&authenticate, &mut text);
        self.says(&String::from_utf8(text).unwrap())
    }

    fn plain2(&mut self, wishes: &Wishes) -> Action {
        let initial = format!("\0{PHONE}\0key");
        let verify = self.authenticate("PLAIN", initial.as_bytes(), wishes, None);
        assert!(matches!(verify, Action::VerifyPlain { .. }), "{verify:?}");
        self.negotiation.plain_verified(Ok(()), &mut self.said)
    }

    fn admitted(&mut self, result: Result<&Admission, Refused>) -> Action {
        self.negotiation.admitted(result, &mut self.said)
    }

    fn token(&mut self, mechanism: TokenMechanism, wishes: &Wishes, token_use: Option<TokenUse>) -> Action {
        let bindings = bindings();
        let initial = Claim::write(PHONE, "secret", mechanism.binding(&bindings).unwrap());
        self.authenticate(mechanism.name(), &initial, wishes, token_use)
    }

    fn reply(&mut self, text: &str) -> Sasl2Reply {
        Sasl2Reply::parse(&Stanza::parse(text.as_bytes()).unwrap()).unwrap_or_else(|| panic!("{text}"))
    }

    /// The condition of the failure that is all the server has said.
    fn failed(&mut self) -> String {
        let said = self.one();
        match self.reply(&said) {
            Sasl2Reply::Failure(condition, _) => condition,
            reply => panic!("{reply:?}"),
        }
    }
}

#[test]
fn it_is_offered_beside_the_classic_way_once_there_is_tls() {
    let mut play = Play::new(Framing::Tcp, Security::Secured(bindings()));
    assert_eq!(play.header(), Action::Read);
    let features = play.features();
    let offer = features.sasl2.unwrap();
    assert_eq!(
        (&offer.mechanisms, &features.mechanisms),
        (&Mechanism::ALL.to_vec(), &Mechanism::ALL.to_vec())
    );
    assert_eq!((offer.bind, offer.resume), (Some(vec![ns::SM.to_owned()]), true));
    assert_eq!(offer.tokens, TokenMechanism::ALL);

    let mut play = Play::new(Framing::WebSocket, Security::Secured(ChannelBindings::NONE));
    assert_eq!(play.header(), Action::Read);
    assert_eq!(play.features().sasl2.unwrap().tokens, [TokenMechanism::Unbound], "nothing to bind to");
}

#[test]
fn scram_binds_in_the_same_exchange() {
    let mut play = Play::secured();
    let user = Credentials { username: PHONE.into(), password: "key".into(), authzid: None };
    let binding = Binding::Bound { name: "tls-exporter", data: vec![5; 32] };
    let mechanism = Mechanism::ScramSha256Plus;
    let (mut exchange, initial) =
        Exchange::start(mechanism, &user, binding, Nonce::from_entropy([1; 18])).unwrap();
    let wishes = everything();
    let lookup = play.authenticate(mechanism.name(), &initial, &wishes, None);
    assert_eq!(lookup, Action::LookupCredentials { username: PHONE.into(), hash: Hash::Sha256 });
    assert_eq!(play.credentials(Ok(ScramSecret::derive(Hash::Sha256, "key", b"salt", 1))), Action::Read);
    let challenge = play.one();
    let Sasl2Reply::Challenge(data) = play.reply(&challenge) else { panic!("{challenge}") };
    let mut response = Vec::new();
    write_response2(&exchange.challenge(&data).unwrap(), &mut response);
    let admit = play.says(&String::from_utf8(response).unwrap());
    assert_eq!(admit, Action::Admit { username: PHONE.into(), wishes: Box::new(wishes) });
    assert!(play.negotiation.owes_answer());

    let enabled = Some(InlineEnabled { id: Some("i&d".into()), max_s: 300 });
    let mut given = admission(Access::Bound { enabled, carbons: true });
    given.jid = format!("{JID}/Phone/x");
    given.lost = Some(Some(9));
    given.token = Some(IssuedToken { token: "t'k".into(), expires_unix_ms: 1_800_000_000_000 });
    assert_eq!(play.admitted(Ok(&given)), Action::Established);
    let said = play.said();
    let [success, features] = said.as_slice() else { panic!("{said:?}") };
    let Sasl2Reply::Success(data, read) = play.reply(success) else { panic!("{success}") };
    exchange.success(&data).unwrap();
    assert_eq!(*read, given);
    let features = Features::parse(&Stanza::parse(features.as_bytes()).unwrap()).unwrap();
    assert!(!features.bind && features.stream_management && features.sasl2.is_none(), "no way in twice");
}

#[test]
fn a_token_and_a_resumption_take_one_round_trip() {
    let mut play = Play::secured();
    let wishes = Wishes { token: None, ..everything() };
    let token_use = TokenUse { count: Some(3), invalidate: false };
    let prove = play.token(TokenMechanism::Exporter, &wishes, Some(token_use));
    let Action::ProveToken { username, proof } = prove else { panic!("{prove:?}") };
    assert_eq!((username.as_str(), proof.client, proof.token_use), (PHONE, client(), token_use));
    assert!(token::is_same(&token::initiator("secret", &proof.binding), &proof.proof));
    assert!(play.negotiation.owes_answer());
    let responder = token::responder("secret", &proof.binding);
    let admit = play.negotiation.token_proved(Ok(responder), &mut play.said);
    let wishes = Box::new(Wishes { came_by: Some(TokenMechanism::Exporter), ..wishes });
    assert_eq!(admit, Action::Admit { username: PHONE.into(), wishes });
    assert_eq!(play.said(), [""; 0], "nothing was said before all was done");

    let given = admission(Access::Resumed { previd: "a<b".into(), h: 4_294_967_295 });
    assert_eq!(play.admitted(Ok(&given)), Action::Established);
    let success = play.one();
    assert_eq!(play.reply(&success), Sasl2Reply::Success(responder.to_vec(), Box::new(given)));
}

#[test]
fn an_invalidated_token_is_not_refreshed() {
    let mut play = Play::secured();
    let token_use = TokenUse { count: None, invalidate: true };
    let wishes = Wishes { client: Some(client()), ..Wishes::default() };
    let _ = play.token(TokenMechanism::Unbound, &wishes, Some(token_use));
    let admit = play.negotiation.token_proved(Ok([0; 32]), &mut play.said);
    assert_eq!(admit, Action::Admit { username: PHONE.into(), wishes: Box::new(wishes) });
}

#[test]
fn who_wishes_nothing_goes_on_by_the_classic_way() {
    let mut play = Play::secured();
    let admit = play.plain2(&Wishes::default());
    assert_eq!(admit, Action::Admit { username: PHONE.into(), wishes: Box::default() });
    assert_eq!(play.admitted(Ok(&admission(Access::Authenticated))), Action::Read);
    let said = play.said();
    let [success, features] = said.as_slice() else { panic!("{said:?}") };
    let none = "<success xmlns='urn:xmpp:sasl:2'>\
        <authorization-identifier>+15551230001@example.org</authorization-identifier></success>";
    assert_eq!(success, none);
    assert!(Features::parse(&Stanza::parse(features.as_bytes()).unwrap()).unwrap().bind);
    assert_eq!(play.says(BIND), Action::Bind { resource: Some("phone".into()) }, "on the same stream");
}

#[test]
fn what_is_unknown_is_left_out() {
    let mut play = Play::secured();
    let initial = crate::sasl::base64::encode(format!("\0{PHONE}\0key").as_bytes());
    let text = format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><other xmlns='urn:other'><bind/></other>\
         <initial-response>\n  {initial}\n</initial-response><user-agent id='{}'><software>{}</software></user-agent>\
         <bind xmlns='urn:xmpp:bind:0'><tag/><enable xmlns='urn:other'/></bind>\
         <request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-3-512-UNIQ'/></authenticate>",
        "x".repeat(3000),
        "y".repeat(3000)
    );
    assert!(matches!(play.says(&text), Action::VerifyPlain { .. }));
    let admit = play.negotiation.plain_verified(Ok(()), &mut play.said);
    let wishes = Wishes { bind: Some(InlineBind::default()), ..Wishes::default() };
    assert_eq!(admit, Action::Admit { username: PHONE.into(), wishes: Box::new(wishes) });
}

#[test]
fn a_token_is_only_promised_where_it_can_be_used() {
    let mut play = Play::new(Framing::Tcp, Security::Secured(ChannelBindings::NONE));
    let _ = play.header();
    play.said();
    let Action::Admit { wishes, .. } = play.plain2(&everything()) else { panic!() };
    assert_eq!(wishes.token, None, "the connection has no exporter");
    let mut play = Play::secured();
    let Action::Admit { wishes, .. } = play.plain2(&Wishes { client: None, ..everything() }) else {
        panic!()
    };
    assert_eq!(wishes.token, None, "nobody to give it to");
}

#[test]
fn whoever_is_refused_at_the_owner_has_failed() {
    for (refused, condition) in
        [(Refused::NotAuthorized, "not-authorized"), (Refused::Unavailable, "temporary-auth-failure")]
    {
        let mut play = Play::secured();
        let _ = play.plain2(&everything());
        assert_eq!(play.admitted(Err(refused)), Action::Read);
        assert_eq!(play.failed(), condition);
        assert!(matches!(play.plain2(&everything()), Action::Admit { .. }), "and may try again");
    }
}

#[test]
fn bad_requests_are_failures_in_the_new_namespace() {
    let mut settings = Settings::new(DOMAIN);
    settings.sasl_failures_max = 99;
    let mut play = Play::with(settings, Framing::Tcp, Security::Secured(bindings()));
    let _ = play.header();
    play.said();
    let claim = crate::sasl::base64::encode(&Claim::write(PHONE, "secret", &[]));
    let fast = "<fast xmlns='urn:xmpp:fast:0'/>";
    let user_agent = format!("<user-agent id='{CLIENT}'/>");
    let initial = format!("<initial-response>{claim}</initial-response>");
    let ht = |inside: &str| ("mechanism='HT-SHA-256-NONE'", inside.to_owned());
    for ((attributes, inside), condition) in [
        (("", String::new()), "malformed-request"),
        (("mechanism='X'", String::new()), "invalid-mechanism"),
        (("mechanism='PLAIN'", "<initial-response>=</initial-response>".into()), "incorrect-encoding"),
        (("mechanism='PLAIN'", "<initial-response/>".into()), "malformed-request"),
        (("mechanism='PLAIN'", "<resume xmlns='urn:xmpp:sm:3'/>".into()), "malformed-request"),
        (("mechanism='PLAIN'", "<enable xmlns='urn:xmpp:sm:3'/>".into()), "malformed-request"),
        (
            ("mechanism='PLAIN'", "<bind xmlns='urn:xmpp:bind:0'><r xmlns='urn:xmpp:sm:3'/></bind>".into()),
            "malformed-request",
        ),
        (ht(&format!("{initial}{user_agent}")), "malformed-request"),
        (ht(&format!("{fast}{user_agent}")), "malformed-request"),
        (ht(&format!("{fast}{user_agent}<initial-response>AGE=</initial-response>")), "malformed-request"),
        (ht(&format!("{initial}{fast}")), "not-authorized"),
        (
            ht(&format!("{initial}{user_agent}<fast xmlns='urn:xmpp:fast:0' count='-1'/>")),
            "malformed-request",
        ),
        (
            ht(&format!("{initial}{user_agent}<fast xmlns='urn:xmpp:fast:0' invalidate='x'/>")),
            "malformed-request",
        ),
        (("mechanism='HT-SHA-256-UNIQ'", format!("{initial}{user_agent}{fast}")), "invalid-mechanism"),
    ] {
        let text = format!("<authenticate xmlns='urn:xmpp:sasl:2' {attributes}>{inside}</authenticate>");
        assert_eq!(play.says(&text), Action::Read, "{text}");
        assert_eq!(play.failed(), condition, "{text}");
    }
    assert_eq!(play.says("<abort xmlns='urn:xmpp:sasl:2'/>"), Action::Read);
    assert_eq!(play.failed(), "malformed-request");
    assert!(
        matches!(play.plain("+15551230001", Ok(())), Action::Authenticated { .. }),
        "nothing is left of it"
    );
    assert_eq!(play.one(), "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
}

#[test]
fn a_token_that_is_not_good_is_a_failure_like_any() {
    let mut play = Play::secured();
    for _ in 0..2 {
        let _ = play.token(TokenMechanism::EndPoint, &everything(), Some(TokenUse::default()));
        let failed = play.negotiation.token_proved(Err(Failure::NotAuthorized), &mut play.said);
        assert_eq!(failed, Action::Read);
        assert_eq!(play.failed(), "not-authorized");
    }
    let _ = play.token(TokenMechanism::EndPoint, &everything(), Some(TokenUse::default()));
    let failed = play.negotiation.token_proved(Err(Failure::NotAuthorized), &mut play.said);
    assert_eq!(failed, Action::Close, "so many tries only");
}

#[test]
fn the_order_is_kept() {
    let scram = || {
        let mut play = Play::secured();
        let lookup = play.authenticate("SCRAM-SHA-1", b"n,,n=u,r=x", &Wishes::default(), None);
        assert!(matches!(lookup, Action::LookupCredentials { .. }));
        let _ = play.credentials(Ok(ScramSecret::derive(Hash::Sha1, "key", b"salt", 1)));
        play.said();
        play
    };
    for element in [
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>",
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AA==</response>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
        "<message/>",
    ] {
        let mut play = scram();
        assert_eq!(play.says(element), Action::Close, "{element}");
        play.ended_with(StreamCondition::NotAuthorized, false);
    }
    let mut play = scram();
    assert_eq!(play.says("<abort xmlns='urn:xmpp:sasl:2'><text>no</text></abort>"), Action::Read);
    assert_eq!(play.failed(), "aborted");

    let mut play = Play::secured();
    let _ = play.plain2(&Wishes::default());
    let _ = play.admitted(Ok(&admission(Access::Authenticated)));
    play.said();
    assert_eq!(play.says("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>"), Action::Close);
    play.ended_with(StreamCondition::PolicyViolation, false);

    let mut play = Play::new(Framing::Tcp, Security::StartTls);
    let _ = play.header();
    play.said();
    assert_eq!(play.says("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>"), Action::Read);
    assert_eq!(play.failed(), "encryption-required");
}

#[test]
fn who_opened_the_stream_is_who_may_act() {
    let mut play = Play::new(Framing::Tcp, Security::Secured(bindings()));
    let _ = play.stream(&HEADER.replace("to=", &format!("from='{JID}' to=")));
    play.said();
    let as_other = b"bot@example.org\0bot\0key";
    assert_eq!(play.authenticate("PLAIN", as_other, &Wishes::default(), None), Action::Read);
    assert_eq!(play.failed(), "invalid-authzid");
    let as_self = format!("{JID}\0{PHONE}\0key");
    let verify = play.authenticate("PLAIN", as_self.as_bytes(), &Wishes::default(), None);
    assert!(matches!(verify, Action::VerifyPlain { .. }));
}

#[test]
fn a_client_is_known_by_its_uuid() {
    assert_eq!(client().to_uuid(), CLIENT);
    assert_eq!(ClientId::parse(&CLIENT.to_uppercase()), Some(client()));
    for bad in [
        "",
        "x",
        &CLIENT[1..],
        "d4565fa7-4d72-4749-b3d3-740edbf8777é",
        "+4565fa7-4d72-4749-b3d3-740edbf87770",
    ] {
        assert_eq!(ClientId::parse(bad), None, "{bad}");
    }
}
