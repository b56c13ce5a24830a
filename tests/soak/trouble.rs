//! What befalls the site: one thing every few seconds, and each is undone before the next. Which and when depends on the seed
//! alone.

use crate::site::{Site, Variant, WEBS};
use anyhow::{Context, Result, ensure};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// From one thing to the next, and from a thing to its end.
const BETWEEN: Duration = Duration::from_secs(2);
const LASTS: Duration = Duration::from_secs(3);

/// What can befall it.
#[derive(Clone, Copy, Debug)]
enum Event {
    Reload(Variant),
    Killed(&'static str),
    Frozen(&'static str),
    Drained(&'static str),
    Weighed(&'static str),
}

/// What happens next, and what has happened.
pub(crate) struct Trouble {
    random: fastrand::Rng,
    due: Instant,
    /// What is to be undone.
    now: Option<Event>,
    done: BTreeMap<&'static str, u64>,
}

impl Trouble {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), due: Instant::now() + BETWEEN, now: None, done: BTreeMap::new() }
    }

    /// Does what is due.
    pub(crate) fn step(&mut self, site: &mut Site) -> Result<()> {
        if Instant::now() < self.due {
            return Ok(());
        }
        if let Some(event) = self.now.take() {
            undo(event, site)?;
            self.due = Instant::now() + BETWEEN;
        } else {
            let event = self.any();
            *self.done.entry(event.name()).or_default() += 1;
            befall(event, site)?;
            self.now = Some(event);
            self.due = Instant::now() + LASTS;
        }
        Ok(())
    }

    /// Undoes what lasts; says what there was.
    pub(crate) fn end(mut self, site: &mut Site) -> Result<String> {
        if let Some(event) = self.now.take() {
            undo(event, site)?;
        }
        Ok(self.done())
    }

    /// What there was.
    pub(crate) fn done(&self) -> String {
        let counts: Vec<_> = self.done.iter().map(|(name, count)| format!("{name} {count}")).collect();
        counts.join(", ")
    }

    fn any(&mut self) -> Event {
        let server = *self.random.choice(&WEBS).unwrap_or(&WEBS[0]);
        match self.random.u8(..10) {
            0 => Event::Killed(server),
            1 => Event::Frozen(server),
            2 => Event::Drained(server),
            3 => Event::Weighed(server),
            4 | 5 => Event::Reload(Variant::More),
            6 | 7 => Event::Reload(Variant::Weights),
            8 => Event::Reload(Variant::Fewer),
            _ => Event::Reload(Variant::Broken),
        }
    }
}

impl Event {
    const fn name(self) -> &'static str {
        match self {
            Self::Reload(Variant::Broken) => "refused reloads",
            Self::Reload(_) => "reloads there and back",
            Self::Killed(_) => "kills",
            Self::Frozen(_) => "stops in mid-air",
            Self::Drained(_) => "drains",
            Self::Weighed(_) => "other weights",
        }
    }
}

fn befall(event: Event, site: &mut Site) -> Result<()> {
    match event {
        Event::Reload(variant) => {
            let taken = site.reload(variant)?;
            ensure!(
                taken == (variant != Variant::Broken),
                "a reload ended wrongly: {variant:?}\n{}",
                site.sluice.log()
            );
        }
        Event::Killed(server) => site.lose(server)?,
        Event::Frozen(server) => site.freeze(server)?,
        Event::Drained(server) => both(site, "drain", server, None)?,
        Event::Weighed(server) => both(site, "weight", server, Some("30%"))?,
    }
    Ok(())
}

fn undo(event: Event, site: &mut Site) -> Result<()> {
    match event {
        Event::Reload(_) => ensure!(site.reload(Variant::First)?, "the way back was refused:\n{}", site.sluice.log()),
        Event::Killed(server) => site.regain(server)?,
        Event::Frozen(server) => site.thaw(server)?,
        Event::Drained(server) => both(site, "ready", server, None)?,
        Event::Weighed(server) => both(site, "weight", server, Some("100%"))?,
    }
    Ok(())
}

/// A wish for the server in both backends.
fn both(site: &Site, wish: &str, server: &str, amount: Option<&str>) -> Result<()> {
    for backend in ["echo", "web"] {
        let name = format!("{backend}/{server}");
        let arguments: Vec<_> = ["server", wish, name.as_str()].into_iter().chain(amount).collect();
        site.sluice.command(&arguments).context("a wish")?;
    }
    Ok(())
}
