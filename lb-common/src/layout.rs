//! Pins the layout of what lies in a map, at compile time.

/// Fails the build when a row's size or a field's offset is not the one written here.
///
/// A failing assert means that the map ABI changed: raise [`ABI_VERSION`](crate::maps::ABI_VERSION).
macro_rules! map_type {
    ($ty:ty, size = $size:literal, { $($field:ident = $at:literal),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$ty>() == $size);
            $(assert!(core::mem::offset_of!($ty, $field) == $at);)*
        };
    };
}
pub(crate) use map_type;
