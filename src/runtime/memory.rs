//! What the C library's allocator keeps for itself: a process that lives for months should not stay as large as its
//! busiest moment.

/// Heaps that threads share. The library's own choice is eight per core, and each keeps the holes that a burst left.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 4;

/// Keeps the number of heaps small. To be called before the first thread starts.
pub fn share_heaps() {
    // SAFETY: takes two integers; what it refuses stays as it was.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// Gives free pages back to the kernel: a millisecond or so, less when there are none.
pub fn trim() {
    // SAFETY: takes no pointers.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
