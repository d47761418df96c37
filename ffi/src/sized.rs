//! Structures that say their size themselves, so that a program and a library of different ages understand each other.
#![allow(unsafe_code)]

use std::ptr;

use crate::status::{RINGTAIL_E2BIG, RINGTAIL_EINVAL, ringtail_status_t};

/// No structure of this or a later version is larger, in bytes.
const LARGEST: usize = 4096;

/// A structure whose first field is its size: `u32`, as the program knows it.
///
/// # Safety
/// `repr(C)`, of integers and raw pointers only (so that all zeros are legal), and `struct_size: u32` comes first.
pub(crate) unsafe trait SaysSize: Copy {
    /// Bytes without which it is of no use.
    const LEAST: usize;
}

fn size_said<T: SaysSize>(at: *const T) -> Result<usize, ringtail_status_t> {
    if at.is_null() || !at.is_aligned() {
        return Err(RINGTAIL_EINVAL);
    }
    // SAFETY: the first field is there whatever the structure's age; the host's promise.
    let said = unsafe { at.cast::<u32>().read() } as usize;
    if (T::LEAST..=LARGEST).contains(&said) { Ok(said) } else { Err(RINGTAIL_EINVAL) }
}

/// Whether the host's structure can be written.
pub(crate) fn check<T: SaysSize>(to: *const T) -> Result<(), ringtail_status_t> {
    size_said(to).map(drop)
}

/// Writes `value` to the host's structure, as far as it goes; what a newer program has beyond it becomes zero. The size
/// stays as the host set it.
///
/// # Safety
/// `to` is NULL, misaligned, or points to as many writable bytes as its first field says.
pub(crate) unsafe fn write<T: SaysSize>(to: *mut T, value: &T) -> Result<(), ringtail_status_t> {
    let said = size_said(to)?;
    let (skip, own) = (size_of::<u32>(), size_of::<T>());
    let both = said.min(own);
    let (from, to) = (ptr::from_ref(value).cast::<u8>(), to.cast::<u8>());
    // SAFETY: `said` bytes are writable, of which `skip..both` are copied from the `own` ones of `value` and `both..said`
    // are set to zero; the host's memory is not ours.
    unsafe {
        ptr::copy_nonoverlapping(from.add(skip), to.add(skip), both - skip);
        ptr::write_bytes(to.add(both), 0, said - both);
    }
    Ok(())
}

/// Reads the host's structure; what an older program does not have is zero. Where a newer one has set what this version does
/// not know, that is refused rather than ignored.
///
/// # Safety
/// `from` is NULL, misaligned, or points to as many readable, initialised bytes as its first field says.
pub(crate) unsafe fn read<T: SaysSize>(from: *const T) -> Result<T, ringtail_status_t> {
    let said = size_said(from)?;
    let own = size_of::<T>();
    // SAFETY: all zeros are a legal `T` (the trait's promise); `said` bytes are readable, and as many as both have are
    // copied.
    let value = unsafe {
        let mut value = std::mem::zeroed::<T>();
        ptr::copy_nonoverlapping(from.cast::<u8>(), ptr::from_mut(&mut value).cast(), said.min(own));
        value
    };
    // SAFETY: bytes `own..said` of the host's structure.
    let unknown = (own..said).any(|at| unsafe { *from.cast::<u8>().add(at) } != 0);
    if unknown { Err(RINGTAIL_E2BIG) } else { Ok(value) }
}
