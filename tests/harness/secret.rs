//! Files with secrets, as the daemon takes them: closed to others.

use anyhow::{Context as _, Result};
use std::{fs::File, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

/// Writes a file that its owner alone may read.
pub fn keep(path: &Path, secret: impl AsRef<[u8]>) -> Result<()> {
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(secret.as_ref())).with_context(|| path.display().to_string())
}
