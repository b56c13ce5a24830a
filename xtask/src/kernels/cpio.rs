//! Archives in the form that the kernel unpacks as its first file system: `newc`, of
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::BTreeSet;
use std::path::Path;

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

/// An archive in the making. All in it belongs to root, and everybody may read and execute it.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    /// What is in it already; a file may be asked for twice.
    names: BTreeSet<String>,
}

impl Archive {
    /// Puts a directory in, and those above it.
    pub(super) fn directory(&mut self, path: &Path) {
        if let Some(above) = path.parent() {
            self.directory(above);
        }
        self.entry(path, DIRECTORY, &[]);
    }

    /// Puts a file in, and the directories above it.
    pub(super) fn file(&mut self, path: &Path, content: &[u8]) {
        if let Some(above) = path.parent() {
            self.directory(above);
        }
        self.entry(path, EXECUTABLE, content);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.put("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let name = path.to_string_lossy().trim_start_matches('/').to_owned();
        if !name.is_empty() && self.names.insert(name.clone()) {
            self.put(&name, mode, content);
        }
    }

    fn put(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let field = |number: usize| u32::try_from(number).unwrap_or(u32::MAX); // the kernel refuses what is larger
        // Inode, mode, user, group, links, time, size, four device numbers, length of the name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, field(content.len()), 0, 0, 0, 0, field(name.len() + 1), 0];
        self.bytes.extend_from_slice(b"070701");
        self.bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and content of every entry.
    fn read(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut at = 0;
        while at < archive.len() {
            let field = |number: usize| {
                let from = at + 6 + 8 * number;
                u32::from_str_radix(std::str::from_utf8(&archive[from..from + 8]).unwrap(), 16).unwrap()
            };
            assert_eq!(&archive[at..at + 6], b"070701");
            let (size, length) = (field(6) as usize, field(11) as usize);
            let name = String::from_utf8(archive[at + 110..at + 110 + length - 1].to_vec()).unwrap();
            let content = (at + 110 + length).next_multiple_of(4);
            entries.push((name, field(1), archive[content..content + size].to_vec()));
            at = (content + size).next_multiple_of(4);
        }
        entries
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_nothing_comes_twice() {
        let mut archive = Archive::default();
        archive.file(Path::new("/lib/x/libc.so"), b"12345");
        archive.file(Path::new("/lib/libm.so"), b"");
        archive.file(Path::new("/lib/x/libc.so"), b"12345");
        let wanted: [(&str, u32, &[u8]); 5] = [
            ("lib", DIRECTORY, b""),
            ("lib/x", DIRECTORY, b""),
            ("lib/x/libc.so", EXECUTABLE, b"12345"),
            ("lib/libm.so", EXECUTABLE, b""),
            ("TRAILER!!!", 0, b""),
        ];
        assert_eq!(read(&archive.finish()), wanted.map(|(name, mode, content)| (name.into(), mode, content.into())));
    }
}
