//! Who rises, and when the next step is due. Times count from any moment that stays the same. Pure.

use super::{STEPS, Throttle};
use crate::{
    model::{Backend, Model},
    servers::Standing,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Steps of a server keep this distance.
const SHORTEST: Duration = Duration::from_millis(100);

/// All servers with a `slowstart`, by their [identity](crate::model::Server::identity). As with HAProxy one rises that
/// comes back, from failed checks or from maintenance; not one that is new, nor one that a configuration brings back.
#[derive(Debug, Default)]
pub struct Rising {
    servers: BTreeMap<u64, Server>,
    due: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    slowstart: Duration,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// It is down, or in maintenance.
    Out,
    /// It came up at that time, and takes its next step then.
    Rising { since: Duration, next: Duration },
    /// It has its full share.
    Risen,
}

impl Rising {
    /// Takes over a configuration. Who rises goes on.
    pub fn configure(&mut self, model: &Model, standing: impl Fn(u64) -> Standing, now: Duration) {
        let mut old = std::mem::take(&mut self.servers);
        for backend in &model.backends {
            for server in &backend.servers {
                let Some(slowstart) = server.slowstart else { continue };
                let identity = server.identity(&backend.name);
                let stage = match (standing(identity).keeps_existing(), old.remove(&identity)) {
                    (false, _) => Stage::Out,
                    (true, Some(Server { stage: Stage::Rising { since, .. }, .. })) => Stage::at(since, slowstart, now),
                    (true, _) => Stage::Risen,
                };
                self.servers.insert(identity, Server { slowstart, stage });
            }
        }
        self.look_for_next();
    }

    /// Notes how the servers of a backend stand now: one that was out and is no more begins to rise.
    pub fn note(&mut self, backend: &Backend, standing: impl Fn(u64) -> Standing, now: Duration) {
        for server in backend.servers.iter().filter(|server| server.slowstart.is_some()) {
            let identity = server.identity(&backend.name);
            let Some(known) = self.servers.get_mut(&identity) else { continue };
            match (standing(identity).keeps_existing(), known.stage) {
                (false, _) => known.stage = Stage::Out,
                (true, Stage::Out) => known.stage = Stage::at(now, known.slowstart, now),
                (true, Stage::Rising { .. } | Stage::Risen) => {}
            }
        }
        self.look_for_next();
    }

    /// What a server takes now, if less than its full share.
    pub fn throttle(&self, identity: u64, now: Duration) -> Option<Throttle> {
        let server = self.servers.get(&identity)?;
        let Stage::Rising { since, .. } = server.stage else { return None };
        Some(Throttle::at(now.saturating_sub(since), server.slowstart)).filter(|throttle| throttle.percent() < STEPS)
    }

    /// When [`step`](Self::step) wants to be called; `None`: nobody rises.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Whose steps are due.
    pub fn step(&mut self, now: Duration) -> BTreeSet<u64> {
        let mut stepped = BTreeSet::new();
        for (identity, server) in &mut self.servers {
            if let Stage::Rising { since, next } = server.stage
                && next <= now
            {
                server.stage = Stage::at(since, server.slowstart, now);
                stepped.insert(*identity);
            }
        }
        self.look_for_next();
        stepped
    }

    fn look_for_next(&mut self) {
        let next = |server: &Server| match server.stage {
            Stage::Rising { next, .. } => Some(next),
            Stage::Out | Stage::Risen => None,
        };
        self.due = self.servers.values().filter_map(next).min();
    }
}

impl Stage {
    /// That of a server that came up at `since`. Servers take their steps at multiples of these, so that those that come up
    /// together do not have all tables made anew for each of them.
    fn at(since: Duration, slowstart: Duration, now: Duration) -> Self {
        let end = since.saturating_add(slowstart);
        if end <= now {
            return Self::Risen;
        }
        let step = (slowstart / u32::from(STEPS)).max(SHORTEST).as_nanos();
        let next = u64::try_from((now.as_nanos() / step + 1) * step).map_or(end, Duration::from_nanos);
        Self::Rising { since, next: next.min(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::testing::{backend, model, servers},
        servers::{Admin, Health},
    };

    const DOWN: Standing = Standing { admin: Admin::Ready, health: Health::Down, weightless: false };
    const UP: Standing = Standing { admin: Admin::Ready, health: Health::Up, weightless: false };
    const DRAIN: Standing = Standing { admin: Admin::Drain, health: Health::Up, weightless: false };
    const MAINT: Standing = Standing { admin: Admin::Maint, health: Health::Up, weightless: false };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A backend with a server that takes that long.
    fn web(slowstart: Option<u64>) -> Model {
        let mut web = backend("web", servers(1));
        web.servers[0].slowstart = slowstart.map(seconds);
        model(vec![web], vec![])
    }

    fn percent(rising: &Rising, model: &Model, now: Duration) -> Option<u8> {
        let identity = model.backends[0].servers[0].identity("web");
        rising.throttle(identity, now).map(Throttle::percent)
    }

    fn note(rising: &mut Rising, model: &Model, standing: Standing, now: u64) {
        rising.note(&model.backends[0], |_| standing, seconds(now));
    }

    #[test]
    fn who_comes_back_rises_in_a_hundred_steps_and_then_no_more() {
        let (mut rising, model) = (Rising::default(), web(Some(50)));
        rising.configure(&model, |_| UP, seconds(1_000));
        assert_eq!((rising.due(), percent(&rising, &model, seconds(1_000))), (None, None), "not at the start");
        note(&mut rising, &model, DOWN, 1_010);
        assert_eq!(rising.due(), None);
        note(&mut rising, &model, UP, 1_020);
        note(&mut rising, &model, UP, 1_020);
        let (mut steps, mut last) = (0, 1);
        while let Some(due) = rising.due() {
            assert!(rising.step(due.saturating_sub(Duration::from_nanos(1))).is_empty());
            assert_eq!(rising.step(due).len(), 1);
            steps += 1;
            let now = percent(&rising, &model, due).unwrap_or(100);
            assert_eq!(now, last + 1 - u8::from(steps == 1), "step {steps}");
            last = now;
        }
        assert_eq!((steps, last), (100, 100));
    }

    #[test]
    fn maintenance_ends_like_a_failure_and_draining_does_not() {
        let (mut rising, model) = (Rising::default(), web(Some(10)));
        rising.configure(&model, |_| UP, seconds(0));
        for (standing, expected) in
            [(DRAIN, None), (UP, None), (MAINT, None), (DRAIN, Some(1)), (UP, Some(1)), (DOWN, None), (UP, Some(1))]
        {
            note(&mut rising, &model, standing, 1);
            assert_eq!(percent(&rising, &model, seconds(1)), expected, "{standing:?}");
        }
        note(&mut rising, &model, DOWN, 3);
        note(&mut rising, &model, UP, 4);
        assert_eq!(percent(&rising, &model, seconds(9)), Some(50), "it begins anew");
    }

    #[test]
    fn a_configuration_lets_go_on_who_rises_and_makes_nobody_rise() {
        let mut rising = Rising::default();
        rising.configure(&web(Some(10)), |_| DOWN, seconds(0));
        rising.configure(&web(Some(10)), |_| UP, seconds(1));
        assert_eq!(percent(&rising, &web(Some(10)), seconds(1)), None, "it is checked no more");
        note(&mut rising, &web(Some(10)), DOWN, 2);
        note(&mut rising, &web(Some(10)), UP, 3);
        rising.configure(&web(Some(20)), |_| UP, seconds(8));
        assert_eq!(percent(&rising, &web(Some(20)), seconds(8)), Some(25));
        rising.configure(&web(Some(4)), |_| UP, seconds(8));
        assert_eq!(rising.due(), None, "it would have risen by now");
        rising.configure(&web(None), |_| UP, seconds(8));
        assert!(rising.servers.is_empty());
    }

    #[test]
    fn steps_are_shared_and_no_closer_than_a_tenth_of_a_second() {
        let mut web = backend("web", servers(2));
        (web.servers[0].slowstart, web.servers[1].slowstart) = (Some(seconds(2)), Some(seconds(2)));
        let model = model(vec![web], vec![]);
        let mut rising = Rising::default();
        rising.configure(&model, |_| DOWN, Duration::ZERO);
        let first = model.backends[0].servers[0].identity("web");
        let up = |identity| if identity == first { UP } else { DOWN };
        rising.note(&model.backends[0], up, Duration::from_millis(1_030));
        rising.note(&model.backends[0], |_| UP, Duration::from_millis(1_060));
        assert_eq!(rising.due(), Some(Duration::from_millis(1_100)));
        assert_eq!(rising.step(Duration::from_millis(1_110)).len(), 2);
        assert_eq!(rising.due(), Some(Duration::from_millis(1_200)));
        assert_eq!(rising.step(seconds(3)).len(), 2);
        assert_eq!(rising.due(), Some(Duration::from_millis(3_030)));
    }
}
