//! Waiting for something to come true, with a bound.

use anyhow::{Context, Result, bail};
use std::{thread, time::Duration};
use tokio::time::Instant;

/// How often [`until`] looks. Small against every interval that is measured with it.
pub const LOOK: Duration = Duration::from_millis(5);

/// Looks until there is something to see. An error while looking counts as "not yet", and is shown if time runs out.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = look();
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            let late = format!("{what}: not within {limit:?}");
            return match seen {
                Err(error) => Err(error).context(late),
                Ok(_) => bail!(late),
            };
        }
        thread::sleep(LOOK);
    }
}
