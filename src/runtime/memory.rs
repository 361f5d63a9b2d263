//! What the C library's allocator keeps for itself: a process that lives for months should not stay as large as its
//! busiest moment.

/// Heaps that threads share. The library's own choice is eight per core, and each keeps the holes that a burst left.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 4;

/// Bytes that a heap may keep at its end. The library's 128 KiB go back and forth between it and the kernel, zeroed each time,
/// while bodies stream: an eighth of what a push costs. [`trim`] takes them when the server is at rest.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: libc::c_int = 4 << 20;

/// Keeps the number of heaps small and their ends steady. To be called before the first thread starts.
pub fn share_heaps() {
    // SAFETY: takes two integers; what it refuses stays as it was.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
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
