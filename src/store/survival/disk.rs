//! A disk that breaks on demand: ext4 in a file, mounted through a loop device.
//!
//! What the loop device has written to the file is what a disk would have received; what lies in the page cache of the
//! file system above is what a power cut takes.
//!
//! Holds: mounts are made in a mount namespace of the calling thread, and the kernel frees each loop device with its
//! mount. So nothing stays behind, however the test ends.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount, umount2};

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`, and the flag that keeps even the journal from being written.
const EXT4_SHUTDOWN: libc::c_ulong = 0x8004_587d;
static NO_LOG_FLUSH: u32 = 2;

/// The disk; unmounted when dropped, so that another can take its place.
pub(super) struct Disk {
    image: PathBuf,
    point: PathBuf,
}

/// The loop device takes requests of one page only.
pub(super) struct SinglePages {
    limit: PathBuf,
    before: String,
}

impl Drop for SinglePages {
    fn drop(&mut self) {
        let _ = fs::write(&self.limit, &self.before);
    }
}

/// Runs `trial` in a thread with mounts of its own, or says aloud why it cannot.
pub(super) fn with_own_mounts(trial: impl FnOnce(&Path) + Send + 'static) {
    if let Some(why) = missing() {
        // Not captured like a print: a skipped test must be heard.
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "SKIPPED: {}: {why}", std::thread::current().name().unwrap_or_default());
        return;
    }
    let done = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let home = Home(tempfile::Builder::new().prefix("cove-disk-").tempdir().unwrap());
        trial(home.0.path());
    });
    if let Err(panic) = done.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The directory of a trial; what is mounted in it goes first, so that it can be removed.
struct Home(tempfile::TempDir);

impl Drop for Home {
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        for point in points.filter(|point| point.starts_with(self.0.path())).collect::<Vec<_>>().into_iter().rev() {
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
    }
}

/// Why there can be no such disk here.
fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("mounting a disk needs root");
    }
    let works = |program: &str, argument: &str| {
        Command::new(program).arg(argument).output().is_ok_and(|done| done.status.success())
    };
    if !works("mkfs.ext4", "-V") {
        return Some("mkfs.ext4 is not installed");
    }
    (!works("losetup", "--find")).then_some("there is no free loop device")
}

impl Disk {
    /// A new file system of that size in `directory`, mounted. Everything of its own is written, so that later writes
    /// are only those of the store.
    pub(super) fn make(directory: &Path, mib: u32) -> Self {
        let disk = Self { image: directory.join("image"), point: directory.join("disk") };
        fs::create_dir_all(&disk.point).unwrap();
        File::create(&disk.image).unwrap().set_len(u64::from(mib) << 20).unwrap();
        let now = "lazy_itable_init=0,lazy_journal_init=0";
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-b", "4096", "-E", now]).arg(&disk.image));
        disk.mount();
        disk
    }

    /// Where it is mounted.
    pub(super) fn point(&self) -> &Path {
        &self.point
    }

    pub(super) fn mount(&self) {
        // No commit of the journal but those that are asked for.
        run(Command::new("mount").args(["-o", "loop,commit=600"]).arg(&self.image).arg(&self.point));
    }

    pub(super) fn unmount(&self) {
        umount(&self.point).unwrap();
    }

    /// Gives every block in use room in the image's own file system, and takes it from the free ones: when that file
    /// system is full, only new data fails, while journal and tables work on. Until the answer is dropped, requests are
    /// single pages: the loop device takes a write that was cut short for a success.
    pub(super) fn allocate(&self) -> SinglePages {
        self.unmount();
        let content = fs::read(&self.image).unwrap();
        // Written in place: zeros take room as well then.
        std::io::Write::write_all(&mut File::options().write(true).open(&self.image).unwrap(), &content).unwrap();
        self.mount();
        run(Command::new("fstrim").arg(&self.point));
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let mine = mounts.lines().find(|line| line.split(' ').nth(4).map(Path::new) == Some(self.point.as_path()));
        let device = mine.and_then(|line| line.split("/dev/").nth(1)?.split(' ').next()).unwrap();
        let limit = PathBuf::from(format!("/sys/block/{device}/queue/max_sectors_kb"));
        let before = fs::read_to_string(&limit).unwrap();
        fs::write(&limit, "4").unwrap();
        SinglePages { limit, before }
    }

    /// From here on nothing is written to the disk any more; whoever tries gets an I/O error.
    pub(super) fn cut_off(&self) {
        let point = File::open(&self.point).unwrap();
        // SAFETY: the descriptor is open and the kernel reads one u32.
        let done = unsafe { libc::ioctl(point.as_raw_fd(), EXT4_SHUTDOWN, &raw const NO_LOG_FLUSH) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// Copies what the disk has received so far; [`Disk::replace`] takes it.
    pub(super) fn received(&self) -> PathBuf {
        let copy = self.image.with_extension("copy");
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&copy));
        copy
    }

    /// The power is back: unmounts, and mounts what the disk had received.
    pub(super) fn replace(&self, received: &Path) {
        self.unmount();
        fs::rename(received, &self.image).unwrap();
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
    }
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
