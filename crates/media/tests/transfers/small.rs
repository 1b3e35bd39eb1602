//! Small pictures of files.

use super::rig::{Rig, files, place, settings, small};
use chaski_media::Settings;
use chaski_store::media::Edit;
use std::time::Duration;

fn picture() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let dots = image::RgbImage::from_fn(300, 200, |x, y| image::Rgb([x as u8, y as u8, 7]));
    dots.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_small_picture_is_the_references_and_goes_with_it() {
    let settings = Settings { thumbnails_swept_after: Duration::from_millis(50), ..settings() };
    let rig = Rig::new(settings);
    let picture = picture();
    let paths = [1, 2].map(|number| {
        let (path, slot) = rig.slot(number, picture.len(), "image/png", "dots.png");
        assert_eq!(rig.put(&path, &picture).status, 201);
        place(&slot)
    });
    rig.until("equal contents are one", |rig| rig.files().len() == 1);
    for path in &paths {
        let got = rig.get(&format!("{path}?w=50"), "");
        assert_eq!((got.status, got.header("content-type")), (200, Some("image/jpeg")), "{}", got.head);
        let small = image::load_from_memory(&got.body).unwrap();
        assert_eq!((small.width(), small.height()), (64, 43));
        let etag = got.header("etag").unwrap().to_owned();
        assert_ne!(rig.get(path, "").header("etag"), Some(&*etag));
        let again = rig.get(&format!("{path}?w=64"), &format!("If-None-Match: {etag}\r\n"));
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(rig.ask(&format!("HEAD {path}?w=64 HTTP/1.1\r\nHost: x\r\n\r\n"), b"").status, 200);
        assert_eq!(rig.get(&format!("{path}?w=x"), "").status, 400);
    }
    assert_eq!(rig.thumbnails_made(), 2, "or the second would learn that the first has looked");
    let of_none = paths[0].replace("0001/", "0009/");
    assert_eq!(rig.get(&format!("{of_none}?w=50"), "").status, 404);
    let text = rig.stored(3, b"<svg onload='alert(1)'/>");
    for _ in 0..2 {
        assert_eq!(rig.get(&format!("{text}?w=50"), "").status, 415);
    }
    assert_eq!(files(&small(rig.dir.path())).len(), 3, "what is no picture is remembered");

    let after = rig.time().unix_ms() + 40 * 86_400_000;
    rig.index().edit(Edit::Expire { now_unix_ms: after, limit: 9 }).unwrap();
    assert_eq!(rig.get(&format!("{}?w=50", paths[0]), "").status, 404);
    rig.until("thumbnails have gone", |rig| files(&small(rig.dir.path())).is_empty());
    std::fs::remove_dir_all(small(rig.dir.path())).unwrap();
}
