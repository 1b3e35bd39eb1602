//! `kill -9` while files come and end: afterwards index and folders agree, and every upload that was answered is there.
//!
//! Three kills amid some hundred uploads; `CHASKI_MEDIA_KILLS=40 cargo nextest run --workspace -E 'test(media_kills)'` is the long version, amid more
//! than a thousand. The moment of a kill is a number of answers, so that a slow machine is killed as often in the middle as a fast one.

use crate::client::{Client, http, http_with_body, tcp};
use crate::server::{Server, chaski};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KEY: &str = "a key of this test";
/// Who upload at the same time. The first is removed in the middle, and its files end.
const UPLOADERS: usize = 4;
/// Uploads that are answered before a kill.
const ANSWERED: usize = 36;
/// And before the first account's files are made to end.
const ENDING: usize = 16;

/// What was answered: where, and what.
type Answered = Arc<Mutex<Vec<(String, String)>>>;

#[test]
fn files_and_rows_agree_after_each_of_some_kills() {
    let kills: usize = std::env::var("CHASKI_MEDIA_KILLS").map_or(3, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let slow = dir.path().join("slow").display().to_string();
    let extra = format!(
        "[media]\nuploads = 100000\nuploads_per_hour = 0\nreserve_bytes = 0\nslow_folder = \"{slow}\"\nslow_from_bytes = 60000\n"
    );
    let mut there: Vec<(String, String)> = Vec::new();
    for round in 0..kills {
        let server = Server::start_in(dir.path(), &extra);
        let names: Vec<String> = (0..UPLOADERS).map(|of| format!("+1555{round:03}{of:04}")).collect();
        names.iter().for_each(|name| drop(server.ctl(&["account", "add", name, "--key", KEY])));
        let count = Arc::new(AtomicUsize::new(0));
        let (plain, web) = (server.plain(), server.web());
        let uploads: Vec<_> = names
            .iter()
            .map(|name| {
                let (answered, name, count): (Answered, _, _) = (Arc::default(), name.clone(), count.clone());
                let to = answered.clone();
                (answered, std::thread::spawn(move || upload(plain, web, &name, &to, &count)))
            })
            .collect();
        wait(&count, ENDING);
        let data = server.data();
        let victim = names[0].clone();
        let ending =
            std::thread::spawn(move || chaski(&["ctl", "--data", &data, "account", "remove", &victim]));
        wait(&count, ANSWERED);
        server.signal(libc::SIGKILL);
        drop(server);
        // Whoever uploads fails at the kill.
        for (of, (answered, thread)) in uploads.into_iter().enumerate() {
            let _ = thread.join();
            if of > 0 {
                there.append(&mut answered.lock().unwrap());
            }
        }
        let _ = ending.join();

        let server = Server::start_in(dir.path(), &extra);
        let said = server.ctl(&["media", "check"]);
        assert!(said.contains("0 rows without a file, 0 files without a row, 0 of a wrong length"), "{said}");
        for (at, bytes) in &there {
            let got = http(tcp(server.web()), &format!("GET {at} HTTP/1.1"));
            assert!(got.starts_with("HTTP/1.1 200") && got.ends_with(bytes), "round {round}: {at}");
        }
        server.signal(libc::SIGTERM);
    }
    assert!(there.len() >= kills, "somebody's files have stayed: {}", there.len());
}

fn wait(count: &AtomicUsize, least: usize) {
    while count.load(Ordering::SeqCst) < least {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One file after the other, until the server is gone.
fn upload(plain: SocketAddr, web: SocketAddr, name: &str, answered: &Answered, count: &AtomicUsize) {
    let mut client = Client::log_in(tcp(plain), name, KEY, "phone");
    for number in 0.. {
        let bytes = format!("{name} {number} ").repeat(1 + number % 7 * 700);
        client.send(&format!(
            "<iq type='get' id='u' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='a.bin' size='{}' \
             content-type='application/octet-stream'/></iq>",
            bytes.len()
        ));
        let slot = client.wait_for("</slot>");
        let path = |before: &str| {
            let url = slot.split_once(before).unwrap().1.split_once('\'').unwrap().0;
            format!("/{}", url.strip_prefix("https://").unwrap().split_once('/').unwrap().1)
        };
        let head = format!("PUT {} HTTP/1.1\r\nContent-Length: {}", path("<put url='"), bytes.len());
        let said = http_with_body(tcp(web), &head, &bytes);
        if said.starts_with("HTTP/1.1 201") {
            answered.lock().unwrap().push((path("<get url='"), bytes));
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}
