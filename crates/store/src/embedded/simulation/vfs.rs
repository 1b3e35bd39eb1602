//! SQLite on a simulated disk: a VFS (<https://www.sqlite.org/vfs.html>) whose files are those of [`super::disk`].
//!
//! Does what SQLite's own for Unix does, as far as a power cut could tell: `xSync` syncs the file, and the first one of
//! a write-ahead log that may be new its directory; sectors are as a cut tears them. Locks and the shared memory of the write-ahead log
//! ([`super::shared_memory`]) are the process's own: no second process is simulated, and a power cut takes both.
//!
//! The one place in this crate's tests and simulation where `unsafe` is allowed: SQLite's interface is C's. Every function
//! here is called by SQLite with a file that `open` has filled in, one thread at a time for each.

use super::disk::{SimulatedDisk, SimulatedFile};
use super::shared_memory::{Locks, Shared};
use crate::embedded::disk::{Disk, DiskFile, Open};
use rusqlite::ffi;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

/// The name that SQLite knows it by.
pub(super) const NAME: &str = "chaski-simulated";
const C_NAME: &CStr = c"chaski-simulated";

/// What the connections of one database share.
#[derive(Default)]
pub(super) struct Database {
    locks: Mutex<Locks>,
    shared: Mutex<Shared>,
}

/// A file as SQLite holds it.
struct OpenFile {
    file: SimulatedFile,
    /// Who it is, for locks.
    holder: u64,
    database: Arc<Database>,
    mapped: bool,
    /// The directory of a log that may be new, to be synced with it.
    directory: Option<PathBuf>,
    unlink: Option<PathBuf>,
}

#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    open: *mut OpenFile,
}

/// Makes the VFS known to SQLite, once.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<Handle>() as c_int,
            mxPathname: 1024,
            pNext: std::ptr::null_mut(),
            zName: C_NAME.as_ptr(),
            pAppData: std::ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_path),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time_ms),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: `vfs` is filled in, lives for ever, and is not touched by us again.
        let code = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite takes the VFS");
    });
}

/// Makes SQLite's own random numbers (keys, salts) those of a seed, in this whole process.
pub fn seed_randomness(seed: u64) {
    let seed = (seed as u32 | 1) as c_int;
    // SAFETY: this control takes an `int` and a connection, which may be none.
    unsafe {
        ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_PRNG_SEED, seed, std::ptr::null_mut::<ffi::sqlite3>())
    };
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

fn full_or(error: &io::Error, code: c_int) -> c_int {
    if error.kind() == io::ErrorKind::StorageFull { ffi::SQLITE_FULL } else { code }
}

fn result(done: io::Result<()>, code: c_int) -> c_int {
    match done {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) => full_or(&error, code),
    }
}

/// # Safety
/// `name` is a NUL-terminated string that lives as long as the result.
unsafe fn path<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: the caller's promise.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

/// # Safety
/// `file` is one that `open` has filled in and `close` has not closed, and nobody else uses it now.
unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> &'a mut OpenFile {
    // SAFETY: by the caller's promise a `Handle` of ours, whose `open` came from a box that is alive.
    unsafe { &mut *(*file.cast::<Handle>()).open }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives room of `szOsFile` bytes for a `Handle`. Without methods it isn't closed after a failure.
    unsafe { (*file).pMethods = std::ptr::null() };
    if name.is_null() {
        // A temporary file; `temp_store=MEMORY` has none.
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: SQLite's names are NUL-terminated and outlive the call.
    let path = unsafe { path(name) };
    let Some(disk) = SimulatedDisk::of(path) else { return ffi::SQLITE_CANTOPEN };
    let how = match (flags & ffi::SQLITE_OPEN_CREATE != 0, flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0) {
        (true, true) => Open::New,
        (true, false) => Open::Any,
        _ => Open::Existing,
    };
    let Ok(opened) = disk.open_node(path, how) else { return ffi::SQLITE_CANTOPEN };
    static HOLDERS: AtomicU64 = AtomicU64::new(0);
    let logs = ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
    let database = {
        let mut databases = disk.inner.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases.entry(opened.node).or_default().clone()
    };
    let open = Box::new(OpenFile {
        file: opened,
        holder: HOLDERS.fetch_add(1, Ordering::Relaxed),
        database,
        mapped: false,
        directory: path
            .parent()
            .filter(|_| flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & logs != 0)
            .map(Path::to_owned),
        unlink: (flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0).then(|| path.to_owned()),
    });
    // SAFETY: room for a `Handle`, see above; `out_flags` is null or room for an `int`.
    unsafe {
        (*file.cast::<Handle>()).open = Box::into_raw(open);
        (*file).pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once; the pointer came from a box in `open`.
    let mut open = unsafe { Box::from_raw((*file.cast::<Handle>()).open) };
    // SAFETY: as above; the file is not used again.
    unsafe { (*file).pMethods = std::ptr::null() };
    locks(&open, |locks, holder| locks.unlock(holder, ffi::SQLITE_LOCK_NONE));
    unmap(&mut open);
    if let Some(path) = &open.unlink {
        let _ = open.file.disk.unlink(path);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, bytes: c_int, at: i64) -> c_int {
    // SAFETY: an open file; `to` is room for `bytes` bytes that nobody else uses.
    let (open, to) =
        unsafe { (opened(file), std::slice::from_raw_parts_mut(to.cast::<u8>(), bytes as usize)) };
    match open.file.read_at(to, at as u64) {
        Ok(read) if read == to.len() => ffi::SQLITE_OK,
        Ok(read) => {
            to[read..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(_) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    bytes: c_int,
    at: i64,
) -> c_int {
    // SAFETY: an open file; `from` is `bytes` bytes.
    let (open, from) =
        unsafe { (opened(file), std::slice::from_raw_parts(from.cast::<u8>(), bytes as usize)) };
    result(open.file.write_all_at(from, at as u64), ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: an open file.
    result(unsafe { opened(file) }.file.set_length(size as u64), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    let done = open.file.sync_all().and_then(|()| match open.directory.take() {
        Some(directory) => open.file.disk.sync_directory(&directory),
        None => Ok(()),
    });
    result(done, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: an open file, and room for the answer.
    let (open, size) = unsafe { (opened(file), &mut *size) };
    match open.file.length() {
        Ok(length) => {
            *size = length as i64;
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
    }
}

fn locks<T>(open: &OpenFile, with: impl FnOnce(&mut Locks, u64) -> T) -> T {
    with(&mut open.database.locks.lock().unwrap_or_else(PoisonError::into_inner), open.holder)
}

fn busy_unless(granted: bool) -> c_int {
    if granted { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    busy_unless(locks(unsafe { opened(file) }, |locks, holder| locks.lock(holder, level)))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    locks(unsafe { opened(file) }, |locks, holder| locks.unlock(holder, level));
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut ffi::sqlite3_file, answer: *mut c_int) -> c_int {
    // SAFETY: an open file, and room for the answer.
    let (open, answer) = unsafe { (opened(file), &mut *answer) };
    *answer = c_int::from(locks(open, |locks, _| locks.is_reserved()));
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    // As on Unix. A cut tears what is being written and leaves its neighbours alone.
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file, and room for a pointer.
    let (open, to) = unsafe { (opened(file), &mut *to) };
    let mut shared = open.database.shared.lock().unwrap_or_else(PoisonError::into_inner);
    if !std::mem::replace(&mut open.mapped, true) {
        shared.enter();
    }
    *to = shared.region(region as usize, bytes as usize, extend != 0).cast();
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    let mut shared = open.database.shared.lock().unwrap_or_else(PoisonError::into_inner);
    let slots = first as usize..(first + count) as usize;
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        shared.unlock(open.holder, slots);
        return ffi::SQLITE_OK;
    }
    busy_unless(shared.lock(open.holder, slots, exclusive))
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    std::sync::atomic::fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    unmap(unsafe { opened(file) });
    ffi::SQLITE_OK
}

fn unmap(open: &mut OpenFile) {
    if std::mem::take(&mut open.mapped) {
        open.database.shared.lock().unwrap_or_else(PoisonError::into_inner).leave(open.holder);
    }
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite's names are NUL-terminated and outlive the call.
    let path = unsafe { path(name) };
    let Some(disk) = SimulatedDisk::of(path) else { return ffi::SQLITE_IOERR_DELETE };
    match disk.unlink(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
        Ok(()) => match path.parent().filter(|_| sync != 0) {
            Some(directory) => result(disk.sync_directory(directory), ffi::SQLITE_IOERR_DIR_FSYNC),
            None => ffi::SQLITE_OK,
        },
    }
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    answer: *mut c_int,
) -> c_int {
    // SAFETY: a NUL-terminated name that outlives the call, and room for the answer.
    let (path, answer) = unsafe { (path(name), &mut *answer) };
    let length = SimulatedDisk::of(path).and_then(|disk| disk.length(path).ok());
    // As on Unix, an empty file isn't there where it is asked for existence.
    let there = length.is_some_and(|length| length > 0 || flags != ffi::SQLITE_ACCESS_EXISTS);
    *answer = c_int::from(there);
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_path(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    to: *mut c_char,
) -> c_int {
    // SAFETY: a NUL-terminated name.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if name.len() > room as usize {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: `to` is room for `room` bytes elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(name.as_ptr().cast(), to, name.len()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    // Only the default VFS is asked.
    0
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    std::thread::yield_now();
    micros
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, days: *mut f64) -> c_int {
    // SAFETY: room for the answer. Nothing here asks SQLite for the time.
    unsafe { *days = 2_460_000.5 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_ms(_: *mut ffi::sqlite3_vfs, ms: *mut i64) -> c_int {
    // SAFETY: room for the answer, likewise.
    unsafe { *ms = 212_544_043_200_000 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}
