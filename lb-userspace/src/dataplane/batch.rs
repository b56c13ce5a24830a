//! Reads hash maps and arrays, and empties hash maps, many entries a system call: aya does one entry in two calls.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper for these commands")]

use bytemuck::{Pod, Zeroable};
use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

/// `BPF_MAP_LOOKUP_BATCH`, `BPF_MAP_UPDATE_BATCH` and `BPF_MAP_DELETE_BATCH` of `enum bpf_cmd` (uapi/linux/bpf.h), since Linux
/// 5.6.
const LOOKUP: i32 = 24;
const UPDATE: i32 = 26;
const DELETE: i32 = 27;
/// Entries of the first try; more where a bucket of the map holds more.
const AT_ONCE: usize = 4_096;

/// `batch` of `union bpf_attr`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Shows all entries of a hash map or an array whose keys and values have these sizes. An entry that is there from the
/// beginning to the end is shown once.
pub(super) fn each<K: Pod, V: Pod>(map: BorrowedFd<'_>, mut see: impl FnMut(K, V)) -> io::Result<()> {
    let (mut keys, mut values) = (vec![K::zeroed(); AT_ONCE], vec![V::zeroed(); AT_ONCE]);
    // The kernel's place in the map: a number of a bucket, or of an element.
    let (mut place, mut next) = (None::<u32>, 0_u32);
    loop {
        let mut attributes = Attributes {
            in_batch: place.as_ref().map_or(0, |place| std::ptr::from_ref(place) as u64),
            out_batch: &raw mut next as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            map: number(map)?,
            ..Attributes::zeroed()
        };
        // SAFETY: `keys` and `values` have room for `count` entries of the sizes that `Shape` has checked, and a place in a
        // map of either kind is 4 bytes long; all of them live until the call is over.
        let done = unsafe { call(LOOKUP, &mut attributes) };
        let at_end = match done {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            // A bucket holds more entries than there is room for.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                keys.resize(keys.len() * 2, K::zeroed());
                values.resize(values.len() * 2, V::zeroed());
                continue;
            }
            Err(error) => return Err(error),
        };
        keys.iter().zip(&values).take(attributes.count as usize).for_each(|(key, value)| see(*key, *value));
        if at_end {
            return Ok(());
        }
        place = Some(next);
    }
}

/// The first element of an array whose values have that many bytes, as the kernel describes it.
pub(super) fn first(map: BorrowedFd<'_>, bytes: usize) -> io::Result<Vec<u8>> {
    let (mut key, mut value, mut next) = (0_u32, vec![0_u8; bytes], 0_u32);
    let mut attributes = Attributes {
        out_batch: &raw mut next as u64,
        keys: &raw mut key as u64,
        values: value.as_mut_ptr() as u64,
        count: 1,
        map: number(map)?,
        ..Attributes::zeroed()
    };
    // SAFETY: there is room for one key of an array and for one value of the size that the caller was told by the kernel, and
    // all of it lives until the call is over.
    let done = unsafe { call(LOOKUP, &mut attributes) };
    // It was the last one as well.
    if let Err(error) = done
        && error.raw_os_error() != Some(libc::ENOENT)
    {
        return Err(error);
    }
    if attributes.count == 1 { Ok(value) } else { Err(io::Error::other("the array is empty")) }
}

/// Inserts entries, in place of those that are there under the same keys. A hash map that is full takes no more, which is an error.
pub(super) fn insert<K: Pod, V: Pod>(map: BorrowedFd<'_>, entries: &[(K, V)]) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let (keys, values): (Vec<K>, Vec<V>) = entries.iter().copied().unzip();
    let mut attributes = Attributes {
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
        map: number(map)?,
        ..Attributes::zeroed()
    };
    // SAFETY: there are `count` keys and values of the sizes that `Shape` has checked, and they live until the call is over.
    unsafe { call(UPDATE, &mut attributes) }
}

/// Removes these entries; one that is not there any more is passed over.
pub(super) fn remove<K: Pod>(map: BorrowedFd<'_>, mut keys: &[K]) -> io::Result<()> {
    while !keys.is_empty() {
        let mut attributes = Attributes {
            keys: keys.as_ptr() as u64,
            count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            map: number(map)?,
            ..Attributes::zeroed()
        };
        // SAFETY: there are `count` keys of the size that `Shape` has checked, and they live until the call is over.
        match unsafe { call(DELETE, &mut attributes) } {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                keys = keys.get(attributes.count as usize + 1..).unwrap_or_default();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn number(map: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(map.as_raw_fd()).map_err(io::Error::other)
}

/// # Safety
///
/// What the attributes point to must be as large as the command and the map take it to be.
unsafe fn call(command: i32, attributes: &mut Attributes) -> io::Result<()> {
    // SAFETY: the kernel reads and writes no more than the size given with the attributes, and what they point to is as
    // large as it must be: the caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<Attributes>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
