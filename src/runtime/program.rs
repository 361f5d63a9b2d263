//! A program about to be executed, with everything prepared before the fork: after it, nothing is looked up but the file.

use std::ffi::{CStr, CString, NulError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What Docker gives a container that does not say.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments, environment, and the files that may be meant by the first argument, in order.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    candidates: Vec<CString>,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// Prepares a program. A name without a slash is looked for along the environment's `PATH`.
    ///
    /// # Errors
    /// When an argument or variable holds a zero byte.
    pub fn new(args: &[String], env: &[String]) -> Result<Self, NulError> {
        let name = args.first().cloned().unwrap_or_default();
        let path = value(env, "PATH").unwrap_or(DEFAULT_PATH);
        let candidates = if name.contains('/') {
            vec![CString::new(name.as_str())?]
        } else {
            // An empty element is the working directory, as everywhere.
            let join = |part: &str| {
                CString::new(Path::new(if part.is_empty() { "." } else { part }).join(&name).as_os_str().as_bytes())
            };
            path.split(':').map(join).collect::<Result<_, _>>()?
        };
        let all = |list: &[String]| list.iter().map(|one| CString::new(one.as_str())).collect::<Result<Vec<_>, _>>();
        Ok(Self { name, candidates, args: all(args)?, env: all(env)? })
    }

    /// Looks for the file without running it; the text is Docker's.
    ///
    /// # Errors
    /// Why it cannot be run.
    pub fn check(&self) -> Result<(), String> {
        let mut found = io::Error::from_raw_os_error(libc::ENOENT);
        for candidate in &self.candidates {
            match executable(candidate) {
                Ok(()) => return Ok(()),
                Err(error) => found = worse(found, error),
            }
        }
        Err(self.explain(&found))
    }

    /// Becomes the program; returns only on failure. Does not allocate before that.
    #[must_use]
    pub fn execute(&self) -> io::Error {
        let args: Vec<*const libc::c_char> = pointers(&self.args);
        let env: Vec<*const libc::c_char> = pointers(&self.env);
        let mut found = io::Error::from_raw_os_error(libc::ENOENT);
        for candidate in &self.candidates {
            // SAFETY: both lists end with a null pointer and live until the call returns.
            unsafe { libc::execve(candidate.as_ptr(), args.as_ptr(), env.as_ptr()) };
            found = worse(found, io::Error::last_os_error());
        }
        found
    }

    /// An error of [`Program::execute`] in Docker's words.
    #[must_use]
    pub fn explain(&self, error: &io::Error) -> String {
        let name = &self.name;
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) if name.contains('/') => {
                format!("exec: \"{name}\": stat {name}: no such file or directory")
            }
            Some(libc::ENOENT | libc::ENOTDIR) => format!("exec: \"{name}\": executable file not found in $PATH"),
            Some(libc::EACCES) => format!("exec: \"{name}\": permission denied"),
            Some(libc::EISDIR) => format!("exec: \"{name}\": is a directory"),
            Some(libc::ENOEXEC) => format!("exec {name}: exec format error"),
            Some(_) | None => format!("exec {name}: {error}"),
        }
    }
}

/// The last value of a variable.
#[must_use]
pub fn value<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter().rev().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// One entry per variable: the last wins, at the place of the first.
#[must_use]
pub fn deduplicated(env: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut result: Vec<String> = Vec::new();
    for entry in env {
        let name = entry.split('=').next().unwrap_or_default().len() + 1;
        match result.iter_mut().find(|one| one.get(..name) == entry.get(..name)) {
            Some(earlier) => *earlier = entry,
            None => result.push(entry),
        }
    }
    result
}

fn pointers(list: &[CString]) -> Vec<*const libc::c_char> {
    list.iter().map(|one| one.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}

/// A file that is there but cannot be run says more than one that is not there.
fn worse(known: io::Error, new: io::Error) -> io::Error {
    if matches!(new.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) { known } else { new }
}

fn executable(path: &CStr) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())))?;
    if meta.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, env: &[&str]) -> Program {
        let env: Vec<String> = env.iter().map(ToString::to_string).collect();
        Program::new(&[name.to_owned()], &env).unwrap()
    }

    #[test]
    fn a_program_is_found_along_the_path_or_the_refusal_is_dockers() {
        program("sh", &["PATH=/nonexistent:/bin"]).check().unwrap();
        let missing = program("no-such", &[]).check().unwrap_err();
        assert_eq!(missing, "exec: \"no-such\": executable file not found in $PATH");
        assert_eq!(program("/etc/passwd", &[]).check().unwrap_err(), "exec: \"/etc/passwd\": permission denied");
        assert_eq!(program("/etc", &[]).check().unwrap_err(), "exec: \"/etc\": is a directory");
    }

    #[test]
    fn the_last_of_two_values_wins() {
        let env = ["A=1", "B=2", "A=3"].map(ToOwned::to_owned);
        assert_eq!(deduplicated(env.clone()), ["A=3", "B=2"]);
        assert_eq!(value(&env, "A"), Some("3"));
    }
}
