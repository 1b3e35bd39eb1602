//! What the operator takes away: a file behind a URL, and a content wherever it is and comes from.

use crate::rig::{Answered, Rig, files, place, settings, small};
use chaski_media::operator::{Operator, Stat};
use chaski_store::media::Blocked;
use sha2::{Digest as _, Sha256};
use std::io::ErrorKind;

const BYTES: &[u8] = b"1234567890";

fn operator(rig: &Rig) -> Operator {
    rig.media.as_ref().unwrap().operator()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A URL as a report names it.
fn url(path: &str) -> String {
    format!("https://chaski.example{path}")
}

fn text(answered: &Answered) -> String {
    String::from_utf8_lossy(&answered.body).into_owned()
}

fn picture() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let dots = image::RgbImage::from_fn(30, 20, |x, y| image::Rgb([x as u8, y as u8, 7]));
    dots.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn what_is_removed_is_gone_at_once_with_its_small_pictures() {
    let rig = Rig::new(settings());
    let picture = picture();
    let (to, slot) = rig.slot(1, picture.len(), "image/png", "dots.png");
    assert_eq!(rig.put(&to, &picture).status, 201);
    let (at, other) = (place(&slot), rig.stored_as(2, &picture, "image/png"));
    for path in [&at, &other] {
        assert_eq!(rig.get(&format!("{path}?w=64"), "").status, 200);
    }
    let removed = operator(&rig).remove(&url(&at)).unwrap();
    assert_eq!((removed.content.size, &*removed.media_type), (picture.len() as u64, "image/png"));
    assert_eq!(removed.owner, crate::rig::owner());
    assert_eq!(rig.get(&at, "").status, 404);
    assert_eq!(rig.get(&format!("{at}?w=64"), "").status, 404);
    assert_eq!(files(&small(rig.dir.path())).len(), 1, "the other one's");
    assert_eq!(rig.get(&other, "").body, picture, "another URL leads to the same content still");
    assert_eq!(operator(&rig).remove(&url(&at)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(rig.put(&to, &picture).status, 409, "its slot does not bring it back");
    assert_eq!(rig.get(&at, "").status, 404);
    operator(&rig).remove(&url(&other)).unwrap();
    rig.until("no file", |rig| rig.files().is_empty());
    assert_eq!(rig.counted("chaski_media_removed_total"), 2);
    assert_eq!(operator(&rig).remove("https://chaski.example/").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn what_is_blocked_is_served_under_no_name_and_taken_from_nobody() {
    let rig = Rig::new(settings());
    let (first, second) = (rig.stored(1, BYTES), rig.stored_as(2, BYTES, "video/mp4"));
    let innocent = rig.stored(3, b"0987654321");
    let (sha256, references) = operator(&rig).block(&url(&first), "reported twice").unwrap();
    assert_eq!((&*sha256, references), (&*hash(BYTES), 2));
    for path in [&first, &second] {
        assert_eq!(rig.get(path, "").status, 404);
        assert_eq!(rig.get(&format!("{path}?w=64"), "").status, 404);
    }
    assert_eq!(rig.get(&innocent, "").status, 200);
    rig.until("the other file alone", |rig| rig.files().len() == 1);

    // It comes again, by a PUT, and in pieces.
    let (to, slot) = rig.slot(4, BYTES.len(), "image/jpeg", "photo.jpg");
    let refused = rig.put(&to, BYTES);
    assert_eq!(
        (refused.status, &*text(&refused)),
        (403, "The operator of this server does not take this file.\n")
    );
    assert_eq!((rig.put(&to, BYTES).status, rig.get(&place(&slot), "").status), (403, 404));
    let (to, slot) = rig.slot(5, BYTES.len(), "image/jpeg", "photo.jpg");
    let head = |method: &str, more: &str| {
        format!("{method} {to} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n{more}\r\n")
    };
    let length = BYTES.len();
    let create = head("POST", &format!("Upload-Length: {length}\r\nContent-Length: 0\r\n"));
    assert_eq!(rig.ask(&create, b"").status, 201);
    let more = format!(
        "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: {length}\r\n"
    );
    let refused = rig.ask(&head("PATCH", &more), BYTES);
    assert_eq!(
        (refused.status, &*text(&refused)),
        (403, "The operator of this server does not take this file.\n")
    );
    assert_eq!(rig.get(&place(&slot), "").status, 404);
    assert_eq!(rig.ask(&head("HEAD", ""), b"").status, 404, "there is nothing to go on with");
    assert_eq!(rig.counted("chaski_media_unfinished"), 0);
    rig.until("nothing is left of them", |rig| rig.files().len() == 1);
    assert_eq!(rig.counted("chaski_media_refused_blocked_total"), 3);
    assert_eq!(rig.counted("chaski_media_blocked"), 1);

    // A start changes nothing of it.
    let rig = rig.restart(settings());
    assert_eq!(rig.counted("chaski_media_blocked"), 1);
    let (page, next) = operator(&rig).blocked(None).unwrap();
    assert_eq!((page.len(), &*page[0].reason, next), (1, "reported twice", None));
    let (to, slot) = rig.slot(6, BYTES.len(), "image/jpeg", "photo.jpg");
    assert_eq!(rig.put(&to, BYTES).status, 403);
    operator(&rig).unblock(&sha256).unwrap();
    assert_eq!(operator(&rig).unblock(&sha256).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((rig.put(&to, BYTES).status, &rig.get(&place(&slot), "").body[..]), (201, BYTES));
    assert_eq!(rig.get(&first, "").status, 404, "what was deleted does not come back");
}

/// Somebody who blocks nothing sees the same whether another one has what he uploads or not; what is blocked depends on the list alone.
#[test]
fn a_refusal_does_not_say_whether_anybody_has_it() {
    let refusals = |is_somebodys: bool| {
        let rig = Rig::new(settings());
        if is_somebodys {
            rig.stored(1, BYTES);
        }
        operator(&rig).block(&hash(BYTES), "").unwrap();
        let (to, _) = rig.slot(2, BYTES.len(), "image/jpeg", "photo.jpg");
        let refused = rig.put(&to, BYTES);
        let head: Vec<String> =
            refused.head.lines().filter(|line| !line.starts_with("date")).map(str::to_owned).collect();
        (refused.status, head, refused.body)
    };
    assert_eq!(refusals(true), refusals(false));
}

#[test]
fn what_there_is_is_counted() {
    let rig = Rig::new(settings());
    let count = |rig: &Rig| -> Stat { operator(rig).stat(None).unwrap() };
    let empty = count(&rig);
    assert_eq!((empty.places.len(), empty.next), (0, None));
    for number in 1..=3 {
        rig.stored(number, BYTES);
    }
    rig.stored(4, b"another content");
    rig.until("equals are one", |rig| rig.files().len() == 2);
    let (to, _) = rig.slot(5, 100, "image/jpeg", "photo.jpg");
    let create = format!(
        "POST {to} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 100\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(rig.ask(&create, b"").status, 201);
    operator(&rig).block(&hash(b"nobody's"), "").unwrap();
    let stat = count(&rig);
    let held = stat.places[""];
    assert_eq!((held.objects, held.references, held.bytes), (2, 4, 25));
    let rest = stat.rest.unwrap();
    assert_eq!((rest.standing.blocked, rest.standing.ended, rest.unfinished), (1, 0, 1));
    assert!(rest.standing.next_expiry_unix_ms > Some(rig.time().unix_ms()));
    assert!(rest.unfinished_until_unix_ms > Some(rig.time().unix_ms()));
    assert!(operator(&rig).stat(Some("nonsense".into())).is_err());
    let beyond = operator(&rig).stat(Some("f".repeat(32))).unwrap();
    assert!(beyond.places.is_empty() && beyond.rest.is_some());
}

#[test]
fn the_list_has_a_bound_and_pages() {
    let rig = Rig::new(chaski_media::Settings { blocked_max: 300, ..settings() });
    let operator = operator(&rig);
    let hash = |number: u64| format!("{number:064x}");
    for number in 0..300 {
        operator.block(&hash(number), "x").unwrap();
    }
    let full = operator.block(&hash(300), "x").unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QuotaExceeded, "{full}");
    operator.block(&hash(299), "another reason").unwrap();
    assert_eq!(operator.block(&hash(1), &"x".repeat(501)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let (first, next) = operator.blocked(None).unwrap();
    let (second, end) = operator.blocked(next).unwrap();
    let all: Vec<Blocked> = first.into_iter().chain(second).collect();
    assert_eq!((all.len(), end), (300, None));
    assert_eq!(&*all[299].reason, "another reason");
    assert_eq!(rig.counted("chaski_media_blocked"), 300);
}
