//! What holds of any answers to a check, whatever it asks for, and of an agent: the probe ends, in bounded time and memory, and
//! finds the same however the answers are cut. The tests try generated answers, the fuzzer in `lb-userspace/fuzz` chooses its
//! own. Where something does not hold, it panics.

use super::{
    Code, Finding,
    agent::hear,
    probe::{Prober, Target},
    testing::ask,
};
use crate::model::{
    Check, CheckKind, Secret,
    check::{
        FtpCheck, Hello, HttpCheck, LdapCheck, Login, MysqlCheck, MysqlForm, PgsqlCheck, Query, RedisCheck, Role,
        SmtpCheck, SqlLogin,
    },
};
use std::convert::Infallible;

/// What the first byte chooses from: one line for each way that a protocol has. New ones come last, so that the corpus keeps its
/// meaning.
fn kinds() -> Vec<CheckKind> {
    let login = || Login { user: "user".to_owned(), password: Some(Secret::new(PASSWORD)) };
    let query = Some(Query { statement: "SELECT 1".to_owned(), expect: vec!["1".to_owned()] });
    let sql = || SqlLogin { login: login(), database: None, clear_password: true, query: query.clone() };
    let user = || "user".to_owned();
    vec![
        CheckKind::Redis(RedisCheck { login: Some(login()), role: Role::Replica }),
        CheckKind::Mysql(MysqlCheck::Full(sql())),
        CheckKind::Mysql(MysqlCheck::Blind { user: user(), form: MysqlForm::Post80 }),
        CheckKind::Pgsql(PgsqlCheck::Full { login: sql(), role: Role::Primary }),
        CheckKind::Pgsql(PgsqlCheck::Startup { user: user() }),
        CheckKind::Http(HttpCheck::default()),
        CheckKind::Smtp(SmtpCheck { hello: Hello::default(), domain: "localhost".to_owned(), starttls: false }),
        CheckKind::Ftp(FtpCheck { login: Some(login()), starttls: false }),
        CheckKind::Ssh,
        CheckKind::Ldap(LdapCheck { login: Some(login()), starttls: false }),
    ]
}

/// Lets a server say what follows the first byte, to the check that this chooses.
pub fn any(input: &[u8]) {
    let [kind, answers @ ..] = input else { return };
    if *kind == AGENT {
        return agent(answers);
    }
    let kinds = kinds();
    if let Some(kind) = kinds.get(usize::from(*kind) % kinds.len()) {
        survives(kind, answers);
    }
}

/// Lets an agent say that: the same is understood however it is cut, and what is told of it is short and safe.
fn agent(answers: &[u8]) {
    let told = ask(answers, async |wire| {
        let said = hear(wire).await?;
        assert!(said.weight.is_none_or(|weight| weight.of(256) <= 256));
        Ok(Finding::new(Code::L7Ok, format!("{} {said:?}", said.words(None))))
    });
    assert!(told.detail.len() < LONGEST * 4, "{told}");
    assert!(told.detail.bytes().all(|byte| !byte.is_ascii_control()), "{told}");
}

/// What that check finds at a server that says that.
pub(super) fn find(kind: &CheckKind, answers: &[u8]) -> Finding {
    let address = ([192, 0, 2, 1], 80).into();
    let check = Check { kind: kind.clone(), ..Check::default() };
    let target = Target { address, check, tls: None, send_proxy: None, facts: None };
    let Ok(prober) = Prober::new(target, &mut |_tls| Ok::<_, Infallible>(None));
    ask(answers, async |wire| prober.ask(wire).await)
}

/// Lets a server say that to that check.
pub(super) fn survives(kind: &CheckKind, answers: &[u8]) {
    let found = find(kind, answers);
    assert!(found.detail.len() < LONGEST, "{found}");
    assert!(!found.detail.contains(PASSWORD), "{found}");
    assert!(found.detail.bytes().all(|byte| !byte.is_ascii_control()), "{found}");
}

/// Chooses the agent in place of a check.
const AGENT: u8 = u8::MAX;
/// What no finding may tell.
const PASSWORD: &str = "s3cret";
/// Far more than a finding has to say, in bytes.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::proptest;
    use std::{fs, path::Path};

    #[test]
    fn the_corpus_holds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/checks");
        let inputs = fs::read_dir(corpus).expect("a corpus").map(|entry| fs::read(entry.unwrap().path()).unwrap());
        assert!(inputs.map(|input| super::any(&input)).count() > 10, "the corpus is gone");
    }

    proptest! {
        #[test]
        fn any_bytes_of_an_agent_are_understood_or_told(answers: Vec<u8>, words in "[ -~\t\r\n]{0,300}") {
            super::agent(&answers);
            super::agent(words.as_bytes());
        }

        #[test]
        fn any_bytes_end_a_probe(kind: u8, answers: Vec<u8>) {
            super::any(&[&[kind], answers.as_slice()].concat());
        }
    }
}
