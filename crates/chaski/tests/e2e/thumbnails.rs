//! The binary as a worker that decodes pictures.

use chaski_media::thumbnail::{Object, Program, Refusal, Settings, Thumbnails, Unfit, Width, worker};
use std::fs::File;
use std::time::Duration;

/// A PNG of one opaque pixel.
const PICTURE: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00\x3a\x7e\x9bU\
\x00\x00\x00\x0aIDATx\x9cch\x00\x00\x00\x82\x00\x81w\xcdr\xb6\x00\x00\x00\x00IEND\xaeB\x60\x82";

#[tokio::test]
async fn the_binary_makes_thumbnails() {
    let folder = tempfile::tempdir().unwrap();
    let program =
        Program { path: env!("CARGO_BIN_EXE_chaski").into(), arguments: vec![worker::COMMAND.to_owned()] };
    // No test of how fast this machine is.
    let settings = Settings { picture_time: Duration::from_secs(3600), ..Settings::default() };
    let thumbnails = Thumbnails::start(&folder.path().join("thumbnails"), program, settings).unwrap();
    let get = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let (object, thumbnails) = (Object::named(name).unwrap(), &thumbnails);
        async move { thumbnails.get(&object, Width::at_least(64), async { File::open(path) }).await }
    };
    let made = get("pixel", PICTURE).await.unwrap();
    assert_eq!(made.encoding.media_type(), "image/jpeg");
    assert_eq!(get("page", b"<html>").await.unwrap_err(), Refusal::Unfit(Unfit::NotAPicture));
    assert_eq!(thumbnails.metrics().workers_lost_total.get(), 0);
}
