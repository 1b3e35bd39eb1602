//! The disk as a mounted file system, so that a real server works on it.
//!
//! Called by: the power cuts, which mount it for each life of a server. Promises: every write of the server is in the [`Disk`] when its system call
//! returns (the kernel keeps nothing back: no write-back cache), and every sync has reached it; a mount ends when dropped.

use super::{Disk, Fault, ROOT};
use anyhow::{Context, Result};
use fuser::{
    AccessFlags, BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nothing is believed for longer than the answer takes.
const TTL: Duration = Duration::ZERO;
const BLOCK_BYTES: u32 = 4096;
/// What the disk says it has: 64 GiB.
const BLOCKS: u64 = 16 << 20;

/// A mounted disk.
pub(crate) struct Mounted {
    session: Option<BackgroundSession>,
}

impl Mounted {
    /// Mounts it.
    pub(crate) fn new(disk: &Arc<Mutex<Disk>>, at: &Path) -> Result<Self> {
        std::fs::create_dir_all(at).with_context(|| format!("can't make the folder {}", at.display()))?;
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("chaski-gate".into()), MountOption::NoAtime];
        let layer = Layer { disk: disk.clone(), lists: Mutex::default() };
        let session = fuser::spawn_mount(layer, at, &config).with_context(|| {
            format!(
                "can't mount a FUSE file system at {}: it takes /dev/fuse and root. Run as root where mounting is permitted, or without \
                 cuts (--cuts 0)",
                at.display()
            )
        })?;
        Ok(Self { session: Some(session) })
    }

    /// Unmounts it, which nobody may use any more.
    pub(crate) fn unmount(mut self) -> Result<()> {
        let session = self.session.take().context("is mounted until now")?;
        session.umount_and_join().context("can't unmount the FUSE file system; does a process still use it?")
    }
}

/// Unmounts what an earlier run that was killed has left there, if it has.
pub(crate) fn forget(at: &Path) {
    let Ok(path) = std::ffi::CString::new(at.as_os_str().as_encoded_bytes()) else { return };
    // SAFETY: a plain system call with a path that lives longer. It fails where nothing is mounted, which is as well.
    unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
}

/// Between the kernel and the disk.
struct Layer {
    disk: Arc<Mutex<Disk>>,
    /// What folders held when they were opened, so that a reader can remove what it reads.
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    last_handle: u64,
    open: HashMap<u64, Vec<(OsString, u64)>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn errno(fault: Fault) -> Errno {
    Errno::from_i32(fault)
}

fn attributes(disk: &Disk, node: u64) -> Result<FileAttr, Fault> {
    let len = disk.file_len(node)?;
    let (kind, perm, nlink) =
        if len.is_some() { (FileType::RegularFile, 0o644, 1) } else { (FileType::Directory, 0o755, 2) };
    let size = len.unwrap_or(0) as u64;
    Ok(FileAttr {
        ino: INodeNo(node),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    })
}

impl Layer {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        held(&self.disk)
    }

    fn entry(&self, found: impl FnOnce(&mut Disk) -> Result<u64, Fault>, reply: ReplyEntry) {
        let mut disk = self.disk();
        match found(&mut disk).and_then(|node| attributes(&disk, node)) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(fault) => reply.error(errno(fault)),
        }
    }

    fn done(&self, act: impl FnOnce(&mut Disk) -> Result<(), Fault>, reply: ReplyEmpty) {
        match act(&mut self.disk()) {
            Ok(()) => reply.ok(),
            Err(fault) => reply.error(errno(fault)),
        }
    }
}

impl Filesystem for Layer {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(|disk| disk.lookup(parent.0, name), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&self.disk(), ino.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(fault) => reply.error(errno(fault)),
        }
    }

    /// Only the length is kept: nobody here reads modes, owners or times.
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let resized = size.map_or(Ok(()), |size| disk.resize(ino.0, size as usize));
        match resized.and_then(|()| attributes(&disk, ino.0)) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(fault) => reply.error(errno(fault)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        self.entry(|disk| disk.mkdir(parent.0, name), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(|disk| disk.remove(parent.0, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(|disk| disk.remove(parent.0, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.done(|disk| disk.rename((parent.0, name), (newparent.0, newname)), reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let mut disk = self.disk();
        let cut_off = flags.0 & libc::O_TRUNC != 0;
        let opened = if cut_off { disk.resize(ino.0, 0) } else { disk.file_len(ino.0).map(|_| ()) };
        match opened {
            Ok(()) => {
                disk.opened(ino.0);
                reply.opened(FileHandle(0), FopenFlags::empty());
            }
            Err(fault) => reply.error(errno(fault)),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let mut disk = self.disk();
        match disk.create(parent.0, name).and_then(|node| attributes(&disk, node)) {
            Ok(attributes) => {
                disk.opened(attributes.ino.0);
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(fault) => reply.error(errno(fault)),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().read(ino.0, offset as usize, size as usize) {
            Ok(data) => reply.data(data),
            Err(fault) => reply.error(errno(fault)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // O_SYNC has O_DSYNC's bit in it.
        let is_synced = flags.0 & libc::O_DSYNC != 0;
        match self.disk().write(ino.0, offset as usize, data, is_synced) {
            Ok(()) => reply.written(data.len() as u32),
            Err(fault) => reply.error(errno(fault)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.disk().closed(ino.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.done(|disk| disk.sync(ino.0), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.done(|disk| disk.sync(ino.0), reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.disk().list(ino.0) {
            Ok(list) => {
                let mut lists = held(&self.lists);
                lists.last_handle += 1;
                let handle = lists.last_handle;
                lists.open.insert(handle, list);
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(fault) => reply.error(errno(fault)),
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.disk();
        let lists = held(&self.lists);
        let dots = [(".", ino.0), ("..", ROOT)].map(|(name, node)| (OsString::from(name), node));
        let list = dots.iter().chain(lists.open.get(&fh.0).into_iter().flatten());
        for (index, (name, node)) in list.enumerate().skip(offset as usize) {
            let is_file = disk.file_len(*node).is_ok_and(|len| len.is_some());
            let kind = if is_file { FileType::RegularFile } else { FileType::Directory };
            if reply.add(INodeNo(*node), index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        held(&self.lists).open.remove(&fh.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, 1 << 20, 1 << 20, BLOCK_BYTES, 255, BLOCK_BYTES);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}
