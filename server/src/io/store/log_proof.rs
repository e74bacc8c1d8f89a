//! Key and checkpoints of a log directory, as files. In: the directory, and where the log stands. Out: `key` (mode 0600),
//! `key.pub`, `allowed_signers`, and `checkpoints/SEQ-LOG.txt` with its `.sig`. Guarantee: a key is made once and never
//! replaced; a checkpoint is there whole, with its signature, or not at all.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey, PublicKey};

use super::{log_dir, regular};
use crate::io::machine::host;
use crate::log::ChainHash;
use crate::log::form::checkpoint::{Checkpoint, NAMESPACE, SIGNER};
use crate::log::form::line::SEQ_MAX;
use crate::log::store::storage::{StorageFault, fault};

/// The private key.
pub const KEY_NAME: &str = "key";
/// The public key.
pub const PUBLIC_KEY_NAME: &str = "key.pub";
/// Who may sign, as `ssh-keygen -Y verify -f` wants it.
pub const SIGNERS_NAME: &str = "allowed_signers";
/// Where the checkpoints are.
pub const CHECKPOINTS_NAME: &str = "checkpoints";

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] StorageFault),
    /// A file is not what it has to be.
    #[error("{path}: {why}")]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

fn bad(path: &Path, why: impl fmt::Display) -> ProofError {
    ProofError::Bad { path: path.to_owned(), why: why.to_string() }
}

fn no_key(path: &Path) -> impl Fn(ssh_key::Error) -> ProofError {
    move |error| bad(path, format_args!("not a key that can be used here: {error}"))
}

/// What is wrong with the key of a directory that has checkpoints or a public key already. No key is made.
pub fn doubt(dir: &Path) -> Option<String> {
    let is_there = |name: &str| dir.join(name).symlink_metadata().is_ok();
    let has_public = is_there(PUBLIC_KEY_NAME);
    if !is_there(KEY_NAME) && !has_public {
        let signed = checkpoints(dir).unwrap_or_default();
        return (!signed.is_empty()).then(|| {
            let dir = dir.display();
            format!("{dir}: key and key.pub are missing: the checkpoints that are there cannot be checked; a new key is made")
        });
    }
    match key(dir) {
        Err(error) => Some(error.to_string()),
        Ok(_) => {
            (!has_public).then(|| format!("{}: key.pub was missing, and is written again", dir.display()))
        }
    }
}

/// Has the disk keep what the segments of this log have now: before somebody signs for it, a power cut must not be able to
/// take it any more.
///
/// # Errors
/// [`ProofError`].
pub fn keep_segments(dir: &Path) -> Result<(), ProofError> {
    for (_, path) in log_dir::segments(dir).map_err(fault("read", dir.display()))? {
        fs::File::open(&path).and_then(|file| file.sync_data()).map_err(fault("sync", path.display()))?;
    }
    keep_names(dir)
}

/// Writes a signed checkpoint and gives its file. The key is made if there is none.
///
/// # Errors
/// [`ProofError`]; the log itself is not touched then, nor at all.
pub fn write_checkpoint(dir: &Path, checkpoint: &Checkpoint) -> Result<PathBuf, ProofError> {
    let key = key(dir)?;
    let checkpoints = dir.join(CHECKPOINTS_NAME);
    if !checkpoints.exists() {
        fs::create_dir_all(&checkpoints).map_err(fault("make the directory", checkpoints.display()))?;
        keep_names(dir)?;
    }
    let path = checkpoints.join(checkpoint.name() + ".txt");
    if path.exists() {
        // The same record of the same start: what was said about it stands.
        return Ok(path);
    }
    let signature = checkpoint.sign(&key).map_err(no_key(&dir.join(KEY_NAME)))?;
    // The signature first: a text without one would look like a forgery.
    write(&signature_of(&path), signature.as_bytes(), 0o640)?;
    write(&path, checkpoint.to_string().as_bytes(), 0o640)?;
    keep_names(&checkpoints)?;
    Ok(path)
}

/// The public key of a log directory, or the one in this file: a `.pub` file or a line of `allowed_signers`.
///
/// # Errors
/// [`ProofError`].
pub fn public_key(path: &Path) -> Result<PublicKey, ProofError> {
    let text = read(path)?;
    // Behind the name of the signer and its options, in `allowed_signers`.
    let line = text.lines().find_map(|line| line.find("ssh-ed25519 ").map(|at| &line[at..]));
    PublicKey::from_openssh(line.unwrap_or(&text)).map_err(no_key(path))
}

/// The public key of a log directory. It is written down twice; if the first is missing or no key, the second counts.
///
/// # Errors
/// [`ProofError`].
pub fn public_key_of(dir: &Path) -> Result<PublicKey, ProofError> {
    let key = public_key(&dir.join(PUBLIC_KEY_NAME));
    key.or_else(|error| public_key(&dir.join(SIGNERS_NAME)).map_err(|_| error))
}

/// The texts of all checkpoints of a log directory, by name; none if there is no such directory.
///
/// # Errors
/// [`ProofError`].
pub fn checkpoints(dir: &Path) -> Result<Vec<PathBuf>, ProofError> {
    let dir = dir.join(CHECKPOINTS_NAME);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fault("read", dir.display()))?,
    };
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(fault("read", dir.display()))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort_unstable();
    Ok(paths)
}

/// The checkpoint in this file, if this key signed it; the signature is beside it.
///
/// # Errors
/// [`ProofError`].
pub fn read_checkpoint(path: &Path, key: &PublicKey) -> Result<Checkpoint, ProofError> {
    let (text, signature) = (read(path)?, read(&signature_of(path))?);
    Checkpoint::verify(&text, &signature, key).map_err(|error| bad(path, error))
}

/// Number and hash of each record that this directory's own key signed for; what cannot be read signs for nothing.
pub fn own(dir: &Path) -> Vec<(u64, ChainHash)> {
    let Ok(key) = public_key_of(dir) else { return Vec::new() };
    let paths = checkpoints(dir).unwrap_or_default();
    let signed = paths.iter().filter_map(|path| read_checkpoint(path, &key).ok());
    signed.map(|checkpoint| (checkpoint.seq, checkpoint.head)).collect()
}

/// The last record that a checkpoint here is about, if it is beyond this one: numbers up to there were told. Without a public key
/// one that can be read is believed, for it costs numbers only.
pub fn signed_beyond(dir: &Path, seq: u64) -> Option<u64> {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.split('-').next()?.parse::<u64>().ok();
    // The names are asked first: there can be thousands, and as a rule there is none.
    let paths = checkpoints(dir).unwrap_or_default();
    let paths = paths.iter().filter(|path| number(path).is_some_and(|found| found > seq));
    let key = public_key_of(dir);
    let signed = paths.filter_map(|path| match &key {
        Ok(key) => read_checkpoint(path, key).ok(),
        Err(_) => read(path).ok()?.parse().ok(),
    });
    signed.map(|checkpoint| checkpoint.seq).filter(|last| *last > seq && *last < SEQ_MAX / 2).max()
}

/// Where the signature of this file is.
pub fn signature_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// The key of this log directory; it is made if there is none.
fn key(dir: &Path) -> Result<PrivateKey, ProofError> {
    let (path, public_path) = (dir.join(KEY_NAME), dir.join(PUBLIC_KEY_NAME));
    let public = public_path.display();
    let mut is_new = false;
    let key = match regular::read_text(&path, true) {
        Ok(text) => PrivateKey::from_openssh(text).map_err(no_key(&path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if public_path.symlink_metadata().is_ok() {
                let why = format!(
                    "the key is missing, and {public} is there: nothing is signed; bring the key back from a copy, or move \
                     {public} and allowed_signers away for a new one to be made"
                );
                return Err(bad(&path, why));
            }
            let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&host::random()));
            key.set_comment("buzzerd log");
            let text = key.to_openssh(LineEnding::LF).map_err(no_key(&path))?;
            write(&path, text.as_bytes(), 0o600)?;
            is_new = true;
            key
        }
        Err(error) => return Err(fault("read the key", path.display())(error).into()),
    };
    if public_key(&public_path).is_ok_and(|found| found.key_data() != key.public_key().key_data()) {
        let why = format!(
            "{public} is not its public key: nothing is signed; bring the one that fits back, or move {public} and \
             allowed_signers away for the right ones to be written"
        );
        return Err(bad(&path, why));
    }
    let public = key.public_key().to_openssh().map_err(no_key(&path))?;
    let signer = format!("{SIGNER} namespaces=\"{NAMESPACE}\" {public}\n");
    for (name, text) in [(PUBLIC_KEY_NAME, format!("{public}\n")), (SIGNERS_NAME, signer)] {
        let path = dir.join(name);
        if !path.exists() {
            write(&path, text.as_bytes(), 0o644)?;
            is_new = true;
        }
    }
    if is_new {
        // Before anything is signed with it: a key that a power cut takes is followed by another one.
        keep_names(dir)?;
    }
    Ok(key)
}

/// Writes a file that is there whole or not at all. [`keep_names`] has the disk keep that it is there.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ProofError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // One that a crash left behind may have other rights.
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(&new);
    let mut file = file.map_err(fault("write", new.display()))?;
    file.write_all(bytes).and_then(|()| file.sync_data()).map_err(fault("write", new.display()))?;
    Ok(fs::rename(&new, path).map_err(fault("write", path.display()))?)
}

fn keep_names(dir: &Path) -> Result<(), ProofError> {
    Ok(fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(fault("sync", dir.display()))?)
}

fn read(path: &Path) -> Result<String, ProofError> {
    Ok(regular::read_text(path, true).map_err(fault("read", path.display()))?)
}
