//! What was said of a server at run time, by the operator or by its agent, in place of what is configured. The last word
//! counts, whoever said it, as with HAProxy. Pure.

use crate::model::{Balance, Limits, Server};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Largest weight.
const MOST: u16 = 256;
/// Largest part of the configured weight, in percent: HAProxy takes more for that much.
const MOST_PERCENT: u16 = 25_600;

/// A weight in place of the configured one. 0: nothing new comes, what is there stays, and a client that its cookie brings back is
/// let in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// In hundredths of the configured weight, 0 to 25600; what comes out is rounded down, and 256 at most.
    Percent(u16),
    /// 0 to 256.
    Absolute(u16),
}

impl Weight {
    /// So many hundredths; more than 25600 are as many, as with HAProxy.
    pub fn percent(percent: u64) -> Self {
        Self::Percent(u16::try_from(percent).unwrap_or(MOST_PERCENT).min(MOST_PERCENT))
    }

    /// That many, if there may be.
    pub fn absolute(weight: u64) -> Option<Self> {
        u16::try_from(weight).ok().filter(|weight| *weight <= MOST).map(Self::Absolute)
    }

    /// Whether a server may have it: a map that is made once servers come or go knows it with its full share, or not at all.
    pub fn may_be(self, server: &Server, balance: &Balance) -> bool {
        let weight = self.of(server.weight);
        weight == 0 || weight == server.weight || !balance.is_static()
    }

    /// What that makes of the configured weight.
    pub fn of(self, configured: u16) -> u16 {
        match self {
            Self::Percent(percent) => {
                let part = u32::from(configured) * u32::from(percent) / 100;
                u16::try_from(part).unwrap_or(MOST).min(MOST)
            }
            Self::Absolute(weight) => weight,
        }
    }
}

impl FromStr for Weight {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = "a weight is a number from 0 to 256, or a part of the configured one from 0% to 25600%";
        let (digits, is_part) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        let number: u16 = digits.parse().map_err(|_not_one| error)?;
        let is_within = digits.bytes().all(|byte| byte.is_ascii_digit());
        match is_part {
            true if is_within && number <= MOST_PERCENT => Ok(Self::Percent(number)),
            false if is_within && number <= MOST => Ok(Self::Absolute(number)),
            true | false => Err(error),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Absolute(weight) => write!(f, "{weight}"),
        }
    }
}

/// Who said something.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum By {
    /// The operator, by the command line.
    #[default]
    Operator,
    /// The server's agent. What it said goes with it, if a configuration has it no more.
    Agent,
}

impl By {
    /// Whether its word takes the place of one of `owner`: an agent that only repeats what the operator wants does not make it its
    /// own, but the operator does who repeats what the agent wants. Where nobody said anything the operator's file did.
    pub(super) fn takes_over(self, owner: Self, is_same: bool) -> bool {
        self == Self::Operator || owner == Self::Agent || !is_same
    }
}

/// What was said of one server.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Said {
    weight: Option<(Weight, By)>,
    maxconn: Option<(u32, By)>,
    /// Who wants the administrative state that it has.
    pub(super) admin: By,
    /// What was configured meanwhile: a configuration that changes it has the last word.
    configured: (u16, u32),
}

impl Said {
    pub(super) fn weigh(&mut self, server: &Server, weight: Weight, by: By) {
        let is_same = weight.of(server.weight) == self.weight(server.weight);
        if by.takes_over(self.weight.map(|(_, by)| by).unwrap_or_default(), is_same) {
            (self.weight, self.configured) = (Some((weight, by)), configured(server));
        }
    }

    pub(super) fn limit(&mut self, server: &Server, maxconn: u32, by: By) {
        let is_same = maxconn == self.maxconn().unwrap_or(server.limits.maxconn);
        if by.takes_over(self.maxconn.map(|(_, by)| by).unwrap_or_default(), is_same) {
            (self.maxconn, self.configured) = (Some((maxconn, by)), configured(server));
        }
    }

    /// The weight in place of the configured one.
    pub(super) fn weight(&self, configured: u16) -> u16 {
        self.weight.map_or(configured, |(weight, _)| weight.of(configured))
    }

    pub(super) fn maxconn(&self) -> Option<u32> {
        self.maxconn.map(|(maxconn, _)| maxconn)
    }

    /// What is left of it with another configuration of the server. A part of the weight is one of what is configured now; where
    /// `balance` knows a server with its full share or not at all, it is one of these or nothing.
    #[must_use]
    pub(super) fn with(self, server: &Server, balance: &Balance) -> Self {
        let Self { weight: said, maxconn: limit, admin, .. } =
            if server.agent().is_some() { self } else { self.by_operator() };
        let (weight, maxconn) = configured(server);
        let is_same_weight = |said| weight == self.configured.0 || matches!(said, Weight::Percent(_));
        let may_be = |said: Weight| said.may_be(server, balance);
        Self {
            weight: said.filter(|(said, _)| is_same_weight(*said) && may_be(*said)),
            maxconn: limit.filter(|_| maxconn == self.configured.1),
            admin,
            configured: (weight, maxconn),
        }
    }

    /// Nothing but who wants the administrative state.
    pub(super) fn of_admin(admin: By) -> Self {
        Self { admin, ..Self::default() }
    }

    /// What is left of it without the agent's words.
    #[must_use]
    pub(super) fn by_operator(self) -> Self {
        Self {
            weight: self.weight.filter(|(_, by)| *by == By::Operator),
            maxconn: self.maxconn.filter(|(_, by)| *by == By::Operator),
            admin: By::Operator,
            ..self
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_nothing(&self) -> bool {
        self.weight.is_none() && self.maxconn.is_none() && self.admin == By::Operator
    }
}

fn configured(server: &Server) -> (u16, u32) {
    (server.weight, server.limits.maxconn)
}

impl Limits {
    /// These with another `maxconn`; as with HAProxy, `minconn` goes along if it is the same.
    #[must_use]
    pub fn with_maxconn(self, maxconn: u32) -> Self {
        let minconn = if self.minconn == self.maxconn { maxconn } else { self.minconn };
        Self { maxconn, minconn, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Agent, plan::testing::server};

    fn web(weight: u16, maxconn: u32, has_agent: bool) -> Server {
        let agent = has_agent.then(Agent::default);
        Server { weight, limits: Limits { maxconn, ..Limits::default() }, agent, ..server("a", "10.0.0.1:80") }
    }

    #[test]
    fn a_part_is_rounded_down_and_no_weight_is_above_256() {
        let parts = [(10, 50), (10, 1), (1, 99), (1, 100), (10, 150), (10, 25_600), (256, 25_600), (10, 0), (3, 34)];
        let weights = parts.map(|(configured, percent)| Weight::Percent(percent).of(configured));
        assert_eq!(weights, [5, 0, 0, 1, 15, 256, 256, 0, 1]);
        assert_eq!([Weight::percent(25_601), Weight::percent(u64::MAX)], [Weight::Percent(25_600); 2]);
        assert_eq!([0, 256, 257].map(Weight::absolute), [Some(Weight::Absolute(0)), Some(Weight::Absolute(256)), None]);
    }

    #[test]
    fn a_weight_is_typed_as_a_number_or_a_part() {
        for (text, weight) in [("0", Weight::Absolute(0)), ("256", Weight::Absolute(256)), ("75%", Weight::Percent(75))]
        {
            assert_eq!(text.parse(), Ok(weight));
            assert_eq!(weight.to_string(), text);
        }
        for wrong in ["", "%", "257", "25601%", "-1", "+1", "1.5", "5 %", "a"] {
            assert!(wrong.parse::<Weight>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_configuration_that_changes_something_has_the_last_word_about_it() {
        let said = |weight| {
            let mut said = Said::default();
            said.weigh(&web(10, 20, true), weight, By::Operator);
            said.limit(&web(10, 20, true), 5, By::Operator);
            said
        };
        let then = |weight, server: &Server| {
            let said = said(weight).with(server, &Balance::RoundRobin);
            (said.weight(server.weight), said.maxconn())
        };
        assert_eq!(then(Weight::Absolute(4), &web(10, 20, false)), (4, Some(5)), "nothing has changed");
        assert_eq!(then(Weight::Absolute(4), &web(30, 20, false)), (30, Some(5)));
        assert_eq!(then(Weight::Percent(50), &web(30, 20, false)), (15, Some(5)), "a part of the new weight");
        assert_eq!(then(Weight::Percent(50), &web(10, 21, false)), (5, None));
        let by_map = |weight| said(weight).with(&web(10, 20, false), &Balance::StaticRoundRobin).weight(10);
        assert_eq!([50, 0, 100].map(|percent| by_map(Weight::Percent(percent))), [10, 0, 10]);
        let again = said(Weight::Absolute(4))
            .with(&web(30, 20, false), &Balance::RoundRobin)
            .with(&web(10, 20, false), &Balance::RoundRobin);
        assert_eq!(again.weight(10), 10, "what is gone does not come back");
    }

    #[test]
    fn what_an_agent_said_goes_with_it() {
        let (mut said, with) = (Said::default(), web(10, 20, true));
        said.weigh(&with, Weight::Percent(50), By::Agent);
        said.limit(&with, 5, By::Agent);
        said.admin = By::Agent;
        assert_eq!(said.with(&with, &Balance::RoundRobin), said);
        assert!(said.with(&web(10, 20, false), &Balance::RoundRobin).is_nothing());
        said.weigh(&with, Weight::Percent(20), By::Operator);
        assert_eq!(
            said.with(&web(10, 20, false), &Balance::RoundRobin).weight(10),
            2,
            "the operator's word is not the agent's"
        );
    }

    #[test]
    fn who_repeats_what_the_operator_wants_does_not_own_it_and_the_operator_does() {
        use By::{Agent, Operator};
        let server = web(10, 20, true);
        let owners = |words: &[By]| {
            let mut said = Said::default();
            for by in words {
                said.weigh(&server, Weight::Percent(50), *by);
                said.limit(&server, 5, *by);
            }
            [said.weight.map(|(_, by)| by), said.maxconn.map(|(_, by)| by)]
        };
        assert_eq!(owners(&[Operator, Agent]), [Some(Operator); 2]);
        assert_eq!(owners(&[Agent, Agent]), [Some(Agent); 2]);
        assert_eq!(owners(&[Agent, Operator, Agent]), [Some(Operator); 2]);
        let mut said = Said::default();
        said.weigh(&server, Weight::Percent(100), Agent);
        said.limit(&server, 20, Agent);
        assert!(said.is_nothing(), "what is configured anyway");
    }

    #[test]
    fn minconn_goes_along_only_if_it_is_the_same() {
        let limits = |maxconn, minconn| Limits { maxconn, minconn, maxqueue: 3 };
        assert_eq!(limits(20, 20).with_maxconn(5), limits(5, 5));
        assert_eq!(limits(20, 2).with_maxconn(1), limits(1, 2));
        assert_eq!(limits(0, 0).with_maxconn(7), limits(7, 7));
        assert_eq!(limits(20, 0).with_maxconn(0), limits(0, 0));
    }
}
