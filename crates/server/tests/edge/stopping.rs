//! The orderly end.

use crate::rig::{KEY, Server};
use chaski_server::ListenerTls::{Direct, StartTls, Terminated};
use chaski_server::{Edge, EdgeConfig, StartError};
use chaski_services::command::{Action, Done, Refusal};
use chaski_services::context::Realm;
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
    let realm = Realm::new("localhost", 1, engine.secret());
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
    let locals = server.two_accounts();
    for local in &locals {
        let mut client = server.session(local, "phone");
        let account = AccountId::from_local(local).unwrap();
        let listed = server.edge.request(account, Action::ListSessions).await;
        let Ok(Done::Sessions(sessions)) = listed else { panic!("{listed:?}") };
        assert_eq!(sessions.len(), 1);
        let kicked = server.edge.request(account, Action::Kick { resource: None }).await;
        assert!(matches!(kicked, Ok(Done::Kicked(1))), "{kicked:?}");
        assert!(client.until_closed().contains("<stream:error"));
    }
    let nobody = AccountId::phone(15_550_000_000).unwrap();
    let shown = server.edge.request(nobody, Action::ShowAccount).await;
    assert!(matches!(shown, Err(Refusal::NoSuchAccount)), "{shown:?}");
}
