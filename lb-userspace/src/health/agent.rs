//! The agent: a program beside a server that says, in HAProxy's words, how the server is and how much it wants. It is asked
//! beside the check, and silence of it changes nothing.

use super::{
    Finding,
    finding::{Step, quote},
    wire::{self, LIMIT, Wire},
};
use std::net::SocketAddr;
use tokio::time::Instant;

/// What an agent said. HAProxy applies it in this order: admin state, weight, connections, health.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AgentReport {
    /// `ready`, `drain` or `maint`.
    pub admin: Option<AgentAdmin>,
    /// `75%` or `weight:N`.
    pub weight: Option<AgentWeight>,
    /// `maxconn:N`: most connections at once.
    pub maxconn: Option<u32>,
    /// `up`, `down`, `stopped` or `fail`; and the reason after `#`, may be empty.
    pub health: Option<(AgentHealth, String)>,
    /// The first word that is none, or one whose number is none, quoted.
    pub unknown: Option<String>,
}

/// What may be sent to a server, by its agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AgentAdmin {
    /// Everything.
    Ready,
    /// Nothing new.
    Drain,
    /// Nothing at all.
    Maint,
}

/// How much a server should get.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AgentWeight {
    /// In hundredths of the weight in the configuration, 0 to 25600; the product is 256 at most.
    Percent(u16),
    /// 0 to 256.
    Absolute(u16),
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

/// How an asking of an agent ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AgentOutcome {
    /// It said this.
    Said(AgentReport),
    /// It said nothing that counts: no connection, no line in time. The server stays what it is, as its own check tests it.
    Silent(Finding),
}

/// Asks the agent at `address`, after saying `send`, until `deadline`.
pub async fn ask(address: SocketAddr, send: &[u8], deadline: Instant) -> AgentOutcome {
    let asking = async {
        let stream = wire::connect(address, None, deadline).await?;
        let mut wire = Wire::new(stream, address, deadline);
        if !send.is_empty() {
            wire.send(send).await?;
        }
        let said = hear(&mut wire).await?;
        wire.leave().await;
        Ok(said)
    };
    asking.await.map_or_else(AgentOutcome::Silent, AgentOutcome::Said)
}

/// Waits for a line of the agent's.
async fn hear(wire: &mut Wire) -> Step<AgentReport> {
    loop {
        // HAProxy ends at a NUL as well, but that is no end of a line.
        let end = wire.received().iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0));
        match end.and_then(|end| Some((end, *wire.received().get(end)?))) {
            Some((end, b'\r' | b'\n')) => return Ok(parse(&wire.take(end))),
            Some(_) => return Err(incomplete(wire)),
            None if wire.received().len() >= LIMIT => return Err(incomplete(wire)),
            None => {
                if !wire.more("the agent").await? {
                    return Err(incomplete(wire));
                }
            }
        }
    }
}

fn incomplete(wire: &Wire) -> Finding {
    Finding::strange(format!("Ignoring incomplete line from agent: {}", quote(wire.received())))
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
        quote(reason).trim_matches('"').clone_into(why);
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
        std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse::<u32>().ok()
    };
    let health = match lower.as_slice() {
        b"up" => Some(AgentHealth::Up),
        b"down" => Some(AgentHealth::Down),
        b"stopped" => Some(AgentHealth::Stopped),
        b"fail" => Some(AgentHealth::Fail),
        _ => None,
    };
    let admin = match lower.as_slice() {
        b"ready" => Some(AgentAdmin::Ready),
        b"drain" => Some(AgentAdmin::Drain),
        b"maint" => Some(AgentAdmin::Maint),
        _ => None,
    };
    let up_to =
        |digits, most| number(digits).and_then(|value| u16::try_from(value).ok()).filter(|value| *value <= most);
    if let Some(health) = health {
        said.health = Some((health, String::new()));
    } else if admin.is_some() {
        said.admin = admin;
    } else if let Some(value) = lower.strip_suffix(b"%").and_then(|digits| up_to(digits, 25_600)) {
        said.weight = Some(AgentWeight::Percent(value));
    } else if let Some(value) = lower.strip_prefix(b"weight:").and_then(|digits| up_to(digits, 256)) {
        said.weight = Some(AgentWeight::Absolute(value));
    } else if let Some(value) = lower.strip_prefix(b"maxconn:").and_then(number) {
        said.maxconn = Some(value);
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
            admin: Some(AgentAdmin::Ready),
            weight: Some(AgentWeight::Percent(75)),
            maxconn: Some(30),
            health: Some((AgentHealth::Up, String::new())),
            unknown: None,
        };
        assert_eq!(said, expected);
        assert_eq!(parse(b"up down").health, Some((AgentHealth::Down, String::new())));
        assert_eq!(parse(b"weight:200 50%").weight, Some(AgentWeight::Percent(50)));
        assert_eq!(parse(b"weight:256").weight, Some(AgentWeight::Absolute(256)));
        assert_eq!(parse(b""), AgentReport::default());
        assert_eq!(parse(b" ,\t"), AgentReport::default());
    }

    #[test]
    fn a_reason_follows_a_sharp_and_belongs_to_health() {
        assert_eq!(parse(b"down #disk full").health, Some((AgentHealth::Down, "disk full".to_owned())));
        assert_eq!(parse(b"fail # \x1b[2J").health, Some((AgentHealth::Fail, "\\x1b[2J".to_owned())));
        let (ready, stopped) = (parse(b"ready #why"), parse(b"stopped#why"));
        assert_eq!((ready.health, ready.admin), (None, Some(AgentAdmin::Ready)));
        // HAProxy takes that for one word as well, which it does not know.
        assert_eq!((stopped.health, stopped.unknown.as_deref()), (None, Some("\"stopped#why\"")));
    }

    #[test]
    fn what_is_not_understood_is_told_and_changes_nothing() {
        for strange in
            ["sideways", "%", "-5%", "25601%", "75%x", "weight:257", "maxconn:", "maxconn:4294967296", "maxconn:-1"]
        {
            let said = parse(strange.as_bytes());
            assert_eq!(said, AgentReport { unknown: Some(format!("\"{strange}\"")), ..AgentReport::default() });
        }
        let said = parse(b"up what ever");
        assert_eq!((said.health.is_some(), said.unknown.as_deref()), (true, Some("\"what\"")));
    }

    fn asked(address: SocketAddr) -> AgentOutcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { ask(address, b"state\n", Instant::now() + Duration::from_millis(300)).await })
    }

    #[test]
    fn an_agent_is_asked_and_a_silent_one_says_nothing_of_its_server() {
        let AgentOutcome::Said(said) = asked(server(&[Hear, Say(b"drain 10%\r"), Stay])) else { panic!("silent") };
        assert_eq!((said.admin, said.weight), (Some(AgentAdmin::Drain), Some(AgentWeight::Percent(10))));
        for acts in [&[Hear, Say(b"down")][..], &[Hear, Say(b"down\0\n"), Stay], &[Hear], &[Stay]] {
            assert!(matches!(asked(server(acts)), AgentOutcome::Silent(_)), "{acts:?}");
        }
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let AgentOutcome::Silent(found) = asked(closed) else { panic!("nobody said something") };
        assert_eq!(found.code, crate::health::Code::L4Connection);
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
