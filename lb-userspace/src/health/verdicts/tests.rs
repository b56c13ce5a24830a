//! What comes of outcomes.

use super::*;
use crate::{
    health::{Code, Finding, Report},
    model::Check,
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
    Outcome { identity, report, finished_at: Instant::now() }
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
        backend: "web".to_owned(),
        server: "web2".to_owned(),
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
    assert!(verdicts.last(identity(&model, 0)).is_some());
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
    assert_eq!(verdicts.last(identity(&before, 0)), None);
    after.backends[0].check = None;
    verdicts.update(&after, |_| Health::Up);
    assert_eq!(verdicts.record(&outcome(identity(&before, 1), REFUSED)), None);
}

#[test]
fn a_probe_that_this_machine_could_not_make_is_shown_but_counts_neither_way() {
    let model = model(2, 2);
    let mut up = verdicts(&model, Health::Up);
    assert_eq!(record(&mut up, &model, &[Code::SocketError; 9]), [None; 9]);
    assert_eq!(up.last(identity(&model, 0)).as_deref(), Some("SOCKERR words in 3.0 ms"));
    let between = [REFUSED, Code::SocketError, REFUSED];
    assert_eq!(record(&mut up, &model, &between), [None, None, Some(Health::Down)], "nor does it end a row");
    let mut unknown = verdicts(&model, Health::Unknown);
    assert_eq!(record(&mut unknown, &model, &[Code::SocketError, OK]), [None, Some(Health::Up)]);
}
