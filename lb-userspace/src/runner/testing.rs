//! Programs that exist for a test.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program of that text. Another process writes it: none that a test forks meanwhile holds it open then, which would keep it
/// from being run.
pub(crate) fn executable(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(&path).stdin(Stdio::piped());
    let mut writer = command.spawn().unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    path
}
