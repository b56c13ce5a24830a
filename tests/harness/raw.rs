//! Rows of maps on their way through aya, which has a `Pod` of its own.
#![expect(unsafe_code, reason = "aya's marker trait is unsafe to implement")]

/// A key or value of a map.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Raw<T>(pub T);

// SAFETY: bytemuck's `Pod` says that there is no padding and that every bit pattern is valid.
unsafe impl<T: bytemuck::Pod> aya::Pod for Raw<T> {}
