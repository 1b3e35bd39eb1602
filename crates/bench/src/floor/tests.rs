//! Sockets against a floor with two threads.

use super::*;
use crate::load::{Load, OwnServer, RunningServer, Security, Way};
use crate::pairs;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const QUESTION: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn floor(threads: usize) -> Floor {
    start(threads, false)
}

fn start(threads: usize, acks: bool) -> Floor {
    let listen = "127.0.0.1:0".parse().unwrap();
    Floor::start(&Options { listen, threads, own_tables: false, acks }).unwrap()
}

fn log_in_with_acks(floor: &Floor, name: &str) -> TcpStream {
    let mut stream = log_in(floor, name);
    ask(&mut stream, ENABLE, "<enabled xmlns='urn:xmpp:sm:3'/>");
    stream
}

fn log_in(floor: &Floor, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(floor.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let plain = STANDARD.encode(format!("\0{name}\0key"));
    let header = "<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client'>";
    ask(&mut stream, header, "</stream:features>");
    ask(
        &mut stream,
        &format!("<auth mechanism='PLAIN'>{plain}</auth>"),
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    );
    ask(&mut stream, header, "</stream:features>");
    ask(&mut stream, "<iq type='set' id='b'><bind/></iq><presence/>", "</iq>");
    stream
}

fn ask(stream: &mut TcpStream, question: &str, answer_end: &str) {
    stream.write_all(question.as_bytes()).unwrap();
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(answer_end.as_bytes()) {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
}

fn read(stream: &mut TcpStream, bytes: usize) -> String {
    let mut text = vec![0; bytes];
    stream.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn message(to: &str, text: &str) -> String {
    format!("<message to='{to}@localhost' type='chat'><body>{text}</body></message>")
}

#[test]
fn romeo_writes_to_juliet_wherever_they_are() {
    let floor = floor(2);
    let names: Vec<String> = (0..16).map(|index| format!("guest{index}")).collect();
    let mut guests: Vec<TcpStream> = names.iter().map(|name| log_in(&floor, name)).collect();
    for from in 0..names.len() {
        for to in 0..names.len() {
            let text = message(&names[to], &names[from]);
            guests[from].write_all(text.as_bytes()).unwrap();
            assert_eq!(read(&mut guests[to], text.len()), text);
        }
    }
}

#[test]
fn a_message_may_come_in_pieces_and_many_at_once() {
    let floor = floor(1);
    let (mut romeo, mut juliet) = (log_in(&floor, "romeo"), log_in(&floor, "juliet"));
    let text = message("juliet", "soft");
    romeo.set_nodelay(true).unwrap();
    for piece in text.as_bytes().chunks(9) {
        romeo.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(read(&mut juliet, text.len()), text);
    let many = format!("<presence/>{}", text.repeat(5_000));
    romeo.write_all(many.as_bytes()).unwrap();
    assert_eq!(read(&mut juliet, text.len() * 5_000), text.repeat(5_000));
}

#[test]
fn a_message_to_nobody_is_dropped_and_who_left_is_nobody() {
    let floor = floor(2);
    let mut romeo = log_in(&floor, "romeo");
    drop(log_in(&floor, "mercutio"));
    romeo.write_all(message("mercutio", "ay").as_bytes()).unwrap();
    romeo.write_all(message("tybalt", "ay").as_bytes()).unwrap();
    let text = message("romeo", "alone");
    romeo.write_all(text.as_bytes()).unwrap();
    assert_eq!(read(&mut romeo, text.len()), text);
}

#[test]
fn with_acks_stanzas_are_counted_and_messages_asked_about() {
    let floor = start(2, true);
    let (mut romeo, mut juliet) = (log_in_with_acks(&floor, "romeo"), log_in_with_acks(&floor, "juliet"));
    let text = message("juliet", "soft");
    let lost = message("tybalt", "ay");
    romeo.write_all(format!("{text}<presence/>{lost}{QUESTION}").as_bytes()).unwrap();
    let answer = "<a xmlns='urn:xmpp:sm:3' h='3'/>";
    assert_eq!(read(&mut romeo, answer.len()), answer);
    assert_eq!(read(&mut juliet, text.len()), text);
    assert_eq!(read(&mut juliet, QUESTION.len()), QUESTION);
    // Her answer is dropped, and counts for nothing; a question, with content or without, counts.
    juliet.write_all(b"<a xmlns='urn:xmpp:sm:3' h='1'/><iq type='get' id='1'><ping/></iq>").unwrap();
    ask(&mut juliet, QUESTION, "<a xmlns='urn:xmpp:sm:3' h='1'/>");
}

/// What `bench/compare` does: the generator's own clients against it.
#[tokio::test]
async fn a_load_finds_its_messages_accepted() {
    let floor = start(2, true);
    let options = pairs::Options {
        load: load(floor.address()),
        pairs: 2,
        pace: pairs::Pace::InFlight(1),
        seconds: 1,
        body_bytes: 100,
    };
    let report = pairs::run(&options).await.unwrap();
    let figures = &report.figures;
    assert!(report.complaints.is_empty(), "{:?}", report.complaints);
    assert!(figures.accepted.is_some_and(|accepted| accepted > 0) && figures.delivered > 0, "{figures:?}");
    assert_eq!((figures.lost, figures.not_accepted), (0, Some(0)), "{figures:?}");
}

fn load(address: SocketAddr) -> Load {
    Load {
        own: OwnServer { binary: PathBuf::new(), dir: PathBuf::new(), shards: None, config: String::new() },
        running: Some(RunningServer {
            addresses: vec![address.to_string()],
            domain: "localhost".into(),
            pids: Vec::new(),
            ca: None,
            is_own: false,
        }),
        security: Security::Plain,
        tls_resumption: false,
        stream_management: true,
        presence: true,
        way: Way::Classic,
        mechanism: None,
        threads: Some(1),
        logins_at_once: 4,
        logins_per_s: None,
        seed: 1,
        label: "floor".into(),
        quiet: true,
    }
}

#[test]
fn many_questions_of_a_turn_have_one_answer() {
    let floor = start(1, true);
    let mut romeo = log_in_with_acks(&floor, "romeo");
    romeo.write_all(format!("{QUESTION}<presence/>").repeat(10).as_bytes()).unwrap();
    let answer = "<a xmlns='urn:xmpp:sm:3' h='10'/>";
    assert_eq!(read(&mut romeo, answer.len()), answer);
}

#[test]
fn without_acks_nothing_is_said_of_them() {
    let floor = floor(1);
    let mut romeo = log_in(&floor, "romeo");
    let text = message("romeo", "alone");
    romeo.write_all(format!("{ENABLE}{QUESTION}{text}").as_bytes()).unwrap();
    assert_eq!(read(&mut romeo, text.len()), text);
    romeo.write_all(text.as_bytes()).unwrap();
    assert_eq!(read(&mut romeo, text.len()), text);
}

#[test]
fn garbage_ends_the_connection() {
    let floor = floor(1);
    let mut stream = TcpStream::connect(floor.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    // Closed or reset: the floor has read or not all of it.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
}

#[test]
fn it_does_not_listen_to_other_machines() {
    let outside =
        Options { listen: "192.0.2.1:5222".parse().unwrap(), threads: 1, own_tables: false, acks: false };
    assert!(matches!(Floor::start(&outside), Err(BenchError::Refused(_))));
}
