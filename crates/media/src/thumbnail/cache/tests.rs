//! The folder by itself.

use super::*;
use std::collections::HashSet;

static FORGOTTEN: AtomicBool = AtomicBool::new(true);

fn object(number: usize) -> Object {
    Object::named(&format!("object-{number}")).unwrap()
}

fn open(folder: &Path, bytes_max: u64) -> Cache {
    Cache::open(folder, bytes_max, Limits::default()).unwrap()
}

/// As much of a JPEG as the folder looks at.
fn jpeg(length: usize) -> Vec<u8> {
    let mut bytes = vec![7; length];
    bytes[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
    bytes[length - 2..].copy_from_slice(&[0xff, 0xd9]);
    bytes
}

fn width(pixels: u32) -> Width {
    Width::at_least(pixels)
}

fn keep(cache: &Cache, number: usize, length: usize) {
    cache.keep(&object(number), width(64), &jpeg(length), &AtomicBool::new(false)).unwrap();
}

fn is_kept(cache: &Cache, number: usize) -> bool {
    cache.find(&object(number), width(64)).is_some()
}

/// Bytes of the files there are, in blocks.
fn on_disk(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).fold(0, |sum, entry| {
        let metadata = entry.metadata().unwrap();
        sum + if metadata.is_dir() { on_disk(&entry.path()) } else { blocks(metadata.len()) }
    })
}

#[test]
fn what_is_kept_is_found_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1 << 20);
    let bytes = jpeg(5000);
    cache.keep(&object(1), width(256), &bytes, &AtomicBool::new(false)).unwrap();
    for cache in [cache, open(folder.path(), 1 << 20)] {
        let kept = cache.find(&object(1), width(256)).unwrap().unwrap();
        assert_eq!((kept.encoding, kept.length), (Encoding::Jpeg, 5000));
        let mut read = vec![0; 5000];
        kept.file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(read, bytes);
        assert!(cache.find(&object(1), width(128)).is_none());
        assert!(cache.find(&object(2), width(256)).is_none());
        assert_eq!(cache.bytes(), 8192);
    }
}

#[test]
fn the_bound_holds_and_what_is_asked_for_stays() {
    let folder = tempfile::tempdir().unwrap();
    let bytes_max = 40 * BLOCK_BYTES;
    let cache = open(folder.path(), bytes_max);
    for number in 0..200 {
        keep(&cache, number, 3000 + 5000 * (number % 2));
        assert!(on_disk(folder.path()) <= bytes_max, "{number}");
        assert_eq!(cache.bytes(), on_disk(folder.path()), "{number}");
        assert!(is_kept(&cache, 0), "asked for all the time: {number}");
        assert!(is_kept(&cache, number));
    }
    assert!(!is_kept(&cache, 5), "nobody has asked for it");
    assert!((190..200).all(|number| is_kept(&cache, number)));
    // Larger than there is ever room for.
    let large = cache.keep(&object(1000), width(64), &jpeg(21 * 4096), &AtomicBool::new(false));
    assert!(large.is_err() && on_disk(folder.path()) <= bytes_max);
    assert_eq!(open(folder.path(), bytes_max).bytes(), cache.bytes());
}

#[test]
fn forgetting_takes_all_of_an_object_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 60 * BLOCK_BYTES);
    for pixels in Width::ALL {
        cache.keep(&object(1), pixels, &jpeg(100), &AtomicBool::new(false)).unwrap();
    }
    cache.keep_unfit(&object(1), Unfit::TooLarge, &AtomicBool::new(false)).unwrap();
    // One whose name begins like it, and enough of others that the first are old.
    (10..40).for_each(|number| keep(&cache, number, 100));
    cache.forget(&object(1)).unwrap();
    assert!(Width::ALL.into_iter().all(|pixels| cache.find(&object(1), pixels).is_none()));
    assert!((10..40).all(|number| is_kept(&cache, number)));
    assert_eq!((cache.bytes(), on_disk(folder.path())), (30 * BLOCK_BYTES, 30 * BLOCK_BYTES));
}

#[test]
fn what_is_forgotten_while_it_is_made_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1 << 20);
    let file = cache.keep(&object(1), width(64), &jpeg(100), &FORGOTTEN).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 100, "who waits for it gets it");
    cache.keep_unfit(&object(2), Unfit::NotAPicture, &FORGOTTEN).unwrap();
    assert_eq!((cache.bytes(), on_disk(folder.path())), (0, 0));
}

#[test]
fn what_is_unfit_is_remembered_until_the_limits_change() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1 << 20);
    for (number, why) in [(1, Unfit::NotAPicture), (2, Unfit::TooLarge)] {
        cache.keep_unfit(&object(number), why, &AtomicBool::new(false)).unwrap();
        for cache in [&cache, &open(folder.path(), 1 << 20)] {
            let found = Width::ALL.map(|pixels| cache.find(&object(number), pixels).unwrap().unwrap_err());
            assert_eq!(found, [why; 5]);
        }
    }
    let limits = Limits { pixels: 100_000_000, ..Limits::default() };
    let cache = Cache::open(folder.path(), 1 << 20, limits).unwrap();
    assert!(cache.find(&object(2), width(64)).is_none());
}

#[test]
fn what_a_power_cut_has_left_is_as_if_it_were_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1 << 20);
    let whole = jpeg(9000);
    for (number, length, rest) in [(1, 0, 0), (2, 4000, 0), (3, 4000, 5000), (4, 0, 9000), (5, 3, 0)] {
        let bytes = [&whole[..length], &vec![0; rest]].concat();
        cache.keep(&object(number), width(64), &bytes, &AtomicBool::new(false)).unwrap();
        assert!(!is_kept(&cache, number), "{number}");
    }
    assert_eq!(on_disk(folder.path()), 0);
    // Begun and never named, and made old and not yet deleted.
    fs::write(folder.path().join("temp-7"), &whole).unwrap();
    fs::create_dir(folder.path().join("gone-8")).unwrap();
    fs::write(folder.path().join("gone-8/object-1.w64"), &whole).unwrap();
    assert_eq!(open(folder.path(), 1 << 20).bytes(), 0);
    assert_eq!(on_disk(folder.path()), 0);
}

#[test]
fn a_sweep_leaves_those_that_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 60 * BLOCK_BYTES);
    (0..40).for_each(|number| keep(&cache, number, 100));
    cache.keep_unfit(&object(41), Unfit::NotAPicture, &AtomicBool::new(false)).unwrap();
    let known: HashSet<String> = (30..40).map(|number| object(number).as_str().to_owned()).collect();
    assert_eq!(cache.sweep(|name| known.contains(name)).unwrap(), 31);
    assert_eq!((cache.bytes(), on_disk(folder.path())), (10 * BLOCK_BYTES, 10 * BLOCK_BYTES));
    assert!((30..40).all(|number| is_kept(&cache, number)));
}
