//! Files are sent by the system on plain connections and read and written on others: what a client gets is the same in every byte.

use crate::long;
use crate::rig::{Rig, settings};
use chaski_media::Settings;
use chaski_store::media::Name;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Everything that comes back for some bytes, sent in pieces of such lengths. (A client that closes its half early is left by hyper sooner or
/// later, whichever way its answer goes.)
fn all(rig: &Rig, to: SocketAddr, requests: &[u8], pieces: &[usize]) -> Vec<u8> {
    rig.runtime.block_on(async {
        let (mut read, mut write) = TcpStream::connect(to).await.unwrap().into_split();
        let sends = async {
            let mut left = requests;
            for length in pieces.iter().chain([&requests.len()]) {
                let (piece, rest) = left.split_at(left.len().min(*length));
                if write.write_all(piece).await.is_err() {
                    break;
                }
                left = rest;
                tokio::task::yield_now().await;
            }
            write
        };
        let mut answers = Vec::new();
        let reads = async {
            // The last request closes it.
            let _ = read.read_to_end(&mut answers).await;
        };
        let both = async { tokio::join!(sends, reads) };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("it ends");
        without_date(answers)
    })
}

fn without_date(mut answers: Vec<u8>) -> Vec<u8> {
    let name = b"\r\ndate: ";
    let mut from = 0;
    while let Some(at) = answers[from..].windows(name.len()).position(|window| window == name) {
        let at = from + at + name.len();
        let end = answers[at..].windows(2).position(|window| window == b"\r\n").unwrap();
        answers.drain(at..at + end);
        from = at;
    }
    answers
}

fn request() -> impl Strategy<Value = String> {
    let method = prop_oneof![5 => Just("GET"), 2 => Just("HEAD"), 1 => Just("OPTIONS"), 1 => Just("DELETE")];
    let path = prop_oneof![
        5 => Just("{at}"),
        1 => Just("http://somewhere.example{at}"),
        1 => Just("{at}?w=64"),
        1 => Just("{at}?x=1"),
        1 => Just("{other}"),
        1 => Just("/"),
        1 => Just("/media/none/none"),
    ];
    let version = prop_oneof![8 => Just("1.1"), 1 => Just("1.0")];
    let number = prop_oneof![0..60_u32, 48_000..50_000_u32, 399_990..400_010_u32, 0..400_001_u32];
    let range = (number.clone(), number, 0..5).prop_map(|(first, last, form)| match form {
        0 => format!("Range: bytes={first}-{last}\r\n"),
        1 => format!("Range: bytes={first}-\r\n"),
        2 => format!("Range: bytes=-{last}\r\n"),
        3 => format!("Range: bytes={first}-{last}\r\nIf-Range: {{tag}}\r\n"),
        _ => format!("Range: bytes={first}-{last}\r\nIf-Range: \"other\"\r\n"),
    });
    let header = prop_oneof![
        4 => range,
        1 => Just("If-None-Match: {tag}\r\n".to_owned()),
        1 => Just("If-None-Match: \"other\"\r\n".to_owned()),
        1 => Just("Connection: keep-alive\r\n".to_owned()),
        1 => Just("Connection: close\r\n".to_owned()),
        1 => Just("Content-Length: 0\r\n".to_owned()),
        1 => Just("Expect: 100-continue\r\n".to_owned()),
        1 => Just("Upgrade: h2c\r\nConnection: Upgrade\r\n".to_owned()),
    ];
    (method, path, version, prop::collection::vec(header, 0..3)).prop_map(
        |(method, path, version, headers)| {
            let connection = headers.iter().position(|header| header.contains("Connection: "));
            let once =
                |at: usize, header: &String| !header.contains("Connection: ") || connection == Some(at);
            let headers: String = headers
                .iter()
                .enumerate()
                .filter(|(at, header)| once(*at, header))
                .map(|(_, it)| &**it)
                .collect();
            format!("{method} {path} HTTP/{version}\r\nHost: x\r\n{headers}\r\n")
        },
    )
}

/// Whether nothing is read behind it: a client that sends more may lose the end of the answer, either way.
fn is_last(request: &str) -> bool {
    request.contains("close") || request.contains("HTTP/1.0") && !request.contains("keep-alive")
}

#[test]
fn both_ways_answer_the_same_bytes() {
    // A second ends between the two answers now and then: how long a file is good for is then another.
    let rig = Rig::new(Settings { expire_ms: 3_000 * 86_400_000, ..settings() });
    let at = rig.stored(1, &long());
    let other = rig.stored(2, b"1");
    let tag = rig.get(&at, "").header("etag").unwrap().to_owned();
    assert_eq!(other, at.replace(&Name(1).to_text(), &Name(2).to_text()));
    let requests = (prop::collection::vec(request(), 1..5), prop::collection::vec(1..300_usize, 0..4));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(200) });
    let ran = runner.run(&requests, |(requests, pieces)| {
        let count = requests.iter().position(|request| is_last(request)).map_or(requests.len(), |at| at + 1);
        let last =
            format!("GET {at} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-99999\r\nConnection: close\r\n\r\n");
        let last = if requests[..count].last().is_some_and(|request| is_last(request)) { "" } else { &last };
        let said =
            requests[..count].concat().replace("{at}", &at).replace("{other}", &other).replace("{tag}", &tag);
        let said = (said + last).into_bytes();
        let by_system = all(&rig, rig.addr, &said, &pieces);
        let copied = all(&rig, rig.copying, &said, &pieces);
        prop_assert!(!by_system.is_empty());
        prop_assert!(
            by_system == copied,
            "{} bytes and {}: {} and {}",
            by_system.len(),
            copied.len(),
            String::from_utf8_lossy(&by_system[..by_system.len().min(2_000)]),
            String::from_utf8_lossy(&copied[..copied.len().min(2_000)])
        );
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    assert!(
        rig.counted("chaski_media_sent_by_system_total") > 0
            && rig.counted("chaski_media_read_at_once_total") > 0
    );
}

/// A client that reads slowly gets all of it, and one that goes away leaves nothing behind.
#[test]
fn a_slow_reader_gets_all_of_it_and_one_that_goes_away_leaves_nothing() {
    let rig = Rig::new(settings());
    let film: Vec<u8> = long().iter().copied().cycle().take(12 << 20).collect();
    let at = rig.stored(1, &film);
    let ask = format!("GET {at} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    rig.runtime.block_on(async {
        let mut tcp = TcpStream::connect(rig.addr).await.unwrap();
        tcp.write_all(ask.as_bytes()).await.unwrap();
        let mut answer = vec![0; 2 << 20];
        tcp.read_exact(&mut answer).await.unwrap();
        // The socket is full by now.
        tokio::time::sleep(Duration::from_millis(50)).await;
        tcp.read_to_end(&mut answer).await.unwrap();
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert!(answer[head..] == film);
        let mut gone = TcpStream::connect(rig.addr).await.unwrap();
        gone.write_all(ask.as_bytes()).await.unwrap();
        gone.read_exact(&mut answer[..1_000]).await.unwrap();
    });
    rig.until("nothing is in progress", |rig| rig.counted("chaski_media_transfers") == 0);
}
