//! Files as a person at a terminal sends and fetches them: `/file` and `/get` of `chaski chat`.

use crate::chat::{Chat, register, registered};
use crate::client::{http, tcp};
use crate::server::Server;

fn metric(server: &Server, name: &str) -> u64 {
    let metrics = http(tcp(server.private()), "GET /metrics HTTP/1.1");
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

#[test]
fn a_picture_is_sent_once_and_fetched_without_harm() {
    let server = Server::start("[media]\nmax_file_bytes = 2000000\n");
    let folder = server.dir.join("downloads");
    std::fs::create_dir(&folder).unwrap();
    let mut ann = registered(&server, "+15550100001");
    let to = folder.display().to_string();
    let mut ben =
        register(&server, "+15550100002", Chat::start(&server, "+15550100002", &["--downloads", &to]));
    let picture: Vec<u8> = (0..1_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let path = server.dir.join("a picture.jpg");
    std::fs::write(&path, &picture).unwrap();

    ann.say(&format!("/file {}", path.display()));
    ann.wait("to whom?");
    ann.say("/to +15550100002");
    ann.say(&format!("/file {}", path.display()));
    ann.wait("a picture.jpg [####################] 100 %, 1.0 MB of 1.0 MB");
    ann.wait("a%20picture.jpg (file 1)");
    assert!(ben.wait("picture: https://").ends_with("a%20picture.jpg (/get 1)"));
    ann.wait("✓✓ #1 read");

    // His own file of that name stays.
    std::fs::write(folder.join("a picture.jpg"), "mine").unwrap();
    ben.say("/get 1");
    ben.wait("file 1 is");
    assert!(std::fs::read(folder.join("a picture (2).jpg")).unwrap() == picture);
    assert_eq!(std::fs::read(folder.join("a picture.jpg")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "nothing half done is left");

    // Again: no byte moves, and it can be had under its new name.
    let before = metric(&server, "chaski_media_received_bytes_total");
    ann.say(&format!("/file {}", path.display()));
    ann.wait("nothing needs to be uploaded");
    ben.wait("(/get 2)");
    assert_eq!(metric(&server, "chaski_media_received_bytes_total"), before);
    ben.say("/get 2");
    ben.wait("file 2 is");
    assert!(std::fs::read(folder.join("a picture (3).jpg")).unwrap() == picture);

    ben.say("/get 3");
    ben.wait("there is no file 3; the last one is 2");
    for (file, why) in [("nothing.jpg", "can't be read"), ("downloads", "that is no file")] {
        ann.say(&format!("/file {}", server.dir.join(file).display()));
        ann.wait(why);
    }
    std::fs::write(&path, vec![0; 2_000_001]).unwrap();
    ann.say(&format!("/file {}", path.display()));
    ann.wait("takes files of at most 2.0 MB");
    // A link that leads elsewhere: whatever it is called, the file lands in the folder.
    let origin = format!("https://localhost:{}/media/00000000000000000000000000000000", server.web().port());
    ann.say(&format!("/link {origin}/..%2F..%2Fgone.txt"));
    ben.wait("(/get 3)");
    ben.say("/get 3");
    ben.wait("not fetched: it is not there, or no longer");
    assert!(ann.end().success() && ben.end().success());
}

#[test]
fn what_is_being_sent_at_the_end_of_the_input_is_sent() {
    let server = Server::start("");
    let mut ann = registered(&server, "+15550100001");
    let path = server.dir.join("note.ogg");
    std::fs::write(&path, vec![7; 300_000]).unwrap();
    ann.say("/to +15550100001");
    ann.say(&format!("/file {}", path.display()));
    assert!(ann.end().success());
    assert_eq!(metric(&server, "chaski_media_uploads_total"), 1);
}
