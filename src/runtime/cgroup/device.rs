//! Device rules on cgroup v2: a program that the kernel asks at every open and mknod of a device in a group.
//!
//! In: rules. Out: a program in the kernel, attached to a group's directory; it goes with the group.
//!
//! Holds: what no rule allows is refused, in groups below too, whatever is attached there. Rules for the same device are
//! one, as on v1: an open for reading and writing may need both.
//! Why no library: the program is a dozen instructions a rule, and libcgroups would bring a C library for it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const EVERYTHING: u32 = MKNOD | READ | WRITE;

/// What may be done with a device, or with every device of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceRule {
    /// `c` or `b`.
    pub(crate) kind: char,
    /// Every one where it is `None`.
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    access: u32,
}

impl DeviceRule {
    /// `access` has the letters of `rwm`.
    pub(crate) fn new(kind: char, major: Option<u32>, minor: Option<u32>, access: &str) -> Self {
        let bit = |letter| match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => 0,
        };
        Self { kind, major, minor, access: access.chars().map(bit).fold(0, |all, one| all | one) }
    }
}

/// Rules in the kernel, in force where they are attached.
pub(crate) struct DeviceProgram(OwnedFd);

impl DeviceProgram {
    /// # Errors
    /// When the kernel has no such programs, or we may not load any.
    pub(crate) fn load(rules: &[DeviceRule]) -> io::Result<Self> {
        let code = program(rules);
        match load(&code) {
            // Before 5.11 programs count as locked memory. What is raised here must not reach containers.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
                setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
                let loaded = load(&code);
                setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard)?;
                loaded
            }
            loaded => loaded,
        }
        .map(Self)
    }

    /// Keeps the processes of a v2 group to the rules, also those that are in it already.
    ///
    /// # Errors
    /// When the directory is no group, or the kernel refuses.
    pub(crate) fn attach(&self, directory: &Path) -> io::Result<()> {
        let group = File::open(directory)?;
        let request = Attach {
            target: group.as_raw_fd().cast_unsigned(),
            program: self.0.as_raw_fd().cast_unsigned(),
            kind: ATTACH_CGROUP_DEVICE,
            flags: ALLOW_MULTI,
        };
        // SAFETY: the request outlives the call, and its size is its own.
        unsafe { bpf(PROG_ATTACH, (&raw const request).cast(), size_of::<Attach>()) }.map(drop)
    }
}

/// Whether this kernel lets us keep groups of v2 to device rules.
pub(super) fn can_be_enforced() -> bool {
    DeviceProgram::load(&[]).is_ok()
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROGRAM_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// What is attached above and below is asked as well: all must allow.
const ALLOW_MULTI: u32 = 2;

/// The part of the kernel's `union bpf_attr` that a load needs.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn load(code: &[u64]) -> io::Result<OwnedFd> {
    let request = Load {
        kind: PROGRAM_CGROUP_DEVICE,
        instructions: u32::try_from(code.len()).map_err(io::Error::other)?,
        code: code.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel: 0,
        flags: 0,
    };
    // SAFETY: the request, the code and the licence outlive the call; their sizes are their own.
    let number = unsafe { bpf(PROG_LOAD, (&raw const request).cast(), size_of::<Load>()) }?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// # Safety
/// `request` must be what the command reads, `size` bytes of it, and all it points to.
unsafe fn bpf(command: libc::c_int, request: *const libc::c_void, size: usize) -> io::Result<libc::c_int> {
    // SAFETY: by the caller's word; the kernel copies the request.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, request, size) };
    if done < 0 { Err(io::Error::last_os_error()) } else { i32::try_from(done).map_err(io::Error::other) }
}

/// What the kernel calls block and character devices here.
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;

/// Registers: the result, one to work with (at first the question), and the question's parts.
const RESULT: u64 = 0;
const WORK: u64 = 1;
const KIND: u64 = 2;
const ACCESS: u64 = 3;
const MAJOR: u64 = 4;
const MINOR: u64 = 5;

/// Operations of the machine.
const LOAD_WORD: u64 = 0x61;
const AND: u64 = 0x54;
const SHIFT_RIGHT: u64 = 0x74;
const COPY: u64 = 0xbc;
const SET: u64 = 0xb7;
const SKIP_UNLESS: u64 = 0x55;
const SKIP_UNLESS_SAME: u64 = 0x5d;
const EXIT: u64 = 0x95;

const fn instruction(operation: u64, to: u64, from: u64, offset: u64, number: u32) -> u64 {
    operation | to << 8 | from << 12 | offset << 16 | (number as u64) << 32
}

/// The question's first word is `access << 16 | kind`; major and minor follow.
fn program(rules: &[DeviceRule]) -> Vec<u64> {
    let mut code = vec![
        instruction(LOAD_WORD, KIND, WORK, 0, 0),
        instruction(COPY, ACCESS, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, WORK, 4, 0),
        instruction(LOAD_WORD, MINOR, WORK, 8, 0),
    ];
    for rule in merged(rules) {
        append(&mut code, &rule);
    }
    code.extend([instruction(SET, RESULT, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)]);
    code
}

/// Tests that each skip the rest of the rule, and the answer yes.
fn append(code: &mut Vec<u64>, rule: &DeviceRule) {
    let kind = if rule.kind == 'b' { BLOCK } else { CHARACTER };
    let mut tests = vec![instruction(SKIP_UNLESS, KIND, 0, 0, kind)];
    if rule.access != EVERYTHING {
        tests.push(instruction(COPY, WORK, ACCESS, 0, 0));
        tests.push(instruction(AND, WORK, 0, 0, rule.access));
        tests.push(instruction(SKIP_UNLESS_SAME, WORK, ACCESS, 0, 0));
    }
    tests.extend(rule.major.map(|major| instruction(SKIP_UNLESS, MAJOR, 0, 0, major)));
    tests.extend(rule.minor.map(|minor| instruction(SKIP_UNLESS, MINOR, 0, 0, minor)));
    let answer = [instruction(SET, RESULT, 0, 0, 1), instruction(EXIT, 0, 0, 0, 0)];
    let count = tests.len();
    for (at, test) in tests.iter_mut().enumerate() {
        if matches!(*test & 0xff, SKIP_UNLESS | SKIP_UNLESS_SAME) {
            *test |= ((count - at - 1 + answer.len()) as u64) << 16;
        }
    }
    code.extend(tests);
    code.extend(answer);
}

fn merged(rules: &[DeviceRule]) -> Vec<DeviceRule> {
    let mut all: Vec<DeviceRule> = Vec::new();
    for rule in rules {
        let same = |one: &&mut DeviceRule| (one.kind, one.major, one.minor) == (rule.kind, rule.major, rule.minor);
        match all.iter_mut().find(same) {
            Some(found) => found.access |= rule.access,
            None => all.push(rule.clone()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    #[test]
    fn rules_for_the_same_device_are_one() {
        let rule = |access| DeviceRule::new('c', Some(1), Some(5), access);
        assert_eq!(merged(&[rule("r"), DeviceRule::new('b', None, None, "m"), rule("w")]).len(), 2);
        assert_eq!(merged(&[rule("r"), rule("mw")]), [rule("rwm")]);
    }

    /// A v2 group of its own, which is also there on hybrid hosts.
    struct Lab(PathBuf);

    impl Lab {
        fn new(name: &str) -> Option<Self> {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
            let Some(root) = line.and_then(|line| line.split(' ').nth(4)) else {
                eprintln!("SKIPPED: no cgroup2 is mounted");
                return None;
            };
            let group = PathBuf::from(root).join(format!("cove-device-{name}-{}", std::process::id()));
            match fs::create_dir(&group) {
                Ok(()) => Some(Self(group)),
                Err(error) => {
                    eprintln!("SKIPPED: needs root: {error}");
                    None
                }
            }
        }

        /// What a shell says that has moved into the group.
        fn say(&self, script: &str) -> String {
            let whole = format!("echo $$ > {}/cgroup.procs || exit; {script}", self.0.display());
            let done = Command::new("sh").args(["-c", &whole]).output().unwrap();
            String::from_utf8_lossy(&done.stdout).into_owned()
        }
    }

    impl Drop for Lab {
        fn drop(&mut self) {
            let _ = fs::remove_dir(&self.0);
        }
    }

    const SCRIPT: &str = "head -c 1 /dev/zero > /dev/null && echo zero read; (: > /dev/zero) 2> /dev/null && echo zero written; \
        (: <> /dev/zero) 2> /dev/null && echo zero both; (: < /dev/full) 2> /dev/null && echo full read; \
        mknod $D/full c 1 7 2> /dev/null && echo full made; (: < $D/full) 2> /dev/null && echo made full read; \
        mknod $D/loop b 7 7 2> /dev/null && echo block made";

    #[test]
    fn the_kernel_refuses_what_no_rule_allows() {
        let Some(lab) = Lab::new("rules") else { return };
        let scratch = tempfile::tempdir().unwrap();
        let script = format!("D={}; {SCRIPT}", scratch.path().display());
        let free = lab.say(&script);
        assert_eq!(free, "zero read\nzero written\nzero both\nfull read\nfull made\nmade full read\nblock made\n");
        fs::remove_file(scratch.path().join("full")).unwrap();
        fs::remove_file(scratch.path().join("loop")).unwrap();
        let null = DeviceRule::new('c', Some(1), Some(3), "rwm");
        let rules = [null.clone(), DeviceRule::new('c', Some(1), Some(5), "r"), DeviceRule::new('c', None, None, "m")];
        DeviceProgram::load(&rules).unwrap().attach(&lab.0).unwrap();
        assert_eq!(lab.say(&script), "zero read\nfull made\n");
        // A second program cannot allow what the first does not.
        let all = [DeviceRule::new('c', None, None, "rwm"), DeviceRule::new('b', None, None, "rwm")];
        DeviceProgram::load(&all).unwrap().attach(&lab.0).unwrap();
        fs::remove_file(scratch.path().join("full")).unwrap();
        assert_eq!(lab.say(&script), "zero read\nfull made\n");
    }

    #[test]
    fn reading_and_writing_may_come_from_two_rules() {
        let Some(lab) = Lab::new("merged") else { return };
        let zero = |access| DeviceRule::new('c', Some(1), Some(5), access);
        let rules = [DeviceRule::new('c', Some(1), Some(3), "rw"), zero("r"), zero("w")];
        DeviceProgram::load(&rules).unwrap().attach(&lab.0).unwrap();
        let said = lab.say(&format!("D=/nowhere; {SCRIPT}"));
        assert_eq!(said, "zero read\nzero written\nzero both\n");
    }
}
