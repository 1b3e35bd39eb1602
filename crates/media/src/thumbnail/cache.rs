//! Thumbnails at rest: a folder with a bound.
//!
//! Called by [`super`], which alone knows what is in the middle of being made; all calls block on the disk.
//!
//! Files are named `OBJECT.wWIDTH`, and `OBJECT.unfit` for what no thumbnail can be made of, with the reason and the limits that it was held
//! against, so that other limits give it another try. They lie in `young` or `old`. What is new or asked for comes into `young`; when that
//! has half of the bound, it becomes `old`, and what was `old` goes as a whole: nearly the order of last use, with two numbers in memory
//! and no list, however many there are. All of it survives a restart, and all of it could be made again: nothing is synced, and what a power
//! cut has left unfinished is seen by its first and last bytes, and is as if it were not there.

use super::picture::{Encoding, Limits, Unfit};
use super::{Object, Width};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a file takes at least: files are counted in blocks, so that many small ones are not free.
const BLOCK_BYTES: u64 = 4096;
/// Grows when thumbnails are made otherwise, so that what was unfit is tried again.
const UNFIT_VERSION: u32 = 1;

/// A thumbnail as it is handed out.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) encoding: Encoding,
    pub(super) file: File,
    pub(super) length: u64,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    bytes_max: u64,
    limits: Limits,
    serial: AtomicU64,
    /// Held while names change, and while it is decided whether they may.
    held: Mutex<Held>,
}

/// Bytes in `young` and `old`.
#[derive(Debug, Default)]
struct Held {
    young: u64,
    old: u64,
}

impl Cache {
    /// Opens the folder, made if need be, and clears what was unfinished.
    pub(super) fn open(folder: &Path, bytes_max: u64, limits: Limits) -> io::Result<Self> {
        for name in ["", "young", "old"] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(name))?;
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("gone-") {
                fs::remove_dir_all(entry.path())?;
            } else if name.starts_with("temp-") {
                fs::remove_file(entry.path())?;
            }
        }
        let held = Held { young: bytes_in(&folder.join("young"))?, old: bytes_in(&folder.join("old"))? };
        let (folder, held) = (folder.to_owned(), Mutex::new(held));
        Ok(Self { folder, bytes_max, limits, serial: AtomicU64::new(0), held })
    }

    /// Bytes at rest.
    pub(super) fn bytes(&self) -> u64 {
        let held = self.held();
        held.young + held.old
    }

    /// How many files there are. Looks through the folder, which has a bound.
    pub(super) fn count(&self) -> io::Result<u64> {
        let parts = ["young", "old"].map(|part| self.folder.join(part));
        parts.iter().try_fold(0, |sum, part| Ok(sum + fs::read_dir(part)?.count() as u64))
    }

    /// What is known of a thumbnail: its file, or that there can't be one.
    pub(super) fn find(&self, object: &Object, width: Width) -> Option<Result<Kept, Unfit>> {
        if let Some(file) = self.look(&name(object, width)) {
            if let Some(kept) = whole(file) {
                return Some(Ok(kept));
            }
            self.remove(&name(object, width));
        }
        let file = self.look(&unfit_name(object))?;
        let mut text = [0; 256];
        let read = file.read_at(&mut text, 0).ok()?;
        let why = [Unfit::NotAPicture, Unfit::TooLarge];
        why.into_iter().find(|why| self.reason(*why).as_bytes() == &text[..read]).map(Err)
    }

    /// Keeps a thumbnail, unless `is_forgotten` by then.
    pub(super) fn keep(
        &self,
        object: &Object,
        width: Width,
        bytes: &[u8],
        is_forgotten: &AtomicBool,
    ) -> io::Result<File> {
        self.put(&name(object, width), bytes, is_forgotten)
    }

    /// Keeps it in mind that no thumbnail can be made of an object.
    pub(super) fn keep_unfit(
        &self,
        object: &Object,
        why: Unfit,
        is_forgotten: &AtomicBool,
    ) -> io::Result<()> {
        self.put(&unfit_name(object), self.reason(why).as_bytes(), is_forgotten).map(drop)
    }

    /// Deletes all of an object. What `is_forgotten` before this is called, and is kept meanwhile or later, goes or does not come.
    pub(super) fn forget(&self, object: &Object) -> io::Result<()> {
        let mut held = self.held();
        let names = Width::ALL.map(|width| name(object, width));
        for name in names.iter().chain([&unfit_name(object)]) {
            self.unlink(&mut held, name)?;
        }
        Ok(())
    }

    /// Deletes all of the objects that are not known any more. Answers how many files that were.
    pub(super) fn sweep(&self, mut is_known: impl FnMut(&str) -> bool) -> io::Result<u64> {
        let mut count = 0;
        for part in ["young", "old"] {
            for entry in fs::read_dir(self.folder.join(part))? {
                let file_name = entry?.file_name();
                let file_name = file_name.to_string_lossy();
                let object = file_name.split('.').next().unwrap_or_default();
                if !is_known(object) {
                    self.unlink(&mut self.held(), &file_name)?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self, why: Unfit) -> String {
        format!("{UNFIT_VERSION} {why:?} {:?}", self.limits)
    }

    fn young(&self, name: &str) -> PathBuf {
        self.folder.join("young").join(name)
    }

    fn old(&self, name: &str) -> PathBuf {
        self.folder.join("old").join(name)
    }

    /// Opens a file wherever it is; if it is old, it gets young again as far as there is room.
    fn look(&self, name: &str) -> Option<File> {
        if let Ok(file) = File::open(self.young(name)) {
            return Some(file);
        }
        let mut held = self.held();
        // It may have come or gone since.
        if let Ok(file) = File::open(self.young(name)) {
            return Some(file);
        }
        let file = File::open(self.old(name)).ok()?;
        let bytes = blocks(file.metadata().ok()?.len());
        if held.young + bytes <= self.bytes_max / 2 && fs::rename(self.old(name), self.young(name)).is_ok() {
            held.young += bytes;
            held.old = held.old.saturating_sub(bytes);
        }
        Some(file)
    }

    fn put(&self, name: &str, bytes: &[u8], is_forgotten: &AtomicBool) -> io::Result<File> {
        let room = blocks(bytes.len() as u64);
        if room > self.bytes_max / 2 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let temp = self.folder.join(format!("temp-{}", self.serial()));
        let written = self.write(&temp, bytes).and_then(|file| {
            let gone = self.enter(&temp, name, room, is_forgotten)?;
            Ok((file, gone))
        });
        let (file, gone) = written.inspect_err(|_| {
            // A full disk is to have its room again.
            let _ = fs::remove_file(&temp);
        })?;
        if let Some(gone) = gone {
            fs::remove_dir_all(gone)?;
        }
        Ok(file)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    /// Gives a written file its name. Answers the folder of what has to go for it.
    fn enter(
        &self,
        temp: &Path,
        name: &str,
        room: u64,
        is_forgotten: &AtomicBool,
    ) -> io::Result<Option<PathBuf>> {
        let mut held = self.held();
        // Set before the lock is taken to delete, so whoever comes later sees it, and whoever came sooner is deleted.
        if is_forgotten.load(Ordering::SeqCst) {
            fs::remove_file(temp)?;
            return Ok(None);
        }
        self.unlink(&mut held, name)?;
        let gone = if held.young + room > self.bytes_max / 2 { Some(self.turn(&mut held)?) } else { None };
        fs::rename(temp, self.young(name))?;
        held.young += room;
        Ok(gone)
    }

    /// Makes the young ones old. Answers the folder of those that were.
    fn turn(&self, held: &mut Held) -> io::Result<PathBuf> {
        let gone = self.folder.join(format!("gone-{}", self.serial()));
        let (young, old) = (self.folder.join("young"), self.folder.join("old"));
        fs::rename(&old, &gone)?;
        fs::rename(&young, &old)?;
        fs::DirBuilder::new().mode(0o700).create(&young)?;
        *held = Held { young: 0, old: held.young };
        Ok(gone)
    }

    fn remove(&self, name: &str) {
        // What can't be removed is found unfit to be shown again next time.
        let _ = self.unlink(&mut self.held(), name);
    }

    fn unlink(&self, held: &mut Held, name: &str) -> io::Result<()> {
        for (path, bytes) in [(self.young(name), &mut held.young), (self.old(name), &mut held.old)] {
            let Ok(length) = fs::metadata(&path).map(|metadata| metadata.len()) else { continue };
            match fs::remove_file(&path) {
                Ok(()) => *bytes = bytes.saturating_sub(blocks(length)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }
}

fn name(object: &Object, width: Width) -> String {
    format!("{}.w{}", object.as_str(), width.pixels())
}

fn unfit_name(object: &Object) -> String {
    format!("{}.unfit", object.as_str())
}

fn blocks(length: u64) -> u64 {
    length.max(1).next_multiple_of(BLOCK_BYTES)
}

fn bytes_in(folder: &Path) -> io::Result<u64> {
    fs::read_dir(folder)?.try_fold(0, |sum, entry| Ok(sum + blocks(entry?.metadata()?.len())))
}

/// `None`: it was not written to its end.
fn whole(file: File) -> Option<Kept> {
    let length = file.metadata().ok()?.len();
    let (mut first, mut last) = ([0; 4], [0; 8]);
    file.read_exact_at(&mut first, 0).ok()?;
    file.read_exact_at(&mut last, length.checked_sub(8)?).ok()?;
    let encoding = Encoding::of(&first)?;
    let is_whole = match encoding {
        // The end of the image (ITU T.81, B.1.1.3), and the name and the checksum of the last chunk (PNG, 11.2.5).
        Encoding::Jpeg => last.ends_with(&[0xff, 0xd9]),
        Encoding::Png => last == *b"IEND\xae\x42\x60\x82",
    };
    is_whole.then_some(Kept { encoding, file, length })
}

#[cfg(test)]
mod tests;
