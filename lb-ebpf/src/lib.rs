//! The packet path, in the order a packet takes it. Builds for the kernel and for the host.
#![no_std]
