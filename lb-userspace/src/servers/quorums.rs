//! Which frontends have the quorum of their default backend. What it takes depends on whether they had it: so that is kept,
//! by name. A daemon that starts knows nothing of before and goes by the quorum itself.

use crate::model::{Backend, Frontend, Model};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    iter, mem,
};

/// Which frontends have their quorum.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Quorums(BTreeMap<String, bool>);

impl Quorums {
    /// Goes on with the frontends of `model`. `servers`: how many of a backend's take new traffic.
    pub fn update(&mut self, model: &Model, servers: impl Fn(&Backend) -> usize) {
        let mut before = mem::take(&mut self.0);
        self.0 = model
            .frontends
            .iter()
            .filter_map(|frontend| {
                let had = before.remove(&frontend.name);
                let servers = servers(model.backends.get(frontend.default_backend()?)?);
                Some((frontend.name.clone(), frontend.quorum.is_met(had, servers)))
            })
            .collect();
    }

    /// Takes into account that now so many servers of `backend` take new traffic. The frontends that have lost or regained
    /// their quorum by that.
    pub fn count<'a>(&mut self, model: &'a Model, backend: &Backend, servers: usize) -> Vec<&'a Frontend> {
        let mut changed = Vec::new();
        for frontend in frontends_of(model, backend) {
            if let Entry::Occupied(mut had) = self.0.entry(frontend.name.clone()) {
                let met = frontend.quorum.is_met(Some(*had.get()), servers);
                let differs = had.insert(met) != met;
                changed.extend(iter::once(frontend).filter(|_| differs));
            }
        }
        changed
    }

    /// Whether the frontend of that name has its quorum. One without a default backend needs none.
    pub fn is_met(&self, frontend: &str) -> bool {
        self.0.get(frontend).copied().unwrap_or(true)
    }
}

/// Which frontends have had their quorum of servers that were checked, since this process began. What is only believed of servers,
/// by the configuration or from before, gives no frontend the hysteresis.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Proven(BTreeSet<String>);

impl Proven {
    /// Forgets the frontends that `model` does not have.
    pub fn update(&mut self, model: &Model) {
        let names: BTreeSet<_> = model.frontends.iter().map(|frontend| &*frontend.name).collect();
        self.0.retain(|name| names.contains(&**name));
    }

    /// Takes into account that now so many servers of `backend` take new traffic and were checked.
    pub fn note(&mut self, model: &Model, backend: &Backend, checked: usize) {
        let new = frontends_of(model, backend).filter(|frontend| frontend.quorum.is_met(None, checked));
        self.0.extend(new.map(|frontend| frontend.name.clone()));
    }

    /// Whether so many are enough for a frontend: the first time by the quorum itself.
    pub fn is_met(&self, frontend: &Frontend, checked: usize) -> bool {
        frontend.quorum.is_met(self.0.contains(&frontend.name).then_some(true), checked)
    }
}

/// The frontends whose default `backend` is.
fn frontends_of<'a>(model: &'a Model, backend: &Backend) -> impl Iterator<Item = &'a Frontend> {
    let of = |frontend: &&Frontend| {
        let default = frontend.default_backend().and_then(|index| model.backends.get(index));
        default.is_some_and(|default| default.name == backend.name)
    };
    model.frontends.iter().filter(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Quorum, QuorumDown},
        plan::testing::{backend, bind, model, servers},
    };
    use lb_common::Protocol;

    /// Two frontends of one backend, of which the second needs three servers, give or take one.
    fn two() -> Model {
        let binds = ["192.0.2.1:80", "192.0.2.2:80"].map(|address| (bind(address, Protocol::Tcp), "web"));
        let mut model = model(vec![backend("web", servers(5))], binds.into());
        model.frontends[1].quorum = Quorum { servers: 3, hysteresis: 1, down: QuorumDown::Serve };
        model
    }

    #[test]
    fn each_frontend_has_a_quorum_of_its_own_and_changes_are_told_once() {
        let model = two();
        let mut quorums = Quorums::default();
        quorums.update(&model, |_| 5);
        let mut told = |servers| {
            let changed = quorums.count(&model, &model.backends[0], servers);
            changed.iter().map(|frontend| (frontend.name.clone(), quorums.is_met(&frontend.name))).collect::<Vec<_>>()
        };
        assert_eq!(told(2), []);
        assert_eq!(told(1), [("frontend1".to_owned(), false)]);
        assert_eq!(told(0), [("frontend0".to_owned(), false)]);
        assert_eq!(told(3), [("frontend0".to_owned(), true)], "within the hysteresis");
        assert_eq!(told(4), [("frontend1".to_owned(), true)]);
        assert_eq!(told(5), []);
    }

    #[test]
    fn a_reload_goes_on_with_what_was_and_a_start_by_the_quorum_itself() {
        let model = two();
        let mut quorums = Quorums::default();
        quorums.update(&model, |_| 3);
        assert!(quorums.is_met("frontend1"));
        quorums.update(&model, |_| 1);
        quorums.update(&model, |_| 3);
        assert!(!quorums.is_met("frontend1"));
        let mut fewer = model.clone();
        fewer.frontends.remove(1);
        quorums.update(&fewer, |_| 0);
        quorums.update(&model, |_| 3);
        assert!(quorums.is_met("frontend1"), "it was gone meanwhile");
    }

    #[test]
    fn without_a_default_backend_there_is_nothing_to_lose() {
        assert!(Quorums::default().is_met("redirects"));
    }

    #[test]
    fn the_first_time_the_quorum_takes_as_many_checked_servers_as_it_says_and_then_its_hysteresis() {
        let (model, mut proven) = (two(), Proven::default());
        let mut note = |checked| {
            proven.note(&model, &model.backends[0], checked);
            model.frontends.iter().map(|frontend| proven.is_met(frontend, checked)).collect::<Vec<_>>()
        };
        assert_eq!([0, 1, 2, 3, 2, 1].map(&mut note).map(|met| met[1]), [false, false, false, true, true, false]);
        assert_eq!(note(1), [true, false], "each has a quorum of its own");
        let mut fewer = model.clone();
        fewer.frontends.remove(1);
        proven.update(&fewer);
        assert!(!proven.is_met(&model.frontends[1], 2), "it was gone meanwhile");
    }
}
