//! The bridge from `lb-common`, which knows no aya, to aya's maps.
#![expect(unsafe_code, reason = "aya::Pod is an unsafe trait; this is its only implementation")]

/// A key or value of a map on its way to or from the kernel.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Raw<T>(pub T);

// SAFETY: `bytemuck::Pod` proves that there is no padding and that every bit pattern is valid.
unsafe impl<T: bytemuck::Pod> aya::Pod for Raw<T> {}
