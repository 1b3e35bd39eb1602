//! Stream management against a scripted server: what is counted, what is sent again, what is forgotten.

use super::*;
use crate::device::Token;
use crate::message::{Received, chat, presence};
use crate::target::Security;
use crate::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='1'>";

/// The other end of a connection, played by the test.
struct Server {
    stream: TcpStream,
    received: String,
}

impl Server {
    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything up to and including this text.
    async fn hear(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.received.find(text) {
                let rest = self.received.split_off(at + text.len());
                return std::mem::replace(&mut self.received, rest);
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "closed; no {text:?} in {:?}", self.received);
            self.received.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
}

/// An authenticated stream and its other end.
async fn connection() -> (Link, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), async { listener.accept().await });
    let mut server = Server { stream: theirs.unwrap().0, received: String::new() };
    let mut link = Link::new(Transport::Plain(ours.unwrap()));
    server.say(HEADER).await;
    link.open("localhost").await.unwrap();
    server.hear("to='localhost'>").await;
    (link, server)
}

fn features() -> Features {
    Features { bind: true, stream_management: true, ..Features::default() }
}

fn client() -> Client {
    let target =
        Target { host: "127.0.0.1".into(), port: 1, security: Security::Plain, domain: "localhost".into() };
    Client::new(Settings { unaccepted_max: 5, ..Settings::new(target, "+1", "key") })
}

const BOUND: &str = "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>+1@localhost/a</jid></bind></iq>";

/// A client with a resumable session.
async fn bound() -> (Client, Server) {
    let mut client = client();
    let server = bind(&mut client).await;
    (client, server)
}

async fn bind(client: &mut Client) -> Server {
    let (mut link, mut server) = connection().await;
    server.say(BOUND).await;
    server.say("<enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true'/>").await;
    client.bind(&mut link, &features()).await.unwrap();
    client.link = Some(link);
    server.hear("<enable ").await;
    server.hear("/>").await;
    server
}

async fn resume(client: &mut Client, answer: &str) -> (bool, Link, Server) {
    client.disconnect();
    let (mut link, mut server) = connection().await;
    server.say(answer).await;
    let previd = client.resume_id.clone().unwrap();
    let resumed = client.resume(&mut link, &previd).await.unwrap();
    (resumed, link, server)
}

/// Drives the client until it has sent what the server waits for.
async fn flush(client: &mut Client, server: &mut Server, text: &str) -> String {
    tokio::select! {
        heard = server.hear(text) => heard,
        event = client.next() => panic!("{event:?}"),
    }
}

fn marks(event: Event) -> Vec<u64> {
    match event {
        Event::Accepted(marks) => marks,
        Event::Stanza(element) => panic!("{element:?}"),
    }
}

fn body(event: Event) -> String {
    match event {
        Event::Stanza(element) => Received::read(&element.stanza()).unwrap().body.unwrap(),
        Event::Accepted(marks) => panic!("{marks:?}"),
    }
}

#[tokio::test]
async fn acceptance_is_asked_for_and_told_once() {
    let (mut client, mut server) = bound().await;
    client.send(UNMARKED, presence()).unwrap();
    client.send(7, chat("+2@localhost", "id-7", "seven")).unwrap();
    client.send(8, chat("+2@localhost", "id-8", "eight")).unwrap();
    let sent = flush(&mut client, &mut server, "<r xmlns='urn:xmpp:sm:3'/>").await;
    assert!(sent.find("seven") < sent.find("eight") && !sent.contains("<a "), "{sent}");
    server.say("<a xmlns='urn:xmpp:sm:3' h='2'/>").await;
    assert_eq!(marks(client.next().await.unwrap()), [7]);
    // Something is left: it asks again.
    flush(&mut client, &mut server, "<r xmlns='urn:xmpp:sm:3'/>").await;
    server.say("<a xmlns='urn:xmpp:sm:3' h='3'/>").await;
    assert_eq!((marks(client.next().await.unwrap()), client.unaccepted()), (vec![8], 0));
    server.say("<a xmlns='urn:xmpp:sm:3' h='4'/>").await;
    assert!(matches!(client.next().await, Err(ClientError::Protocol(_))));
    assert!(!client.is_connected());
}

#[tokio::test]
async fn a_stanza_counts_when_it_was_handled() {
    let (mut client, mut server) = bound().await;
    server.say("<message><body>one</body></message><r xmlns='urn:xmpp:sm:3'/>").await;
    server.say("<iq type='get' id='p' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    server.say("<message><body>two</body></message><r xmlns='urn:xmpp:sm:3'/>").await;
    assert_eq!(body(client.next().await.unwrap()), "one");
    assert_eq!(body(client.next().await.unwrap()), "two");
    let sent = flush(&mut client, &mut server, "h='3'/>").await;
    assert!(sent.contains("h='1'/>") && sent.contains("type='result'"), "{sent}");
}

#[tokio::test]
async fn a_resumed_session_goes_on() {
    let (mut client, mut server) = bound().await;
    for mark in 1..=3 {
        client.send(mark, chat("+2@localhost", &format!("id-{mark}"), &format!("text {mark}"))).unwrap();
    }
    server.say("<message><body>hi</body></message>").await;
    assert_eq!(body(client.next().await.unwrap()), "hi");
    let answer = "<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='1'/>";
    let (resumed, link, mut server) = resume(&mut client, answer).await;
    assert!(resumed && client.is_managed());
    client.link = Some(link);
    assert_eq!(marks(client.next().await.unwrap()), [1]);
    let sent = flush(&mut client, &mut server, "<r xmlns='urn:xmpp:sm:3'/>").await;
    assert!(sent.starts_with("<resume xmlns='urn:xmpp:sm:3' previd='s1' h='1'/><message "), "{sent}");
    assert!(!sent.contains("text 1") && sent.find("text 2") < sent.find("text 3"), "{sent}");
    server.say("<a xmlns='urn:xmpp:sm:3' h='3'/>").await;
    assert_eq!(marks(client.next().await.unwrap()), [2, 3]);
}

#[tokio::test]
async fn a_lost_session_sends_again_what_was_not_accepted_with_the_same_bytes() {
    let (mut client, _server) = bound().await;
    let texts: Vec<Vec<u8>> = (1..=3).map(|n| chat("+2@localhost", &format!("id-{n}"), "text")).collect();
    for (mark, text) in texts.iter().enumerate() {
        client.send(mark as u64, text.clone()).unwrap();
    }
    let answer = "<failed xmlns='urn:xmpp:sm:3' h='1'>\
                  <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    let (resumed, _link, _) = resume(&mut client, answer).await;
    assert!(!resumed && client.resume_id.is_none());
    let mut server = bind(&mut client).await;
    assert_eq!(marks(client.next().await.unwrap()), [0]);
    let sent = flush(&mut client, &mut server, "<r xmlns='urn:xmpp:sm:3'/>").await;
    let again = [texts[1].as_slice(), &texts[2], b"<r xmlns='urn:xmpp:sm:3'/>"].concat();
    assert_eq!(sent, String::from_utf8(again).unwrap());
    // The counts have begun anew.
    server.say("<a xmlns='urn:xmpp:sm:3' h='2'/>").await;
    assert_eq!(marks(client.next().await.unwrap()), [1, 2]);
}

#[tokio::test]
async fn what_is_sent_without_a_connection_waits_up_to_a_bound() {
    let mut client = client();
    for mark in 0..5 {
        client.send(mark, chat("+2@localhost", &format!("id-{mark}"), "waiting")).unwrap();
    }
    let sixth = client.send(5, chat("+2@localhost", "id-5", "waiting"));
    assert!(matches!(sixth, Err(ClientError::QueueFull)) && !client.has_room());
    assert!(matches!(client.next().await, Err(ClientError::NotConnected)));
    let mut server = bind(&mut client).await;
    let sent = flush(&mut client, &mut server, "<r xmlns='urn:xmpp:sm:3'/>").await;
    assert_eq!(sent.matches("waiting").count(), 5);
}

#[tokio::test]
async fn a_farewell_says_how_much_was_handled() {
    let (mut client, mut server) = bound().await;
    server.say("<message><body>hi</body></message>").await;
    assert_eq!(body(client.next().await.unwrap()), "hi");
    let server = async {
        let sent = server.hear("</stream:stream>").await;
        server.say("</stream:stream>").await;
        sent
    };
    let (sent, ()) = tokio::join!(server, client.close());
    assert_eq!(sent, "<a xmlns='urn:xmpp:sm:3' h='1'/></stream:stream>");
    assert!(client.resume_id.is_none());
}

#[tokio::test]
async fn the_end_of_the_stream_says_why() {
    let (mut client, mut server) = bound().await;
    server
        .say("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
        .await;
    let error = client.next().await.unwrap_err();
    assert!(error.is_final() && error.to_string().contains("conflict"), "{error}");
    let (mut client, mut server) = bound().await;
    server.say("<message><body>&undefined;</body></message>").await;
    assert!(matches!(client.next().await, Err(ClientError::Protocol(_))));
}

/// A server that a client of this device connects to.
async fn scripted(device: Device) -> (Client, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = client();
    client.settings.target.port = listener.local_addr().unwrap().port();
    client.settings.device = Some(device);
    (client, listener)
}

async fn accepted(listener: &TcpListener) -> Server {
    Server { stream: listener.accept().await.unwrap().0, received: String::new() }
}

const OFFER: &str = "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism>\
     <inline><bind xmlns='urn:xmpp:bind:0'/><sm xmlns='urn:xmpp:sm:3'/></inline></authentication></stream:features>";

#[tokio::test]
async fn a_token_is_shown_at_once_and_replaced_by_a_newer_one() {
    use chaski_xmpp::sasl::{base64, token};
    let mechanism = token::TokenMechanism::Unbound;
    let device = Device { token: Some(Token { secret: "old".into(), mechanism }), ..Device::new() };
    let (mut client, listener) = scripted(device.clone()).await;
    let (mut server, connected) = tokio::join!(
        async {
            let mut server = accepted(&listener).await;
            let asked = server.hear("</authenticate>").await;
            for what in ["mechanism='HT-SHA-256-NONE'", &device.id.to_uuid(), "<enable ", "<fast "] {
                assert!(asked.contains(what), "{asked}");
            }
            let data = base64::encode(&token::responder("old", b""));
            let success = format!(
                "<success xmlns='urn:xmpp:sasl:2'><additional-data>{data}</additional-data>\
                 <authorization-identifier>+1@localhost/x</authorization-identifier><bound xmlns='urn:xmpp:bind:0'>\
                 <enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true'/></bound>\
                 <token xmlns='urn:xmpp:fast:0' token='new' expiry='2030-01-01T00:00:00Z'/></success>\
                 <stream:features/><message type='chat' from='+2@localhost'><body>hi</body></message>"
            );
            server.say(&[HEADER, OFFER, &success].concat()).await;
            server
        },
        client.connect()
    );
    assert_eq!(connected.unwrap(), Connected::Bound);
    assert_eq!((client.jid(), client.is_managed()), (Some("+1@localhost/x"), true));
    assert_eq!(client.device().unwrap().token.as_ref().unwrap().secret, "new");
    assert_eq!(body(client.next().await.unwrap()), "hi");
    client.send(1, chat("+2@localhost", "a1", "one")).unwrap();
    flush(&mut client, &mut server, "<r xmlns='urn:xmpp:sm:3'/>").await;

    client.disconnect();
    let (mut server, connected) = tokio::join!(
        async {
            let mut server = accepted(&listener).await;
            let asked = server.hear("</authenticate>").await;
            assert!(asked.contains("previd='s1'") && asked.contains(" h='1'"), "{asked}");
            let data = base64::encode(&token::responder("new", b""));
            let success = format!(
                "<success xmlns='urn:xmpp:sasl:2'><additional-data>{data}</additional-data>\
                 <authorization-identifier>+1@localhost/x</authorization-identifier>\
                 <resumed xmlns='urn:xmpp:sm:3' previd='s1' h='0'/></success>"
            );
            server.say(&[HEADER, OFFER, &success].concat()).await;
            server
        },
        client.connect()
    );
    assert_eq!(connected.unwrap(), Connected::Resumed);
    assert!(flush(&mut client, &mut server, "</message>").await.contains("one"), "not accepted yet");
}

#[tokio::test]
async fn a_token_that_is_not_good_is_forgotten_and_an_impostor_is_left() {
    use chaski_xmpp::sasl::token::TokenMechanism::Unbound;
    let device = Device { token: Some(Token { secret: "t".into(), mechanism: Unbound }), ..Device::new() };
    let (mut client, listener) = scripted(device.clone()).await;
    let failure = "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>";
    let (_, refused) = tokio::join!(
        async {
            let mut server = accepted(&listener).await;
            server.say(&[HEADER, OFFER, failure].concat()).await;
            let asked = server.hear("mechanism='SCRAM-SHA-1'").await;
            assert!(asked.contains("HT-SHA-256-NONE"), "first the token, then the key: {asked}");
            server.say(failure).await;
            server
        },
        client.connect()
    );
    assert!(matches!(refused, Err(ClientError::Refused { .. })), "{refused:?}");
    assert_eq!(client.device(), Some(&Device { token: None, ..device.clone() }));

    let (mut client, listener) = scripted(device.clone()).await;
    let success = "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>+1@localhost/x</authorization-identifier>\
         <bound xmlns='urn:xmpp:bind:0'/></success>";
    let (_, proved) = tokio::join!(
        async {
            let mut server = accepted(&listener).await;
            server.say(&[HEADER, OFFER, success].concat()).await;
            server
        },
        client.connect()
    );
    assert!(matches!(proved, Err(ClientError::Sasl(_))), "{proved:?}");
    assert!(!client.is_connected());
}
