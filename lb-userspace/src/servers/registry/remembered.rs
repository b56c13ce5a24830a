//! What is known of servers, for another process that goes on with it.

use super::{Leaving, LeavingVip, Quorums, Registry, Said, Standing};
use crate::model::Endpoint;
use lb_common::Protocol;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// How servers stand, by their [identity](crate::model::Server::identity), and what was said of them at run time.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Remembered {
    standings: BTreeMap<u64, Standing>,
    said: BTreeMap<u64, Said>,
    quorums: Quorums,
    /// Those that leave, with the time that they have left.
    leaving: BTreeMap<u64, Leaving>,
    /// VIPs of TCP that leave, likewise.
    leaving_vips: BTreeMap<SocketAddr, LeavingVip>,
}

impl Registry {
    /// What is known of servers `now`, without the rows that they have.
    pub fn remembered(&self, now: Duration) -> Remembered {
        let (standings, said, quorums) = (self.standings.clone(), self.said.clone(), self.quorums.clone());
        let (leaving, leaving_vips) = (self.leaving_after(now), self.vips_leaving_after(now));
        Remembered { standings, said, quorums, leaving, leaving_vips }
    }

    /// One without rows that knows that.
    pub fn remembering(known: Remembered) -> Self {
        let Remembered { standings, said, quorums, leaving, leaving_vips } = known;
        let key = |address: SocketAddr| Endpoint::new(address.ip(), address.port(), Protocol::Tcp);
        let leaving_vips = leaving_vips.into_iter().map(|(address, vip)| (key(address), vip)).collect();
        Self { standings, said, leaving, leaving_vips, quorums, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{
            Tables, desired,
            testing::{backend, bind, model, servers},
        },
        servers::{Admin, By, Health, Weight},
    };

    #[test]
    fn what_was_said_and_found_of_servers_outlives_a_process() {
        let model = model(vec![backend("web", servers(3))], vec![]);
        let web = &model.backends[0];
        let [a, b, c] = [0, 1, 2].map(|index| web.servers[index].identity("web"));
        let mut before = Registry::default();
        before.update(&model).expect("room");
        before.set_health(a, Health::Down);
        before.set_admin(b, Admin::Drain, By::Operator);
        before.set_weight(c, &web.servers[2], Weight::Absolute(3), By::Operator);
        let text = serde_json::to_string(&before.remembered(Duration::ZERO)).expect("text");
        let mut after = Registry::remembering(serde_json::from_str(&text).expect("what was written"));
        after.update(&model).expect("room");
        for identity in [a, b, c] {
            assert_eq!(after.standing(identity), before.standing(identity));
        }
        assert_eq!(after.weights(web), before.weights(web));
        assert_eq!(after.weights(web)[2], 3);
    }

    #[test]
    fn who_leaves_is_known_and_has_the_time_that_was_left() {
        let of = |count| {
            let web = backend("web", servers(count));
            model(vec![web], vec![(bind("192.0.2.10:80", Protocol::Tcp), "web")])
        };
        let (both, one) = (of(2), of(1));
        let hop = both.backends[0].servers.iter().map(|server| (server.address.ip(), 7)).collect();
        let mut before = Registry::default();
        before.update(&both).expect("room");
        let tables = desired(&both, &before, &hop);
        before.follow(&both, &one);
        before.update(&one).expect("room");
        before.begin_leaving(Duration::from_secs(100));
        let left = Duration::from_mins(10);
        let now = before.leaving_until().expect("one leaves").saturating_sub(left);
        let text = serde_json::to_string(&before.remembered(now)).expect("text");
        let known = Registry::remembering(serde_json::from_str(&text).expect("what was written"));
        for (tables, count) in [(tables, 1), (Tables::default(), 0)] {
            let mut after = known.take_over(&tables);
            after.follow(&one, &one);
            after.update(&one).expect("room");
            after.begin_leaving(Duration::from_secs(5));
            let until =
                after.leaving().map(|(.., leaving)| (leaving.server.clone(), leaving.until)).collect::<Vec<_>>();
            let expected = (both.backends[0].servers[1].name.clone(), Some(left + Duration::from_secs(5)));
            assert_eq!(until, vec![expected; count]);
        }
    }
}
