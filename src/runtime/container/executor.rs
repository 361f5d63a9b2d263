//! What runs inside the new process between libcontainer's set-up and the container's program.
//!
//! Holds: a refusal of the kernel or a missing program reaches the shim through a pipe that a successful exec closes.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};

use crate::program::Program;
use crate::restriction::{self, Restriction};

/// Restricts itself, then becomes the program. The descriptor is only a number: the process that uses it is a fork of
/// the one that owns it.
#[derive(Clone)]
pub(super) struct RestrictedExecutor {
    pub(super) program: Rc<Program>,
    /// Under an init of ours this is what the init will run.
    pub(super) checked: Rc<Program>,
    pub(super) restriction: Rc<Restriction>,
    pub(super) is_root: bool,
    pub(super) errors: RawFd,
}

impl RestrictedExecutor {
    fn tell(&self, text: &str) {
        // SAFETY: a write of a live buffer to a descriptor that this fork inherited; nobody closed it before exec.
        unsafe { libc::write(self.errors, text.as_ptr().cast(), text.len()) };
    }
}

impl Executor for RestrictedExecutor {
    fn exec(&self, _spec: &Spec) -> Result<(), ExecutorError> {
        restriction::reset_signals();
        let text = match self.restriction.apply(self.is_root) {
            Ok(()) => self.program.explain(&self.program.execute()),
            Err(error) => format!("cannot restrict the process: {error}"),
        };
        self.tell(&text);
        Err(ExecutorError::Other(text))
    }

    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.checked.check().map_err(|text| {
            self.tell(&text);
            ExecutorValidationError::ArgValidationError(text)
        })
    }

    /// The environment goes straight to execve.
    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}
