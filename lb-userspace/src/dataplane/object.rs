//! The kernel object that the build put into this binary.

/// What `build.rs` left in `OUT_DIR`, at an address that an ELF reader may use.
static EMBEDDED: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb-ebpf"));

/// This binary has no kernel object inside.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("this binary was built with SLUICE_EBPF_SKIP and has no kernel object inside; build it again without")]
pub struct NoObject;

/// The kernel object: an ELF file for BPF with BTF maps.
pub fn object() -> Result<&'static [u8], NoObject> {
    present(EMBEDDED)
}

fn present(embedded: &[u8]) -> Result<&[u8], NoObject> {
    if embedded.is_empty() { Err(NoObject) } else { Ok(embedded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_built_without_the_object_says_so() {
        assert_eq!(present(&[]), Err(NoObject));
        assert_eq!(present(b"\x7fELF"), Ok(b"\x7fELF".as_slice()));
    }
}
