//! What comes of outcomes.

use super::*;
use crate::{
    health::{Code, Finding, Report, agent::parse, rise_fall::Pace},
    model::{
        Agent, Check, ServerName,
        check::{Layer, Observe, OnError},
    },
    plan::testing,
};
use std::time::Duration;

const OK: Code = Code::L4Ok;
const REFUSED: Code = Code::L4Connection;

/// A backend `web` of two servers.
fn model(rise: u32, fall: u32) -> Model {
    let mut backend = testing::backend("web", testing::servers(2));
    backend.check = backend.check.map(|check| Check { rise, fall, ..check });
    testing::model(vec![backend], vec![])
}

fn identity(model: &Model, server: usize) -> u64 {
    model.backends[0].servers[server].identity("web")
}

fn verdicts(model: &Model, known: Health) -> Verdicts {
    let mut verdicts = Verdicts::default();
    verdicts.update(model, |_| known);
    verdicts
}

fn outcome(identity: u64, code: Code) -> Outcome {
    let report = Report { finding: Finding::new(code, "words"), took: Duration::from_millis(3) };
    Outcome { identity, task: 0, report, finished_at: Instant::now() }
}

/// What each outcome of the first server leads to.
fn record(verdicts: &mut Verdicts, model: &Model, codes: &[Code]) -> Vec<Option<Health>> {
    let mut one = |code| verdicts.record(&outcome(identity(model, 0), code)).map(|transition| transition.to);
    codes.iter().map(|code| one(*code)).collect()
}

#[test]
fn a_change_is_told_once_with_who_and_why() {
    let model = model(2, 2);
    let mut verdicts = verdicts(&model, Health::Up);
    assert_eq!(verdicts.record(&outcome(identity(&model, 1), REFUSED)), None);
    let decides = outcome(identity(&model, 1), REFUSED);
    let expected = Transition {
        identity: decides.identity,
        name: ServerName { backend: "web".to_owned(), server: "web2".to_owned() },
        to: Health::Down,
        reason: "L4CON words in 3.0 ms".to_owned(),
        finished_at: decides.finished_at,
    };
    assert_eq!(verdicts.record(&decides), Some(expected));
    assert_eq!(verdicts.record(&outcome(identity(&model, 1), REFUSED)), None, "it is down already");
    let back = record(&mut verdicts, &model, &[OK, OK]);
    assert_eq!(back, [None, None], "the other server was up all the time");
}

#[test]
fn the_first_verdict_on_an_unchecked_server_is_a_change() {
    let model = model(2, 3);
    assert_eq!(record(&mut verdicts(&model, Health::Unknown), &model, &[OK, OK]), [Some(Health::Up), None]);
    assert_eq!(record(&mut verdicts(&model, Health::Unknown), &model, &[REFUSED]), [Some(Health::Down)]);
}

#[test]
fn what_the_maps_remember_is_where_it_begins() {
    let model = model(2, 2);
    assert_eq!(record(&mut verdicts(&model, Health::Down), &model, &[OK, OK]), [None, Some(Health::Up)]);
    assert_eq!(record(&mut verdicts(&model, Health::Up), &model, &[OK, REFUSED]), [None, None]);
}

#[test]
fn a_reload_keeps_counts_and_does_not_ask_the_maps_again() {
    let model = model(2, 2);
    let mut verdicts = verdicts(&model, Health::Up);
    assert_eq!(record(&mut verdicts, &model, &[REFUSED]), [None]);
    verdicts.update(&model, |_| Health::Down);
    assert!(verdicts.known(identity(&model, 0)).unwrap().last.is_some());
    assert_eq!(record(&mut verdicts, &model, &[REFUSED]), [Some(Health::Down)], "the second failure in a row");
}

#[test]
fn a_reload_with_other_thresholds_judges_by_them_from_the_same_verdict() {
    let (strict, lenient) = (model(1, 1), model(3, 3));
    let mut verdicts = verdicts(&strict, Health::Up);
    verdicts.update(&lenient, |_| Health::Unknown);
    assert_eq!(record(&mut verdicts, &lenient, &[REFUSED; 3]), [None, None, Some(Health::Down)]);
    verdicts.update(&strict, |_| Health::Unknown);
    assert_eq!(record(&mut verdicts, &strict, &[REFUSED, OK]), [None, Some(Health::Up)]);
}

#[test]
fn a_server_that_is_gone_or_no_longer_checked_is_not_judged() {
    let before = model(1, 1);
    let mut verdicts = verdicts(&before, Health::Up);
    let mut after = before.clone();
    after.backends[0].servers.remove(0);
    verdicts.update(&after, |_| Health::Up);
    assert_eq!(record(&mut verdicts, &before, &[REFUSED]), [None]);
    assert!(verdicts.known(identity(&before, 0)).is_none());
    after.backends[0].check = None;
    verdicts.update(&after, |_| Health::Up);
    assert_eq!(verdicts.record(&outcome(identity(&before, 1), REFUSED)), None);
}

#[test]
fn a_probe_that_this_machine_could_not_make_is_shown_but_counts_neither_way() {
    let model = model(2, 2);
    let mut up = verdicts(&model, Health::Up);
    assert_eq!(record(&mut up, &model, &[Code::SocketError; 9]), [None; 9]);
    let last = up.known(identity(&model, 0)).unwrap().last.unwrap();
    assert_eq!(last.to_string(), "SOCKERR words in 3.0 ms");
    let between = [REFUSED, Code::SocketError, REFUSED];
    assert_eq!(record(&mut up, &model, &between), [None, None, Some(Health::Down)], "nor does it end a row");
    let mut unknown = verdicts(&model, Health::Unknown);
    assert_eq!(record(&mut unknown, &model, &[Code::SocketError, OK]), [None, Some(Health::Up)]);
}

/// Four servers, observed: `fall` 3, at least half of them stay up.
fn observed(on_error: OnError) -> (Model, Verdicts) {
    let mut backend = testing::backend("web", testing::servers(4));
    let observe = Observe { layer: Layer::Connections, error_limit: 10, on_error, floor: 50 };
    backend.check = Some(Check { observe: Some(observe), ..Check::default() });
    let model = testing::model(vec![backend], vec![]);
    let verdicts = verdicts(&model, Health::Up);
    (model, verdicts)
}

#[test]
fn failures_of_the_traffic_hurry_the_next_probe_and_may_count_as_failed_ones() {
    // How many probes must fail after them until the server is down.
    for (on_error, probes) in [(OnError::FastInterval, 3), (OnError::FailCheck, 2), (OnError::SuddenDeath, 1)] {
        let (model, mut verdicts) = observed(on_error);
        let first = identity(&model, 0);
        assert_eq!(verdicts.pace(first), Pace::Steady);
        assert_eq!(verdicts.observed(first, true, Instant::now()), None);
        assert_eq!(verdicts.pace(first), Pace::Fast, "{on_error:?}");
        let falls = record(&mut verdicts, &model, &[REFUSED; 3]);
        assert_eq!(falls.iter().position(Option::is_some), Some(probes - 1), "{on_error:?}");
    }
}

#[test]
fn a_probe_that_succeeds_clears_a_server_of_what_its_traffic_said() {
    let (model, mut verdicts) = observed(OnError::SuddenDeath);
    let first = identity(&model, 0);
    verdicts.observed(first, true, Instant::now());
    assert_eq!(record(&mut verdicts, &model, &[OK, REFUSED, REFUSED]), [None; 3]);
    assert_eq!(verdicts.known(first).unwrap().health, 2);
}

#[test]
fn failures_of_the_traffic_leave_enough_servers_up_and_probes_bring_them_back() {
    let (model, mut verdicts) = observed(OnError::MarkDown);
    let to: Vec<_> = (0..4)
        .map(|server| verdicts.observed(identity(&model, server), true, Instant::now()).map(|transition| transition.to))
        .collect();
    assert_eq!(to, [Some(Health::Down), Some(Health::Down), None, None]);
    assert_eq!(verdicts.pace(identity(&model, 3)), Pace::Fast, "a probe will tell soon");
    assert_eq!(record(&mut verdicts, &model, &[OK, OK]), [None, Some(Health::Up)]);
    let reason = verdicts.observed(identity(&model, 0), true, Instant::now()).unwrap().reason;
    assert_eq!(reason, "HANA 10 errors in a row");
}

#[test]
fn who_tracks_a_server_is_named_with_it() {
    let mut model = model(2, 3);
    let tracked = ServerName { backend: "web".to_owned(), server: "web2".to_owned() };
    model.backends[0].servers[0].track = Some(tracked);
    let verdicts = verdicts(&model, Health::Up);
    assert!(verdicts.known(identity(&model, 0)).is_none(), "it is not judged itself");
    let name = ServerName { backend: "web".to_owned(), server: "web1".to_owned() };
    assert_eq!(verdicts.trackers(identity(&model, 1)), [(identity(&model, 0), name)]);
}

#[test]
fn a_server_that_stops_is_up_but_gets_nothing_new() {
    let model = model(2, 1);
    let mut verdicts = verdicts(&model, Health::Up);
    let codes = [Code::L7OkConditionally, Code::L7OkConditionally, OK, REFUSED, Code::L7OkConditionally];
    let expected = [Some(Health::Stopping), None, Some(Health::Up), Some(Health::Down), None];
    assert_eq!(record(&mut verdicts, &model, &codes), expected);
    let patient = self::model(2, 3);
    let mut stopping = self::verdicts(&patient, Health::Up);
    let codes = [Code::L7OkConditionally, REFUSED, REFUSED, REFUSED];
    let expected = [Some(Health::Stopping), None, None, Some(Health::Down)];
    assert_eq!(record(&mut stopping, &patient, &codes), expected, "it gets nothing new on its way down");
    let codes = [Code::L7OkConditionally, OK, OK, Code::L7OkConditionally];
    assert_eq!(record(&mut verdicts, &model, &codes), [None, None, Some(Health::Up), Some(Health::Stopping)]);
}

/// What an agent's lines lead to; without a line it is silent.
fn hear(verdicts: &mut Verdicts, model: &Model, lines: &[Option<&str>]) -> Vec<Option<Health>> {
    let mut one = |line: Option<&str>| {
        let silent = || AgentOutcome::Silent(Finding::new(REFUSED, "connection refused"));
        let outcome = line.map_or_else(silent, |line| AgentOutcome::Said(parse(line.as_bytes())));
        let (took, finished_at) = (Duration::from_millis(1), Instant::now());
        let heard = Heard { identity: identity(model, 0), task: 0, outcome, took, finished_at };
        verdicts.heard(&heard, None).map(|transition| transition.to)
    };
    lines.iter().map(|line| one(*line)).collect()
}

fn with_agent(mut model: Model) -> Model {
    model.backends[0].servers[0].agent = Some(Agent::default());
    model
}

#[test]
fn a_server_is_up_if_neither_check_nor_agent_says_otherwise() {
    use Health::{AgentDown, Down, Up};
    let model = with_agent(model(1, 1));
    let mut verdicts = verdicts(&model, Up);
    assert_eq!(hear(&mut verdicts, &model, &[Some("up"), None, Some("50% ready"), Some("")]), [None; 4]);
    assert_eq!(hear(&mut verdicts, &model, &[Some("down #disk full"), Some("fail")]), [Some(AgentDown), None]);
    assert_eq!(hear(&mut verdicts, &model, &[None, Some(""), Some("100% ready")]), [None; 3], "only up ends that");
    assert_eq!(
        record(&mut verdicts, &model, &[OK, REFUSED, OK, REFUSED]),
        [None; 4],
        "checks alone do not bring it back"
    );
    assert_eq!(hear(&mut verdicts, &model, &[Some("up")]), [Some(Down)], "nor does the agent alone");
    assert_eq!(hear(&mut verdicts, &model, &[Some("up")]), [None]);
    assert_eq!(record(&mut verdicts, &model, &[OK]), [Some(Up)]);
    let agent = verdicts.agent(identity(&model, 0)).unwrap();
    assert_eq!((agent.silences, agent.is_down, agent.last.unwrap().words.as_str()), (2, false, "via agent : up"));
    assert_eq!(verdicts.known(identity(&model, 0)).unwrap().downs, 1, "it was down once, whoever said so");
    assert_eq!(hear(&mut verdicts, &model, &[Some("down"), Some("up")]), [Some(AgentDown), Some(Up)]);
    assert_eq!(verdicts.known(identity(&model, 0)).unwrap().downs, 2);
}

#[test]
fn a_server_that_only_its_agent_looks_at_is_up_and_down_by_it() {
    use Health::{AgentDown, Unknown, Up};
    let mut model = with_agent(model(1, 1));
    model.backends[0].check = None;
    let mut verdicts = verdicts(&model, Unknown);
    assert_eq!(hear(&mut verdicts, &model, &[Some("50%"), Some("stopped"), None]), [None, Some(AgentDown), None]);
    verdicts.update(&model, |_| AgentDown);
    assert_eq!(hear(&mut verdicts, &model, &[Some("up"), Some("up")]), [Some(Up), None]);
    assert!(verdicts.known(identity(&model, 0)).is_none(), "it is not checked");
    assert_eq!(record(&mut verdicts, &model, &[REFUSED]), [None]);
}

#[test]
fn after_a_restart_who_was_down_by_its_agent_needs_its_word_and_the_checks() {
    use Health::{AgentDown, Down, Up};
    let model = with_agent(model(2, 3));
    let mut verdicts = verdicts(&model, AgentDown);
    assert_eq!(record(&mut verdicts, &model, &[OK, OK, OK]), [None; 3]);
    assert_eq!(hear(&mut verdicts, &model, &[Some("up")]), [Some(Up)]);
    let mut verdicts = self::verdicts(&model, AgentDown);
    assert_eq!(hear(&mut verdicts, &model, &[Some("up")]), [Some(Down)], "nothing is known of the checks");
    assert_eq!(record(&mut verdicts, &model, &[OK, OK]), [None, Some(Up)]);
}

#[test]
fn an_agent_that_is_gone_has_no_say() {
    use Health::{AgentDown, Down, Up};
    let (checked, asked) = (model(1, 1), with_agent(model(1, 1)));
    let mut verdicts = verdicts(&asked, Up);
    assert_eq!(hear(&mut verdicts, &asked, &[Some("down")]), [Some(AgentDown)]);
    assert_eq!(verdicts.checked(identity(&asked, 0)), Some(Up), "which counts again once the agent is gone");
    verdicts.update(&checked, |_| Down);
    assert_eq!(record(&mut verdicts, &checked, &[OK]), [Some(Up)], "the next probe decides");
    assert!(verdicts.agent(identity(&checked, 0)).is_none());
}
