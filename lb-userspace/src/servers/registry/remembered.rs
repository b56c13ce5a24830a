//! What is known of servers, for another process that goes on with it.

use super::{Quorums, Registry, Said, Standing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How servers stand, by their [identity](crate::model::Server::identity), and what was said of them at run time.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Remembered {
    standings: BTreeMap<u64, Standing>,
    said: BTreeMap<u64, Said>,
    quorums: Quorums,
}

impl Registry {
    /// What is known of servers, without the rows that they have.
    pub fn remembered(&self) -> Remembered {
        Remembered { standings: self.standings.clone(), said: self.said.clone(), quorums: self.quorums.clone() }
    }

    /// One without rows that knows that.
    pub fn remembering(known: Remembered) -> Self {
        let Remembered { standings, said, quorums } = known;
        Self { standings, said, quorums, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::testing::{backend, model, servers},
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
        let text = serde_json::to_string(&before.remembered()).expect("text");
        let mut after = Registry::remembering(serde_json::from_str(&text).expect("what was written"));
        after.update(&model).expect("room");
        for identity in [a, b, c] {
            assert_eq!(after.standing(identity), before.standing(identity));
        }
        assert_eq!(after.weights(web), before.weights(web));
        assert_eq!(after.weights(web)[2], 3);
    }
}
