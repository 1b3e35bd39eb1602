//! One exchange for everything, over real sockets (XEP-0386, XEP-0388, XEP-0484).

use crate::rig::{Client, HEADER, KEY, Server};
use chaski_server::ListenerTls::{Direct, StartTls, Terminated};
use chaski_xmpp::Stanza;
use chaski_xmpp::sasl::client::{Binding, Credentials, Exchange};
use chaski_xmpp::sasl::token::{self, Claim, TokenMechanism};
use chaski_xmpp::sasl::{Mechanism, Nonce};
use chaski_xmpp::stream::client::{Authenticate, Sasl2Reply, write_authenticate, write_response2};
use chaski_xmpp::stream::{
    Access, Admission, ClientId, InlineBind, InlineEnable, InlineResume, TokenUse, Wishes,
};

const PHONE: ClientId = ClientId([0xD4; 16]);
const PING: &str = "<iq type='get' to='localhost' id='early'><ping xmlns='urn:xmpp:ping'/></iq>";

fn exporter(client: &Client) -> Vec<u8> {
    client.tls().export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap().to_vec()
}

fn wishes(token: TokenMechanism) -> Wishes {
    let enable = Some(InlineEnable { resume: true, max_s: None });
    let bind = InlineBind { tag: Some("Test".into()), enable, carbons: true, inactive: true };
    Wishes { client: Some(PHONE), bind: Some(bind), token: Some(token), ..Wishes::default() }
}

fn authenticate(mechanism: &str, initial: &[u8], wishes: &Wishes, token_use: Option<TokenUse>) -> String {
    let authenticate = Authenticate { mechanism, initial, software: Some("test"), wishes, token_use };
    let mut text = Vec::new();
    write_authenticate(&authenticate, &mut text);
    String::from_utf8(text).unwrap()
}

fn reply(client: &mut Client, end: &str) -> Sasl2Reply {
    let text = client.until(end);
    let start = text.find('<').unwrap();
    Sasl2Reply::parse(&Stanza::parse(&text.as_bytes()[start..]).unwrap()).unwrap_or_else(|| panic!("{text}"))
}

fn admission(client: &mut Client) -> (Vec<u8>, Admission) {
    match reply(client, "</success>") {
        Sasl2Reply::Success(data, admission) => (data, *admission),
        reply => panic!("{reply:?}"),
    }
}

fn failure(client: &mut Client) -> String {
    match reply(client, "</failure>") {
        Sasl2Reply::Failure(condition, _) => condition,
        reply => panic!("{reply:?}"),
    }
}

/// By SCRAM with channel binding.
fn scram(client: &mut Client, local: &str, wishes: &Wishes) -> Admission {
    let features = client.open();
    assert!(features.contains("<authentication xmlns='urn:xmpp:sasl:2'>"), "{features}");
    let binding = Binding::Bound { name: "tls-exporter", data: exporter(client) };
    let user = Credentials { username: local.into(), password: KEY.into(), authzid: None };
    let mechanism = Mechanism::ScramSha256Plus;
    let (mut exchange, initial) =
        Exchange::start(mechanism, &user, binding, Nonce::from_entropy([1; 18])).unwrap();
    client.send(&authenticate(mechanism.name(), &initial, wishes, None));
    let Sasl2Reply::Challenge(data) = reply(client, "</challenge>") else { panic!() };
    let mut response = Vec::new();
    write_response2(&exchange.challenge(&data).unwrap(), &mut response);
    client.send_bytes(&response);
    let (data, admission) = admission(client);
    exchange.success(&data).unwrap();
    admission
}

/// As today's clients log in: one exchange that binds, enables stream management, and has carbons.
pub(crate) fn bound_by_one_exchange(client: &mut Client, local: &str) {
    id_of(&scram(client, local, &wishes(TokenMechanism::Exporter)));
}

fn plain(client: &mut Client, local: &str, wishes: &Wishes) -> Admission {
    client.open();
    client.send(&authenticate("PLAIN", format!("\0{local}\0{KEY}").as_bytes(), wishes, None));
    admission(client).1
}

fn id_of(admission: &Admission) -> String {
    match &admission.access {
        Access::Bound { enabled: Some(enabled), carbons: true } => enabled.id.clone().unwrap(),
        access => panic!("{access:?}"),
    }
}

#[test]
fn scram_binds_at_once_on_either_shard() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.connect(StartTls).starttls(&server.leaf);
        let admission = scram(&mut client, &local, &wishes(TokenMechanism::Exporter));
        assert!(admission.jid.starts_with(&format!("{local}@localhost/Test/")), "{}", admission.jid);
        id_of(&admission);
        let features = client.until("</stream:features>");
        assert!(features.contains("urn:xmpp:sm:3") && !features.contains("xmpp-bind"), "{features}");
        client.ping("p1");
    }
    assert_eq!(server.metric("chaski_edge_logins_total"), 2);
}

#[test]
fn a_token_and_a_resumption_in_one_round_trip() {
    let server = Server::start();
    for local in server.two_accounts() {
        let mut client = server.connect(Direct);
        let first = scram(&mut client, &local, &wishes(TokenMechanism::Exporter));
        let token = first.token.clone().unwrap().token;
        client.send(&format!(
            "<message to='{local}@localhost' type='chat' id='12345678'><body>note</body></message>"
        ));
        client.vanish();
        server.wait_for_metric("chaski_rooms_sessions_hibernating", 1);

        let mut client = server.connect(Direct);
        let resume = Some(InlineResume { previd: id_of(&first), h: 0 });
        let again = Wishes { resume, token: None, ..wishes(TokenMechanism::Exporter) };
        let binding = exporter(&client);
        let claim = Claim::write(&local, &token, &binding);
        let name = TokenMechanism::Exporter.name();
        // Everything that the client says until it has its session, and beyond, is in one flight.
        let flight = [HEADER, &authenticate(name, &claim, &again, Some(TokenUse::default())), PING].concat();
        client.send(&flight);
        client.until("</stream:features>");
        let (data, second) = admission(&mut client);
        assert!(token::is_same(&data, &token::responder(&token, &binding)), "it is our server");
        assert_eq!(second.jid, first.jid);
        assert!(matches!(second.access, Access::Resumed { h: 1, .. }), "{second:?}");
        let rest = client.until("id='early'");
        assert!(!rest.contains("<stream:features>"), "none behind a resumption: {rest}");
        drop(client);
    }
    assert_eq!(server.metric("chaski_rooms_sessions_resumed_total"), 2);
    assert_eq!(server.metric("chaski_rooms_tokens_proved_total"), 2);
    assert_eq!(server.metric("chaski_rooms_tokens_issued_total"), 2);
}

#[test]
fn a_lost_session_is_told_beside_the_new_one() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut client = server.connect(Terminated);
    let resume = Some(InlineResume { previd: "lost".into(), h: 3 });
    let admission = plain(&mut client, &local, &Wishes { resume, ..wishes(TokenMechanism::Unbound) });
    assert_eq!(admission.lost, Some(None));
    id_of(&admission);
    client.until("</stream:features>");
    client.ping("p");
}

#[test]
fn without_wishes_the_classic_way_goes_on() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    let mut client = server.connect(Terminated);
    let admission = plain(&mut client, &local, &Wishes::default());
    assert_eq!((admission.jid, admission.access), (format!("{local}@localhost"), Access::Authenticated));
    assert!(client.until("</stream:features>").contains("urn:ietf:params:xml:ns:xmpp-bind"));
    assert!(client.bind("phone").contains(&format!("{local}@localhost/phone")));
    client.ping("p");
}

#[test]
fn a_token_that_is_not_good_is_not_authorized_whatever_is_wrong() {
    let server = Server::start_with(|config| config.limits.login_failures = 99);
    let [local, other] = server.two_accounts();
    let mut client = server.connect(Terminated);
    let token = plain(&mut client, &local, &wishes(TokenMechanism::Unbound)).token.unwrap().token;

    let mut client = server.connect(Direct);
    client.open();
    let binding = exporter(&client);
    let name = TokenMechanism::name;
    let (unbound, bound) = (name(TokenMechanism::Unbound), name(TokenMechanism::Exporter));
    let stranger = Wishes { client: Some(ClientId([1; 16])), ..Wishes::default() };
    let known = Wishes { client: Some(PHONE), ..Wishes::default() };
    let use_of = |count| Some(TokenUse { count: Some(count), invalidate: false });
    let good = Claim::write(&local, &token, &[]);
    for (mechanism, claim, wishes) in [
        (unbound, Claim::write(&local, "guessed", &[]), &known),
        (unbound, Claim::write(&other, &token, &[]), &known),
        (unbound, Claim::write("+15550009999", &token, &[]), &known),
        (unbound, Claim::write("nobody here", &token, &[]), &known),
        (unbound, good.clone(), &stranger),
        (unbound, good.clone(), &Wishes::default()),
        (bound, Claim::write(&local, &token, &binding), &known),
    ] {
        client.send(&authenticate(mechanism, &claim, wishes, Some(TokenUse::default())));
        assert_eq!(failure(&mut client), "not-authorized");
    }
    client.send(&authenticate(unbound, &good, &known, use_of(2)));
    assert_eq!(admission(&mut client).1.jid, format!("{local}@localhost"), "and this one is good");

    let mut client = server.connect(Direct);
    client.open();
    client.send(&authenticate(unbound, &good, &known, use_of(2)));
    assert_eq!(failure(&mut client), "not-authorized", "counted already");
    client.send(&authenticate(unbound, &good, &known, Some(TokenUse { count: Some(3), invalidate: true })));
    assert_eq!(admission(&mut client).1.token, None);

    let mut client = server.connect(Direct);
    client.open();
    client.send(&authenticate(unbound, &good, &known, use_of(4)));
    assert_eq!(failure(&mut client), "not-authorized", "logged out");
    client.send(&authenticate("PLAIN", format!("\0{local}\0{KEY}").as_bytes(), &known, None));
    admission(&mut client);
}

#[test]
fn a_second_one_behind_the_first_ends_the_stream() {
    let server = Server::start();
    let [local, _] = server.two_accounts();
    for wishes in [Wishes::default(), wishes(TokenMechanism::Unbound)] {
        let mut client = server.connect(Terminated);
        plain(&mut client, &local, &wishes);
        client.send(&authenticate("PLAIN", b"", &wishes, None));
        let end = client.until_closed();
        assert!(end.contains("<stream:error>"), "{end}");
    }
}
