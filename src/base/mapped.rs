//! A part of a file as memory that is handed to the kernel: what the page cache has goes to a socket in one copy.
//!
//! Holds: the pages were read when [`Mapped::read`] succeeded; whoever only passes the slice to a system call gets
//! `EFAULT`, never a signal, should the disk have lost them since. Code of ours must not look at the bytes.
//! Why here, the one place outside of the runtime with `unsafe`: reading into a buffer and writing that costs a third
//! of what a server of blobs can send.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

/// Where a mapping may begin in a file, a multiple of every page size in use.
const BOUNDARY: u64 = 64 << 10;

/// A mapping, unmapped when dropped.
#[derive(Debug)]
pub struct Mapped {
    start: NonNull<c_void>,
    /// Bytes before the part, from the boundary on.
    lead: usize,
    length: usize,
}

// SAFETY: a private handle to read-only pages.
unsafe impl Send for Mapped {}
// SAFETY: as above; nothing changes through it.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// `length` bytes of a file from `offset` on, all within it; the file's content does not change any more. Reads
    /// nothing yet.
    ///
    /// # Errors
    /// Whatever the kernel says: file systems need not offer it.
    pub fn new(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        let lead = usize::try_from(offset % BOUNDARY).map_err(io::Error::other)?;
        let from = libc::off_t::try_from(offset - offset % BOUNDARY).map_err(io::Error::other)?;
        let (all, flags) = (lead + length, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), all, libc::PROT_READ, flags, file.as_raw_fd(), from) };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Self { start, lead, length }),
            Some(_) | None => Err(io::Error::last_os_error()),
        }
    }

    /// Whether the page cache has all of it.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        let all = self.lead + self.length;
        // One byte for each page. Pages have 4 KiB or more: what the kernel leaves untouched counts as present.
        let mut pages = vec![1_u8; all.div_ceil(4096)];
        // SAFETY: our own mapping, and a byte for each of its pages.
        let told = unsafe { libc::mincore(self.start.as_ptr(), all, pages.as_mut_ptr()) };
        told == 0 && pages.iter().all(|page| page & 1 == 1)
    }

    /// Makes the pages present, from the disk where the page cache lacks them.
    ///
    /// # Errors
    /// When the disk fails; of the kind `InvalidInput` before Linux 5.14.
    pub fn read(&self) -> io::Result<()> {
        let all = self.lead + self.length;
        // SAFETY: our own mapping.
        match unsafe { libc::madvise(self.start.as_ptr(), all, libc::MADV_POPULATE_READ) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: mapped from `start` for `lead + length` bytes, and of a file that nobody writes to.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast::<u8>().add(self.lead), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody can reach any more.
        unsafe { libc::munmap(self.start.as_ptr(), self.lead + self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn any_part_of_a_file_is_there_as_it_is() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        file.write_all(&content).unwrap();
        for (offset, length) in [(0, 1), (0, content.len()), (1, 70_000), (65_536, 65_536), (1_000_001, 199_999)] {
            let part = Mapped::new(&file, offset as u64, length).unwrap();
            part.read().unwrap();
            assert_eq!(part.as_ref(), &content[offset..offset + length]);
        }
    }

    #[test]
    fn pages_that_are_not_there_are_an_error_and_no_signal() {
        let file = tempfile::tempfile().unwrap();
        let part = Mapped::new(&file, 0, 4096).unwrap();
        assert!(part.read().is_err());
        // What the sender does with it.
        let sent = written_to_a_pipe(&part);
        assert_eq!(sent.unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }

    fn written_to_a_pipe(part: &Mapped) -> io::Result<usize> {
        let (_reader, mut writer) = io::pipe()?;
        writer.write(part.as_ref())
    }
}
