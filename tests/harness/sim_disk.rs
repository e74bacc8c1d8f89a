//! A disk that fails and forgets. In: the calls of `log::storage`, a seed, how often what goes wrong. Out: errors, and after
//! a power cut what a real disk may have kept. Guarantee: what was synced with success is kept, and nothing else can be
//! counted on: sectors of 512 bytes reach the disk in any order or not at all, a length or a name may be the old one, and
//! after a failed sync of a file the kernel believes that all of it is written (Rebello et al., "Can Applications Recover from fsync
//! Failures?", 2020). The same seed gives the same disk.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use buzzer_server::log::store::storage::{Directory, File, Stat};

const SECTOR: usize = 512;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// SplitMix64: enough to choose what fails.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }

    /// True so often in a thousand.
    pub fn permille(&mut self, often: u64) -> bool {
        self.roll() % 1000 < often
    }
}

/// How often what goes wrong, in a thousand calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A write takes less than it was given, and says so.
    pub short: u64,
    /// A write fails: full, or broken.
    pub write: u64,
    /// A sync of a file or a directory fails.
    pub sync: u64,
    /// Making, opening, renaming, removing or cutting fails.
    pub names: u64,
}

#[derive(Debug, Default)]
struct Inode {
    /// What a reader sees.
    cache: Vec<u8>,
    /// What is on the disk, and how long the disk believes the file to be.
    disk: Vec<u8>,
    disk_len: usize,
    /// Sectors that the kernel still means to write.
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
enum Change {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

#[derive(Debug)]
struct Fs {
    dice: Dice,
    faults: Faults,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    disk_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    /// Bytes that all files together may have.
    room: usize,
}

/// A directory of it, which is all of it.
#[derive(Clone, Debug)]
pub struct SimDir(Rc<RefCell<Fs>>);

/// An open file.
#[derive(Debug)]
pub struct SimFile {
    fs: Rc<RefCell<Fs>>,
    inode: usize,
}

fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl SimDir {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Fs {
            dice: Dice(seed),
            faults: Faults::default(),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            disk_names: BTreeMap::new(),
            changes: Vec::new(),
            room: usize::MAX,
        })))
    }

    /// From now on this goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// From now on it has this much room.
    pub fn set_room(&self, room: usize) {
        self.0.borrow_mut().room = room;
    }

    /// The machine loses its power and boots again.
    pub fn cut_power(&self) {
        let fs = &mut *self.0.borrow_mut();
        for inode in &mut fs.inodes {
            for sector in std::mem::take(&mut inode.dirty) {
                if fs.dice.permille(500) {
                    inode.write_sector(sector);
                }
            }
            // The length is the old one, the new one, or, where it grew in steps, one between.
            let (old, new) = (inode.disk_len, inode.cache.len());
            inode.disk_len = match fs.dice.below(3) {
                0 => old,
                1 => new,
                _ => old.min(new) + fs.dice.below(old.abs_diff(new) + 1),
            };
            inode.disk.resize(inode.disk_len.max(inode.disk.len()), 0);
            inode.cache = inode.disk[..inode.disk_len].to_vec();
            inode.disk.truncate(inode.disk_len);
        }
        for change in std::mem::take(&mut fs.changes) {
            if fs.dice.permille(500) {
                apply(&mut fs.disk_names, &change);
            }
        }
        fs.names = fs.disk_names.clone();
    }

    /// The process dies; the kernel lives, and may read again from the disk what it believes to be there.
    pub fn kill_process(&self) {
        let fs = &mut *self.0.borrow_mut();
        for inode in &mut fs.inodes {
            for sector in 0..inode.cache.len().div_ceil(SECTOR) {
                if !inode.dirty.contains(&sector) && fs.dice.permille(300) {
                    inode.read_sector(sector);
                }
            }
        }
    }

    /// All is forgotten: a directory in memory, and the power is cut.
    pub fn clear(&self) {
        let fs = &mut *self.0.borrow_mut();
        fs.names.clear();
        fs.disk_names.clear();
        fs.changes.clear();
    }

    /// What a reader sees of a file.
    pub fn content(&self, name: &str) -> Vec<u8> {
        let fs = self.0.borrow();
        fs.names.get(name).map(|inode| fs.inodes[*inode].cache.clone()).unwrap_or_default()
    }

    /// Writes a file as if it had always been there.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let fs = &mut *self.0.borrow_mut();
        let inode = fs.inodes.len();
        let (cache, disk, disk_len) = (bytes.to_vec(), bytes.to_vec(), bytes.len());
        fs.inodes.push(Inode { cache, disk, disk_len, dirty: BTreeSet::new() });
        fs.names.insert(name.to_owned(), inode);
        fs.disk_names.insert(name.to_owned(), inode);
    }

    fn fail(&self, often: impl Fn(&Faults) -> u64, errno: i32) -> io::Result<()> {
        let fs = &mut *self.0.borrow_mut();
        let often = often(&fs.faults);
        if fs.dice.permille(often) { Err(error(errno)) } else { Ok(()) }
    }

    fn change(&self, change: Change) {
        let fs = &mut *self.0.borrow_mut();
        apply(&mut fs.names, &change);
        fs.changes.push(change);
    }

    fn file(&self, inode: usize) -> SimFile {
        SimFile { fs: Rc::clone(&self.0), inode }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Unlink(name) => {
            names.remove(name);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl Inode {
    fn write_sector(&mut self, sector: usize) {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(self.cache.len());
        if from < to {
            self.disk.resize(self.disk.len().max(to), 0);
            self.disk[from..to].copy_from_slice(&self.cache[from..to]);
        }
    }

    fn read_sector(&mut self, sector: usize) {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(self.cache.len());
        self.disk.resize(self.disk.len().max(to), 0);
        self.cache[from..to].copy_from_slice(&self.disk[from..to]);
    }

    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }
}

impl Directory for SimDir {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        self.fail(|faults| faults.names, ENOSPC)?;
        if self.0.borrow().names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.0.borrow().inodes.len();
        self.0.borrow_mut().inodes.push(Inode::default());
        self.change(Change::Link(name.to_owned(), inode));
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        self.fail(|faults| faults.names, EIO)?;
        let inode = self.0.borrow().names.get(name).copied();
        inode.map(|inode| self.file(inode)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.fail(|faults| faults.names, EIO)?;
        if !self.0.borrow().names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.fail(|faults| faults.names, EIO)?;
        if !self.0.borrow().names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Change::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let failed = self.fail(|faults| faults.sync, EIO);
        let fs = &mut *self.0.borrow_mut();
        // After an error they are still to be kept: names are in the journal of the file system, and one that cannot
        // write its journal takes nothing any more.
        if failed.is_ok() {
            for change in std::mem::take(&mut fs.changes) {
                apply(&mut fs.disk_names, &change);
            }
        }
        failed
    }

    fn is_there(&self) -> bool {
        true
    }

    fn renew(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn stat(&self, name: &str) -> io::Result<Stat> {
        let fs = self.0.borrow();
        let inode = *fs.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Stat { id: (0, inode as u64), len: fs.inodes[inode].cache.len() as u64, is_file: true })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn name(&self) -> String {
        "simulated".to_owned()
    }
}

impl SimFile {
    fn fail(&self, often: impl Fn(&Faults) -> u64, errno: i32) -> io::Result<()> {
        SimDir(Rc::clone(&self.fs)).fail(often, errno)
    }
}

impl File for SimFile {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let fs = self.fs.borrow();
        let bytes = fs.inodes[self.inode].cache.get(at as usize..).unwrap_or_default();
        let read = bytes.len().min(into.len());
        into[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.fail(|faults| faults.write, if at.is_multiple_of(2) { EIO } else { ENOSPC })?;
        let fs = &mut *self.fs.borrow_mut();
        let (at, often) = (at as usize, fs.faults.short);
        let mut taken = if fs.dice.permille(often) { 1 + fs.dice.below(bytes.len()) } else { bytes.len() };
        let used: usize = fs.names.values().map(|inode| fs.inodes[*inode].cache.len()).sum();
        let more = (at + taken).saturating_sub(fs.inodes[self.inode].cache.len());
        let room = fs.room.saturating_sub(used);
        if more > room {
            // As ext4 does it: what fits is taken, and the next write hears that it is full.
            taken = taken.saturating_sub(more - room);
            if taken == 0 {
                return Err(error(ENOSPC));
            }
        }
        let inode = &mut fs.inodes[self.inode];
        inode.cache.resize(inode.cache.len().max(at + taken), 0);
        inode.cache[at..at + taken].copy_from_slice(&bytes[..taken]);
        inode.touch(at, at + taken);
        Ok(taken)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.fs.borrow().inodes[self.inode].cache.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fail(|faults| faults.names, EIO)?;
        let inode = &mut self.fs.borrow_mut().inodes[self.inode];
        let (len, before) = (len as usize, inode.cache.len());
        inode.cache.resize(len, 0);
        inode.touch(len.min(before), len.max(before));
        Ok(())
    }

    fn reserve(&self, _len: u64) -> io::Result<()> {
        self.fail(|faults| faults.names, ENOSPC)
    }

    fn sync(&self) -> io::Result<()> {
        let failed = self.fail(|faults| faults.sync, EIO);
        let fs = &mut *self.fs.borrow_mut();
        let inode = &mut fs.inodes[self.inode];
        for sector in std::mem::take(&mut inode.dirty) {
            if failed.is_ok() || fs.dice.permille(500) {
                inode.write_sector(sector);
            }
        }
        if failed.is_ok() {
            inode.disk_len = inode.cache.len();
            inode.disk.resize(inode.disk_len, 0);
        }
        failed
    }

    fn is_linked(&self) -> bool {
        self.fs.borrow().names.values().any(|inode| *inode == self.inode)
    }
}
