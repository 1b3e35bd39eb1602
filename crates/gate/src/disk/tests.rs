//! What a cut leaves of files and names.

use super::*;
use rand::SeedableRng;

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

fn cut(disk: &mut Disk) -> Taken {
    disk.cut(Cut::All, &mut StdRng::seed_from_u64(1))
}

/// A file `a` with synced content whose name is safe.
fn with_a_file(names: Names) -> (Disk, u64) {
    let mut disk = Disk::new(names);
    let file = disk.create(ROOT, name("a")).unwrap();
    disk.write(file, 0, b"first", true).unwrap();
    disk.sync(ROOT).unwrap();
    (disk, file)
}

#[test]
fn what_was_not_synced_is_lost() {
    let (mut disk, file) = with_a_file(Names::Journaled);
    disk.write(file, 5, b" second", false).unwrap();
    assert_eq!(disk.read(file, 0, 100).unwrap(), b"first second");
    assert_eq!(cut(&mut disk), Taken { files: 1, folders: 0 });
    assert_eq!(disk.read(file, 0, 100).unwrap(), b"first");
    disk.write(file, 5, b" second", true).unwrap();
    assert_eq!(cut(&mut disk), Taken::default());
    assert_eq!(disk.read(file, 0, 100).unwrap(), b"first second");
}

#[test]
fn a_part_may_stay() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..40 {
        let (mut disk, file) = with_a_file(Names::Journaled);
        disk.write(file, 5, b" second", false).unwrap();
        disk.cut(Cut::Some, &mut StdRng::seed_from_u64(seed));
        match disk.read(file, 0, 100).unwrap() {
            b"first" => lost += 1,
            b"first second" => kept += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(lost > 5 && kept > 5, "{lost} lost, {kept} kept");
}

#[test]
fn a_journal_commits_names_with_any_sync_and_a_strict_disk_does_not() {
    for (names, expected) in [(Names::Journaled, true), (Names::Own, true), (Names::Strict, false)] {
        let (mut disk, _) = with_a_file(names);
        let file = disk.create(ROOT, name("b")).unwrap();
        disk.write(file, 0, b"content", true).unwrap();
        cut(&mut disk);
        assert_eq!(disk.lookup(ROOT, name("b")).is_ok(), expected, "{names:?}");
    }
}

#[test]
fn a_files_sync_commits_its_own_name_and_path_and_no_others() {
    let mut disk = Disk::new(Names::Own);
    let folder = disk.mkdir(ROOT, name("folder")).unwrap();
    let file = disk.create(folder, name("a")).unwrap();
    let other = disk.create(folder, name("b")).unwrap();
    disk.write(file, 0, b"content", true).unwrap();
    disk.rename((folder, name("a")), (folder, name("c"))).unwrap();
    disk.write(file, 0, b"content", true).unwrap();
    cut(&mut disk);
    assert_eq!(disk.lookup(ROOT, name("folder")), Ok(folder));
    assert_eq!(disk.list(folder), Ok(vec![("c".into(), file)]));
    assert_eq!(disk.read(other, 0, 1), Err(libc::ENOENT));
}

#[test]
fn what_has_settled_stays() {
    let mut disk = Disk::new(Names::Strict);
    let file = disk.create(ROOT, name("a")).unwrap();
    disk.write(file, 0, b"old", false).unwrap();
    disk.settle();
    disk.write(file, 0, b"new", false).unwrap();
    assert_eq!(cut(&mut disk), Taken { files: 1, folders: 0 });
    assert_eq!(disk.read(file, 0, 100).unwrap(), b"old");
}

#[test]
fn a_rename_that_is_not_safe_is_undone_and_what_it_replaced_comes_back() {
    let (mut disk, file) = with_a_file(Names::Strict);
    let other = disk.create(ROOT, name("a.tmp")).unwrap();
    disk.write(other, 0, b"replaced", true).unwrap();
    disk.rename((ROOT, name("a.tmp")), (ROOT, name("a"))).unwrap();
    assert_eq!(disk.lookup(ROOT, name("a")), Ok(other));
    cut(&mut disk);
    assert_eq!(disk.lookup(ROOT, name("a")), Ok(file));
    assert_eq!(disk.lookup(ROOT, name("a.tmp")), Err(libc::ENOENT));
    assert_eq!(disk.read(file, 0, 100).unwrap(), b"first");
}

#[test]
fn a_removed_file_lives_while_it_is_open_and_until_its_removal_is_safe() {
    let (mut disk, file) = with_a_file(Names::Strict);
    disk.opened(file);
    disk.remove(ROOT, name("a")).unwrap();
    disk.sync(ROOT).unwrap();
    assert_eq!(disk.read(file, 0, 100).unwrap(), b"first");
    disk.closed(file);
    disk.create(ROOT, name("b")).unwrap();
    disk.sync(ROOT).unwrap();
    disk.remove(ROOT, name("b")).unwrap();
    cut(&mut disk);
    assert!(disk.lookup(ROOT, name("b")).is_ok());
    assert_eq!(disk.read(file, 0, 100), Err(libc::ENOENT));
}

#[test]
fn folders_that_are_not_empty_stay() {
    let mut disk = Disk::new(Names::Journaled);
    let folder = disk.mkdir(ROOT, name("folder")).unwrap();
    disk.create(folder, name("file")).unwrap();
    assert_eq!(disk.remove(ROOT, name("folder")), Err(libc::ENOTEMPTY));
    disk.remove(folder, name("file")).unwrap();
    disk.remove(ROOT, name("folder")).unwrap();
    assert_eq!(disk.list(ROOT), Ok(Vec::new()));
}
