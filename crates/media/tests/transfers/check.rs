//! The index against the folder: what is wrong is found, in steps of a page.

use crate::rig::{Rig, settings};
use chaski_media::check::Found;
use std::time::Duration;

/// All steps, each as small as can be.
pub(crate) fn check(rig: &Rig) -> Found {
    let checks = rig.media.as_ref().unwrap().checks(Duration::ZERO);
    let (mut all, mut from) = (Found::default(), None);
    loop {
        let step = checks(from).unwrap();
        for (place, held) in step.places {
            let sum = all.places.entry(place).or_default();
            sum.objects += held.objects;
            sum.references += held.references;
            sum.bytes += held.bytes;
        }
        all.dangling += step.dangling;
        all.orphans += step.orphans;
        all.wrong_sizes += step.wrong_sizes;
        all.named.extend(step.named);
        from = step.next;
        if from.is_none() {
            return all;
        }
    }
}

pub(crate) fn wrong(found: &Found) -> (u64, u64, u64) {
    (found.dangling, found.orphans, found.wrong_sizes)
}

#[test]
fn a_check_finds_what_is_missing_what_is_too_many_and_what_is_too_short() {
    let rig = Rig::new(settings());
    for number in 1..=70_u8 {
        rig.stored(number.into(), &[number; 10]);
    }
    // One content twice: one object.
    rig.stored(71, &[70; 10]);
    rig.until("all have settled", |rig| {
        rig.files().len() == 70 && !rig.files()[0].starts_with("arriving") && {
            let found = check(rig);
            found.places.get("").is_some_and(|held| held.objects == 70)
        }
    });
    let found = check(&rig);
    assert_eq!((wrong(&found), found.named.len()), ((0, 0, 0), 0), "{:?}", found.named);
    let held = found.places[""];
    assert_eq!((held.objects, held.references, held.bytes), (70, 71, 700));

    let files = rig.files();
    let at = |file: &str| rig.dir.path().join(file);
    std::fs::remove_file(at(&files[3])).unwrap();
    std::fs::write(at(&files[5]), b"short").unwrap();
    let strange = format!("{}/{}{:030x}", &files[9][..2], &files[9][..2], 1);
    std::fs::write(at(&strange), b"strange").unwrap();
    let found = check(&rig);
    assert_eq!(wrong(&found), (1, 1, 1), "{:?}", found.named);
    for (what, file) in [
        ("no file for the row in folder: ", &files[3]),
        ("wrong length of the file in folder: ", &files[5]),
        ("no row for the file in folder: ", &strange),
    ] {
        assert!(found.named.contains(&format!("{what}{file}")), "{:?}", found.named);
    }
    let checks = rig.media.as_ref().unwrap().checks(Duration::ZERO);
    assert!(checks(Some("nonsense".into())).is_err());
}
