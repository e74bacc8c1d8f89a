//! Opening files of which anybody may have made something else. In: a path, or an open file. Out: a regular file, or what is
//! there instead. Guarantee: nothing is waited for: a FIFO, a socket, a folder or a device is named and not read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FileType, OFlags, fstat};

/// The most that is read of a small file.
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// Whether this is a regular file.
///
/// # Errors
/// Says what it is instead.
pub(crate) fn check(file: impl AsFd) -> io::Result<()> {
    let what = match FileType::from_raw_mode(fstat(file)?.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a folder is there, where a file was expected",
        FileType::Fifo => "a FIFO is there, where a file was expected",
        FileType::Socket => "a socket is there, where a file was expected",
        FileType::Symlink => "a link is there, where a file was expected",
        _ => "a device is there, where a file was expected",
    };
    Err(io::Error::other(what))
}

/// Opens with these options without waiting. `may_be_link`: whether a link is followed.
///
/// # Errors
/// What the kernel answered, or what is there instead of a file.
pub(crate) fn open(path: &Path, options: &OpenOptions, may_be_link: bool) -> io::Result<File> {
    let nofollow = if may_be_link { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = (OFlags::NONBLOCK | nofollow).bits().cast_signed();
    let file =
        options.clone().custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() && !may_be_link => {
                io::Error::other("a link is there, where a file was expected")
            }
            Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => {
                io::Error::other("a socket is there, where a file was expected")
            }
            _ => error,
        })?;
    check(&file)?;
    Ok(file)
}

/// The text of a small file.
///
/// # Errors
/// As [`open`]; or it is no text.
pub(crate) fn read_text(path: &Path, may_be_link: bool) -> io::Result<String> {
    let mut text = String::new();
    open(path, OpenOptions::new().read(true), may_be_link)?.take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn what_is_no_file_is_named_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        assert_eq!(read_text(&path("file"), false).unwrap(), "text");
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        assert_eq!(read_text(&path("link"), true).unwrap(), "text");
        let _socket = UnixListener::bind(path("socket")).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), FileType::Fifo, mode, 0).unwrap();
        for (name, what) in
            [("link", "a link"), ("socket", "a socket"), ("folder", "a folder"), ("fifo", "a FIFO")]
        {
            let error = read_text(&path(name), false).unwrap_err().to_string();
            assert!(error.starts_with(what), "{name}: {error}");
        }
        let device = read_text(Path::new("/dev/null"), false).unwrap_err().to_string();
        assert!(device.starts_with("a device"), "{device}");
    }
}
