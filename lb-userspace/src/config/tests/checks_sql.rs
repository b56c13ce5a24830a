//! Checks of databases: what fits together, and what becomes of it.

use super::{Bundle, ConfigFile, load, said};
use crate::model::{
    CheckKind, Secret,
    check::{Login, MysqlCheck, MysqlForm, PgsqlCheck, Query, Role, SqlLogin},
};

/// A backend with that check.
fn text(check: &str) -> String {
    format!(
        "[frontend.a]\nmode = \"tcp\"\nbind = \"*:1\"\ndefault_backend = \"b\"\n\n[backend.b]\ncheck = {{ {check} }}\nserver = [{{ name = \"s\", address = \"10.0.0.1:1\" }}]\n"
    )
}

/// What becomes of that check, and the warnings.
fn kind(check: &str) -> (CheckKind, Vec<String>) {
    let files = vec![ConfigFile { path: "sluice.toml".to_owned(), text: text(check) }];
    let texts = [("secret".to_owned(), Ok(Secret::new("s3cret\n")))].into();
    let loaded = load(&Bundle { files, texts, ..Bundle::default() }).expect(check);
    let warnings = loaded.warnings.iter().map(|diagnostic| diagnostic.message.clone()).collect();
    let check = loaded.model.backend("b").and_then(|backend| backend.check.clone());
    (check.expect("a check").kind, warnings)
}

/// What is wrong with it.
fn wrong(check: &str) -> Vec<String> {
    said(&text(check))
}

fn login(password: bool, query: Option<(&str, &[&str])>) -> SqlLogin {
    let login = Login { user: "app".to_owned(), password: password.then(|| Secret::new("s3cret")) };
    let query = query.map(|(statement, expect)| Query {
        statement: statement.to_owned(),
        expect: expect.iter().map(|value| (*value).to_owned()).collect(),
    });
    SqlLogin { login, database: None, clear_password: false, query }
}

#[test]
fn a_user_makes_a_check_of_mysql_log_in() {
    let full = |password, query| CheckKind::Mysql(MysqlCheck::Full(login(password, query)));
    assert_eq!(kind("type = \"mysql\", user = \"app\""), (full(false, None), vec![]));
    let galera =
        "type = \"mysql\", user = \"app\", password_file = \"secret\", query = \"SHOW x\", expect = [\"2\", \"4\"]";
    assert_eq!(kind(galera), (full(true, Some(("SHOW x", &["2", "4"]))), vec![]));
    for (word, form) in [("post-41", MysqlForm::Post41), ("pre-41", MysqlForm::Pre41), ("post-80", MysqlForm::Post80)] {
        let blind = CheckKind::Mysql(MysqlCheck::Blind { user: "app".to_owned(), form });
        assert_eq!(kind(&format!("type = \"mysql\", user = \"app\", login = \"{word}\"")), (blind, vec![]));
    }
    let aborted = "the server counts every probe as an aborted connection".to_owned();
    let greeting = CheckKind::Mysql(MysqlCheck::Greeting);
    assert_eq!(kind("type = \"mysql\""), (greeting.clone(), vec![aborted.clone()]));
    assert_eq!(kind("type = \"mysql\", login = \"greeting\""), (greeting, vec![aborted]));
}

#[test]
fn a_check_of_postgresql_logs_in_unless_it_is_told_otherwise() {
    let full = |password, role| CheckKind::Pgsql(PgsqlCheck::Full { login: login(password, None), role });
    assert_eq!(kind("type = \"pgsql\", user = \"app\""), (full(false, Role::Any), vec![]));
    let replica = "type = \"pgsql\", user = \"app\", password_file = \"secret\", role = \"replica\"";
    assert_eq!(kind(replica), (full(true, Role::Replica), vec![]));
    let startup = CheckKind::Pgsql(PgsqlCheck::Startup { user: "app".to_owned() });
    assert_eq!(kind("type = \"pgsql\", user = \"app\", login = \"startup\""), (startup, vec![]));
}

#[test]
fn a_password_in_clear_text_is_warned_of_only_where_it_may_be() {
    let clear = |more: &str| {
        let keys = format!("type = \"pgsql\", user = \"app\", password_file = \"secret\", {more}");
        kind(&keys).1
    };
    assert_eq!(clear("clear_password = true"), ["whoever listens may learn the password"]);
    assert_eq!(clear("clear_password = true, tls = { verify = \"none\" }"), [""; 0]);
    assert_eq!(clear("clear_password = false"), [""; 0]);
    assert_eq!(
        wrong("type = \"mysql\", user = \"app\", clear_password = true"),
        ["`clear_password` needs a `password_file`"]
    );
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let no_user = ["a check that logs in needs a `user`"];
    assert_eq!(wrong("type = \"pgsql\""), no_user);
    assert_eq!(wrong("type = \"mysql\", login = \"full\""), no_user);
    assert_eq!(wrong("type = \"mysql\", login = \"post-80\""), no_user);
    let form = "HAProxy's form has no password, and asks nothing";
    assert_eq!(
        wrong(
            "type = \"mysql\", user = \"app\", login = \"post-41\", database = \"d\", query = \"x\", tls = { verify = \"none\" }"
        ),
        ["database", "query", "tls"].map(|key| format!("`{key}` needs login = \"full\": {form}"))
    );
    assert_eq!(
        wrong("type = \"mysql\", user = \"app\", login = \"greeting\""),
        ["`user` has no meaning without a login"]
    );
    assert_eq!(
        wrong("type = \"pgsql\", user = \"app\", login = \"startup\", role = \"primary\""),
        ["`role` needs login = \"full\": HAProxy's form ends before the login"]
    );
    assert_eq!(
        wrong("type = \"mysql\", user = \"\", expect = \"4\""),
        [
            "`user` must have 1 to 255 bytes, and none of them zero",
            "`expect` needs a `query`, which it is the answer to"
        ]
    );
    assert_eq!(
        wrong("type = \"pgsql\", user = \"a\\u0000b\", query = \" \", expect = []"),
        [
            "`user` must have 1 to 255 bytes, and none of them zero",
            "`query` must be a statement of up to 4096 bytes",
            "`expect` has no value: the check could never pass"
        ]
    );
    assert_eq!(wrong("type = \"mysql\", user = \"a\", role = \"primary\"").len(), 1, "it has a query for that");
}
