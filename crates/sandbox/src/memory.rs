//! What the allocator of the C library keeps for the threads of a process.
#![expect(unsafe_code, reason = "a setting of the C library")]

/// Has all threads take memory from two arenas, where the C library is glibc (`mallopt`,
/// `M_ARENA_MAX`). It has nothing to do with sandboxes; it is here because nothing that is unsafe is
/// anywhere else.
pub fn few_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and may be called at any time by any thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}
