//! A backend in a local folder.
//!
//! ```text
//! FOLDER/arriving/<id>     what is being written, or has been and is not settled
//! FOLDER/<xx>/<id>         what is settled; xx is the id's first byte
//! ```
//! An id is 32 hexadecimal digits. Nothing of a name or type that a client has said is ever in a path. The folder is its owner's only.

use super::{Incoming, Objects, Stored, Visit};
use chaski_store::media::{Name, ObjectId, PAGE_MAX};
use std::ffi::{CString, OsStr};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const ARRIVING: &str = "arriving";

/// See the module.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens a folder, made if it is not there.
    pub fn open(root: &Path) -> io::Result<Self> {
        let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        make(root)?;
        make(&root.join(ARRIVING))?;
        for first in 0..=u8::MAX {
            make(&root.join(format!("{first:02x}")))?;
        }
        let folder = Self { root: root.to_owned() };
        sync(&folder.root)?;
        if let Some(parent) = folder.root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
        Ok(folder)
    }

    fn arriving(&self, object: ObjectId) -> PathBuf {
        self.root.join(ARRIVING).join(text(object))
    }

    fn shelf(&self, object: ObjectId) -> PathBuf {
        let text = text(object);
        self.root.join(&text[..2])
    }

    fn settled(&self, object: ObjectId) -> PathBuf {
        self.shelf(object).join(text(object))
    }
}

fn text(object: ObjectId) -> String {
    format!("{:032x}", object.0)
}

fn id(file_name: &OsStr) -> Option<ObjectId> {
    let digits = file_name.to_str().filter(|name| name.len() == 32)?;
    u128::from_str_radix(digits, 16).ok().map(ObjectId)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Not there is not an error.
fn if_there(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Objects for Folder {
    fn begin(&self, object: ObjectId) -> io::Result<Box<dyn Incoming>> {
        let path = self.arriving(object);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Box::new(Arrival { path: Some(path), file }))
    }

    fn settle(&self, object: ObjectId) -> io::Result<()> {
        if_there(fs::rename(self.arriving(object), self.settled(object))).map(drop)
    }

    fn open(&self, object: ObjectId, _: Name) -> io::Result<Box<dyn Stored>> {
        // It may be settled between two looks.
        let places = [self.settled(object), self.arriving(object), self.settled(object)];
        let mut missing = io::Error::from(ErrorKind::NotFound);
        for place in places {
            match File::open(place) {
                Ok(file) => return Ok(Box::new(OpenFile::new(file)?)),
                Err(error) if error.kind() == ErrorKind::NotFound => missing = error,
                Err(error) => return Err(error),
            }
        }
        Err(missing)
    }

    fn delete(&self, objects: &[ObjectId]) -> io::Result<()> {
        let (mut shelves, mut is_arrival) = (Vec::new(), false);
        for &object in objects {
            // In this order: it may be settled between the two.
            is_arrival |= if_there(fs::remove_file(self.arriving(object)))?;
            if if_there(fs::remove_file(self.settled(object)))? {
                shelves.push(self.shelf(object));
            }
        }
        shelves.sort_unstable();
        shelves.dedup();
        shelves.iter().try_for_each(|shelf| sync(shelf))?;
        if is_arrival { sync(&self.root.join(ARRIVING)) } else { Ok(()) }
    }

    fn arrivals(&self) -> io::Result<Vec<ObjectId>> {
        let mut arrivals = Vec::new();
        for entry in fs::read_dir(self.root.join(ARRIVING))? {
            let name = entry?.file_name();
            match id(&name) {
                Some(object) => arrivals.push(object),
                None => {
                    tracing::warn!(?name, "a file among the arriving media is none of ours; it is left alone")
                }
            }
        }
        Ok(arrivals)
    }

    fn size(&self, object: ObjectId) -> io::Result<Option<u64>> {
        match self.open(object, Name(0)) {
            Ok(stored) => Ok(Some(stored.size())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn each(&self, first: u8, visit: &mut Visit<'_>) -> io::Result<()> {
        let mut page = Vec::with_capacity(PAGE_MAX);
        for entry in fs::read_dir(self.root.join(format!("{first:02x}")))? {
            let entry = entry?;
            let Some(object) = id(&entry.file_name()) else { continue };
            match entry.metadata() {
                Ok(metadata) => page.push((object, metadata.len())),
                // It has ended between the two looks.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            if page.len() == PAGE_MAX {
                visit(&page)?;
                page.clear();
            }
        }
        if page.is_empty() { Ok(()) } else { visit(&page) }
    }

    fn room_bytes(&self) -> io::Result<u64> {
        let path = CString::new(self.root.as_os_str().as_bytes())?;
        let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: `path` is a NUL-terminated string and `stat` is room for one `statvfs`, both alive during the call.
        if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: statvfs returned success, so it has filled the struct.
        let stat = unsafe { stat.assume_init() };
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// A file that is being written.
struct Arrival {
    /// `None`: it is finished.
    path: Option<PathBuf>,
    file: File,
}

impl Incoming for Arrival {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(folder) = self.path.as_deref().and_then(Path::parent) {
            sync(folder)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(%error, "a file that did not come whole stays until the next start");
        }
    }
}

/// A file that is being read.
pub(super) struct OpenFile {
    file: File,
    size: u64,
}

impl OpenFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl Stored for OpenFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn stored(folder: &Folder, object: ObjectId) -> Option<Vec<u8>> {
        let stored = folder.open(object, Name(1)).ok()?;
        let mut bytes = vec![0; stored.size() as usize];
        assert_eq!(stored.read_at(0, &mut bytes).unwrap(), bytes.len());
        Some(bytes)
    }

    fn write(folder: &Folder, object: ObjectId) {
        let mut incoming = folder.begin(object).unwrap();
        incoming.write("Grüße".as_bytes()).unwrap();
        incoming.finish().unwrap();
    }

    #[test]
    fn an_object_arrives_settles_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("media");
        let folder = Folder::open(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        let [one, two, three] = [1, 2 << 120, 3].map(ObjectId);
        write(&folder, one);
        write(&folder, two);
        assert!(folder.begin(one).is_err(), "an id is used once");
        assert_eq!(stored(&folder, one).as_deref(), Some("Grüße".as_bytes()), "it is served where it lies");
        folder.settle(one).unwrap();
        folder.settle(one).unwrap();
        let folder = Folder::open(&root).unwrap();
        assert_eq!(folder.arrivals().unwrap(), [two]);
        let open = folder.open(one, Name(1)).unwrap();
        folder.delete(&[one, two, three]).unwrap();
        folder.settle(two).unwrap();
        assert_eq!((stored(&folder, one), stored(&folder, two)), (None, None));
        assert_eq!(open.read_at(0, &mut [0; 3]).unwrap(), 3, "who reads it reads it to its end");
        assert!(folder.room_bytes().unwrap() > 0);
    }

    #[test]
    fn what_did_not_come_whole_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut incoming = folder.begin(ObjectId(1)).unwrap();
        incoming.write(b"half").unwrap();
        assert_eq!(folder.arrivals().unwrap(), [ObjectId(1)]);
        drop(incoming);
        assert_eq!(folder.arrivals().unwrap(), []);
        fs::write(dir.path().join("arriving/note.txt"), "mine").unwrap();
        assert_eq!(folder.arrivals().unwrap(), []);
    }
}
