//! The effects that put blobs on the disk, one function each, so that a test can see in which order they come.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{RenameFlags, renameat2};

#[cfg(test)]
use crate::power::Effect;

/// Outside of tests nobody looks.
macro_rules! seen {
    ($effect:expr) => {
        #[cfg(test)]
        crate::power::seen($effect);
    };
}

/// Makes a file with this content, which is not on the disk yet.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut file = File::create_new(path)?;
    seen!(Effect::File(path.to_owned(), content.to_vec()));
    file.write_all(content)?;
    Ok(file)
}

/// Makes a directory unless it is there.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            seen!(Effect::Directory(path.to_owned()));
            Ok(())
        }
    }
}

/// Gives a file another name where none stands. Whether it did: not every file system can tell.
pub(crate) fn place(from: &Path, to: &Path) -> io::Result<bool> {
    match renameat2(None, from, None, to, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => {
            seen!(Effect::Name { from: from.to_owned(), to: to.to_owned() });
            Ok(true)
        }
        Err(Errno::EEXIST | Errno::EINVAL | Errno::ENOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives a file another name, whatever had it.
pub(crate) fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    seen!(Effect::Name { from: from.to_owned(), to: to.to_owned() });
    Ok(())
}

/// Brings a file's content to the disk; `path` is where it lies now.
#[cfg_attr(not(test), expect(unused_variables, reason = "where it lies is for those who look"))]
pub(crate) fn sync(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    seen!(Effect::Content(path.to_owned()));
    Ok(())
}

/// Brings the names in a directory to the disk.
pub(crate) fn sync_names(directory: &Path) -> io::Result<()> {
    cove_base::files::sync_directory(directory)?;
    seen!(Effect::Names(directory.to_owned()));
    Ok(())
}

/// Takes a name away.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    seen!(Effect::Gone(path.to_owned()));
    Ok(())
}
