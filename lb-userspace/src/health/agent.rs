//! The agent: a program beside a server that says, in HAProxy's words, how the server is and how much it wants. It is asked
//! beside the check, and silence of it changes nothing.

use super::{
    Code, Finding,
    finding::{Step, bounded, quote},
    wire::{self, LIMIT, Wire},
};
use crate::servers::{Admin, Weight};
use std::net::SocketAddr;
use tokio::time::Instant;

/// What an agent said. HAProxy applies it in this order: admin state, weight, connections, health.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AgentReport {
    /// `ready`, `drain` or `maint`.
    pub admin: Option<Admin>,
    /// `75%`, or as later HAProxys have it `weight:N`.
    pub weight: Option<Weight>,
    /// `maxconn:N`: most connections at once; 0: any number.
    pub maxconn: Option<u32>,
    /// `up`, `down`, `stopped` or `fail`; and the reason after `#`, may be empty.
    pub health: Option<(AgentHealth, String)>,
    /// The first word that is none, or one whose number is none, quoted.
    pub unknown: Option<String>,
}

/// How a server is, by its agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AgentHealth {
    /// It works, at once fully.
    Up,
    /// It does not.
    Down,
    /// It does not, because an operator stopped it.
    Stopped,
    /// It does not, by its own check.
    Fail,
}

impl AgentHealth {
    /// As the agent says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Stopped => "stopped",
            Self::Fail => "fail",
        }
    }

    /// Whether it works.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up)
    }
}

impl AgentReport {
    /// In HAProxy's words, with what could not be done of it: a reason that the agent gives for a failure comes first.
    pub fn words(&self, warning: Option<&str>) -> String {
        let unknown = self.unknown.as_deref();
        let Some((health, reason)) = &self.health else {
            let words = |what: &str, why: &str| format!("agent {what} : {why}");
            return match (unknown, warning) {
                (Some(unknown), _) => words("reports an error", unknown),
                (None, Some(warning)) => words("warns", warning),
                (None, None) => String::new(),
            };
        };
        let problem = unknown.or(warning).filter(|_| reason.is_empty() || health.is_up());
        let why = problem.unwrap_or(reason);
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        bounded(format!("via agent : {}{why}", health.word()))
    }

    /// HAProxy's `agent_status`.
    pub fn code(&self) -> &'static str {
        match &self.health {
            Some((health, _)) if health.is_up() => Code::L7Ok.name(),
            Some(_) => Code::L7Status.name(),
            None => "CHECKED",
        }
    }
}

/// How an asking of an agent ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AgentOutcome {
    /// It said this.
    Said(AgentReport),
    /// It said nothing that counts: no connection, no line in time. The server stays what it is, as its own check tests it.
    Silent(Finding),
}

/// Asks the agent at `address`, after saying `send`, until `deadline`.
pub(super) async fn ask(address: SocketAddr, send: &[u8], deadline: Instant) -> AgentOutcome {
    let asking = async {
        let stream = wire::connect(address, None, deadline).await?;
        let mut wire = Wire::new(stream, address, deadline);
        if !send.is_empty() {
            wire.send(send).await?;
        }
        let said = hear(&mut wire).await?;
        drop(tokio::spawn(wire.leave()));
        Ok(said)
    };
    asking.await.map_or_else(AgentOutcome::Silent, AgentOutcome::Said)
}

/// Waits for a line of the agent's.
pub(super) async fn hear(wire: &mut Wire) -> Step<AgentReport> {
    let mut looked_at = 0;
    loop {
        // HAProxy ends at a NUL as well, but that is no end of a line.
        let new = wire.received().get(looked_at..).unwrap_or_default();
        let end = new.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)).map(|at| looked_at + at);
        looked_at = wire.received().len();
        match end.and_then(|end| Some((end, *wire.received().get(end)?))) {
            Some((end, b'\r' | b'\n')) => return Ok(parse(&wire.take(end))),
            Some((end, _)) => return Err(incomplete(wire.received().get(..end).unwrap_or_default())),
            None if looked_at >= LIMIT => return Err(incomplete(wire.received())),
            None => {
                if !wire.more("the agent").await? {
                    return Err(incomplete(wire.received()));
                }
            }
        }
    }
}

fn incomplete(line: &[u8]) -> Finding {
    Finding::strange(format!("Ignoring incomplete line from agent: {}", quote(line)))
}

/// What a line says, without its end. Words are in any order and case; of two of a kind the last counts.
pub fn parse(line: &[u8]) -> AgentReport {
    let (words, reason) = split_reason(line);
    let mut said = AgentReport::default();
    for word in words.split(|byte| matches!(byte, b' ' | b'\t' | b',')).filter(|word| !word.is_empty()) {
        let is_known = understand(word, &mut said);
        if !is_known && said.unknown.is_none() {
            said.unknown = Some(quote(word));
        }
    }
    if let Some((_, why)) = &mut said.health {
        let quoted = quote(reason);
        // Those of the reason stay.
        quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted).clone_into(why);
    }
    said
}

/// The words, and what follows the first sharp that begins one: as with HAProxy, one within a word ends nothing.
fn split_reason(line: &[u8]) -> (&[u8], &[u8]) {
    let is_gap = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
    let begins = |at: usize| at.checked_sub(1).and_then(|before| line.get(before)).is_none_or(is_gap);
    let at = line.iter().enumerate().position(|(at, byte)| *byte == b'#' && begins(at));
    let (words, rest) = line.split_at(at.unwrap_or(line.len()));
    (words, rest.get(1..).unwrap_or_default().trim_ascii())
}

fn understand(word: &[u8], said: &mut AgentReport) -> bool {
    let lower = word.to_ascii_lowercase();
    let number = |digits: &[u8]| {
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        // A number that is too big is as big as can be.
        is_number.then(|| {
            digits.iter().fold(0_u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
        })
    };
    let health = match lower.as_slice() {
        b"up" => Some(AgentHealth::Up),
        b"down" => Some(AgentHealth::Down),
        b"stopped" => Some(AgentHealth::Stopped),
        b"fail" => Some(AgentHealth::Fail),
        _ => None,
    };
    let admin = match lower.as_slice() {
        b"ready" => Some(Admin::Ready),
        b"drain" => Some(Admin::Drain),
        b"maint" => Some(Admin::Maint),
        _ => None,
    };
    if let Some(health) = health {
        said.health = Some((health, String::new()));
    } else if admin.is_some() {
        said.admin = admin;
    } else if let Some(percent) = lower.strip_suffix(b"%").and_then(number) {
        said.weight = Some(Weight::percent(percent));
    } else if let Some(weight) = lower.strip_prefix(b"weight:").and_then(number).and_then(Weight::absolute) {
        said.weight = Some(weight);
    } else if let Some(most) = lower.strip_prefix(b"maxconn:").and_then(number).and_then(|most| most.try_into().ok()) {
        said.maxconn = Some(most);
    } else {
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::testing::{
        Act::{Hear, Say, Stay},
        server,
    };
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn words_in_any_order_and_the_last_of_a_kind_counts() {
        let said = parse(b"READY, 75%\tmaxconn:30 up");
        let expected = AgentReport {
            admin: Some(Admin::Ready),
            weight: Some(Weight::Percent(75)),
            maxconn: Some(30),
            health: Some((AgentHealth::Up, String::new())),
            unknown: None,
        };
        assert_eq!(said, expected);
        assert_eq!(parse(b"up down").health, Some((AgentHealth::Down, String::new())));
        assert_eq!(parse(b"weight:200 50%").weight, Some(Weight::Percent(50)));
        assert_eq!(parse(b"weight:256").weight, Some(Weight::Absolute(256)));
        for huge in ["25600%", "25601%", "99999999999999999999999%"] {
            assert_eq!(parse(huge.as_bytes()).weight, Some(Weight::Percent(25_600)), "{huge}");
        }
        assert_eq!(parse(b"maxconn:0").maxconn, Some(0));
        assert_eq!(parse(b""), AgentReport::default());
        assert_eq!(parse(b" ,\t"), AgentReport::default());
    }

    #[test]
    fn a_reason_follows_a_sharp_and_belongs_to_health() {
        assert_eq!(parse(b"down #disk full").health, Some((AgentHealth::Down, "disk full".to_owned())));
        assert_eq!(parse(b"fail # \x1b[2J").health, Some((AgentHealth::Fail, "\\x1b[2J".to_owned())));
        let quoted = parse(b"fail #\"disk\" is \"full\"").health;
        assert_eq!(quoted, Some((AgentHealth::Fail, "\\\"disk\\\" is \\\"full\\\"".to_owned())));
        let (ready, stopped) = (parse(b"ready #why"), parse(b"stopped#why"));
        assert_eq!((ready.health, ready.admin), (None, Some(Admin::Ready)));
        // HAProxy takes that for one word as well, which it does not know.
        assert_eq!((stopped.health, stopped.unknown.as_deref()), (None, Some("\"stopped#why\"")));
    }

    #[test]
    fn what_is_not_understood_is_told_and_changes_nothing() {
        for strange in
            ["sideways", "%", "-5%", "75%x", "7%%", "weight:257", "maxconn:", "maxconn:4294967296", "maxconn:-1"]
        {
            let said = parse(strange.as_bytes());
            assert_eq!(said, AgentReport { unknown: Some(format!("\"{strange}\"")), ..AgentReport::default() });
        }
        let said = parse(b"up what ever");
        assert_eq!((said.health.is_some(), said.unknown.as_deref()), (true, Some("\"what\"")));
    }

    #[test]
    fn it_is_told_in_haproxys_words() {
        let told = [
            ("up", "via agent : up"),
            ("down #disk full", "via agent : down (disk full)"),
            ("up #fine", "via agent : up (fine)"),
            ("up #fine nonsense", "via agent : up (fine nonsense)"),
            ("nonsense up #fine", "via agent : up (\"nonsense\")"),
            ("nonsense down #full", "via agent : down (full)"),
            ("nonsense", "agent reports an error : \"nonsense\""),
            ("50% ready", ""),
        ];
        for (line, words) in told {
            assert_eq!(parse(line.as_bytes()).words(None), words, "{line}");
        }
        assert_eq!(parse(b"50%").words(Some("no")), "agent warns : no");
        assert_eq!(parse(b"up 50%").words(Some("no")), "via agent : up (no)");
        assert_eq!(["up", "fail", "ready"].map(|line| parse(line.as_bytes()).code()), ["L7OK", "L7STS", "CHECKED"]);
    }

    fn asked(address: SocketAddr) -> AgentOutcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { ask(address, b"state\n", Instant::now() + Duration::from_millis(300)).await })
    }

    #[test]
    fn an_agent_is_asked_and_a_silent_one_says_nothing_of_its_server() {
        let AgentOutcome::Said(said) = asked(server(&[Hear, Say(b"drain 10%\r"), Stay])) else { panic!("silent") };
        assert_eq!((said.admin, said.weight), (Some(Admin::Drain), Some(Weight::Percent(10))));
        let in_pieces = asked(server(&[Hear, Say(b"dra"), Say(b"in"), Say(b" 10%\n"), Stay]));
        assert!(
            matches!(in_pieces, AgentOutcome::Said(AgentReport { admin: Some(Admin::Drain), .. })),
            "{in_pieces:?}"
        );
        for acts in [&[Hear, Say(b"down")][..], &[Hear, Say(b"down\0\n"), Stay], &[Hear], &[Stay]] {
            assert!(matches!(asked(server(acts)), AgentOutcome::Silent(_)), "{acts:?}");
        }
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let AgentOutcome::Silent(found) = asked(closed) else { panic!("nobody said something") };
        assert_eq!(found.code, Code::L4Connection);
    }

    proptest! {
        #[test]
        fn any_line_is_understood_or_told(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let said = parse(&line);
            let blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b','));
            let begins_with_reason = split_reason(&line).0.iter().all(|byte| matches!(byte, b' ' | b'\t' | b','));
            prop_assert_eq!(said == AgentReport::default(), blank || begins_with_reason);
        }
    }
}
