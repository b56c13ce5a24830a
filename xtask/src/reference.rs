//! `reference`: writes what is generated below `lb-userspace/docs`. The same unit test of the daemon, run without this, fails where
//! that lags behind the code.

use anyhow::Result;

use crate::run::{cargo, run};

/// Has the daemon's library write it: only its tests know metrics that have some of everything, and how to read its source.
pub(crate) fn write() -> Result<()> {
    run(cargo()
        .args(["test", "--locked", "--quiet", "--package=lb-userspace", "--lib", "reference::what_is_in_docs"])
        .env("SLUICE_REFERENCE", "write"))
}
