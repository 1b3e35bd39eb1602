//! The orderly end.

use crate::rig::{KEY, Server};
use chaski_server::ListenerTls::{Direct, StartTls, Terminated};
use chaski_server::owners::ask;
use chaski_server::{Edge, EdgeConfig, StartError};
use chaski_services::account::credentials::Derivation;
use chaski_services::effects::turn::command::{Kick, Kicked, ListSessions, Refusal, ShowAccount};
use chaski_services::realm::{Limits, Realm};
use chaski_store::{AccountId, Engine, memory::MemoryEngine};
use chaski_telemetry::Registry;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn everybody_is_told() {
    let server = Server::start();
    let [one, two] = server.two_accounts();
    let mut plain = server.session(&one, "a");
    let mut tls = server.connect(Direct);
    tls.plain(&two, KEY);
    tls.bind("b");
    let mut early = server.connect(Terminated);
    early.open();
    let handshaking = TcpStream::connect(server.addr(Direct)).unwrap();
    let edge = server.edge.clone();
    let stopping = std::thread::spawn(move || edge.stop(Duration::from_secs(20)));
    for client in [&mut plain, &mut tls, &mut early] {
        let end = client.until_closed();
        assert!(end.contains("<system-shutdown") && end.ends_with("</stream:stream>"), "{end}");
    }
    drop((plain, tls, early, handshaking));
    assert!(stopping.join().unwrap());
    assert!(TcpStream::connect(server.addr(StartTls)).is_err());
}

/// It waits for a tick, and whoever has sent it believes that it has gone.
#[test]
fn what_is_for_strangers_is_carried_before_the_end() {
    let engine = Arc::new(MemoryEngine::new());
    let limits = || Limits { strangers_waiting: 64, ..Limits::default() };
    let server = Server::start_on(engine.clone(), |_| {}, limits());
    let [one, _] = server.two_accounts();
    // Of the same shard: another that has nobody is over at once.
    let shard_of = |number: u64| AccountId::phone(number).unwrap().shard(2).0;
    let number = (15_551_239_001..).find(|number| shard_of(*number) == 0).unwrap();
    let two = format!("+{number}");
    server.add(&two, KEY, Derivation::KEY);
    let mut asking = server.session(&one, "a");
    asking.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>");
    asking.until("id='roster'");
    asking.send(&format!("<presence type='subscribe' to='{two}@localhost'/>"));
    asking.until("ask='subscribe'");
    // Taken back: from here on the other is a stranger again.
    asking.send(&format!("<presence type='unsubscribe' to='{two}@localhost'/>"));
    asking.until("<item ");
    let edge = server.edge.clone();
    let stopping = std::thread::spawn(move || edge.stop(Duration::from_secs(20)));
    asking.until_closed();
    drop(asking);
    assert!(stopping.join().unwrap());
    let server = Server::start_on(engine, |_| {}, limits());
    let mut asked = server.session(&two, "b");
    asked.send("<presence/>");
    asked.send("<iq type='get' id='there'><ping xmlns='urn:xmpp:ping'/></iq>");
    let heard = asked.until("id='there'");
    assert!(!heard.contains("type='subscribe'"), "{heard}");
}

#[test]
fn a_stop_is_bounded() {
    let server = Server::start();
    let [one, _] = server.two_accounts();
    // It never closes its side.
    let client = server.session(&one, "a");
    assert!(!server.edge.stop(Duration::from_millis(50)));
    drop(client);
}

#[test]
fn starting_twice_on_a_port_is_refused() {
    let server = Server::start();
    let engine = Arc::new(MemoryEngine::new());
    let addr = server.addr(Terminated);
    let listener = chaski_server::ListenerConfig { addr, tls: Terminated, force: false };
    let config = EdgeConfig { listeners: vec![listener], ..EdgeConfig::default() };
    let realm = Realm::new("localhost", 1, engine.secrets());
    let refused = Edge::start(config.clone(), realm.clone(), engine.clone(), &mut Registry::default()).err();
    assert!(matches!(refused, Some(StartError::AddressInUse(port)) if port == addr));

    let mut config = config;
    config.listeners[0].tls = Direct;
    let refused = Edge::start(config, realm, engine, &mut Registry::default()).err();
    assert!(matches!(refused, Some(StartError::NoCertificate(port)) if port == addr));
}

#[tokio::test]
async fn commands_reach_the_owner() {
    let server = Server::start();
    let (locals, owners) = (server.two_accounts(), server.edge.owners());
    for local in &locals {
        let mut client = server.session(local, "phone");
        let account = AccountId::from_local(local).unwrap();
        let sessions = ask(&owners, account, ListSessions).await.unwrap();
        assert_eq!(sessions.len(), 1);
        let kicked = ask(&owners, account, Kick { resource: None }).await;
        assert_eq!(kicked, Ok(Kicked { sessions: 1 }));
        assert!(client.until_closed().contains("<stream:error"));
    }
    let nobody = AccountId::phone(15_550_000_000).unwrap();
    let shown = ask(&owners, nobody, ShowAccount).await;
    assert!(matches!(shown, Err(Refusal::NoSuchAccount)), "{shown:?}");
}
