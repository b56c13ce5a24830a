//! What the checks of databases have in common: how much a server may say, and whether a statement's answer is as expected.

use super::{
    Code, Finding,
    finding::{Step, quote},
};
use crate::model::check::Query;

/// Most bytes that a server may say in one probe: what is asked for is a word, not a table.
pub(super) const ANSWERS: usize = 64 << 10;

/// What a statement was answered: the last column of the first row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// There is no row.
    NoRow,
    /// It is NULL.
    Null,
    /// As text.
    Value(Vec<u8>),
}

/// Whether that is as expected.
pub(super) fn judge(query: &Query, answer: &Answer) -> Step<Finding> {
    let Query { expect, .. } = query;
    let is_expected = |value: &[u8]| expect.is_empty() || expect.iter().any(|expected| expected.as_bytes() == value);
    match answer {
        Answer::Value(value) if is_expected(value) => Ok(Finding::ok(quote(value))),
        Answer::Value(value) => Err(Finding::refused("another answer to the query", value)),
        Answer::Null if expect.is_empty() => Ok(Finding::ok("NULL")),
        Answer::Null => Err(Finding::new(Code::L7Status, "the query was answered NULL")),
        Answer::NoRow if expect.is_empty() => Ok(Finding::ok("no row")),
        Answer::NoRow => Err(Finding::new(Code::L7Status, "the query was answered no row")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{
            finding::Step,
            mysql, pgsql,
            testing::ask,
            wire::{Upgrade, Wire},
        },
        l7::tls::server::Connector,
        model::{
            ServerTls, Sni, TlsVersion,
            check::{Login, MysqlCheck, PgsqlCheck, Role, SqlLogin},
        },
    };

    /// What came in clear text before TLS came from anyone. Whether it comes with what was asked for or after it is for the
    /// network to say: then it is no TLS.
    #[test]
    fn nothing_in_clear_text_passes_for_tls() {
        let tls = ServerTls {
            authorities: None,
            revoked: vec![],
            sni: Sni::default(),
            alpn: vec![],
            certificate: None,
            min_version: TlsVersion::default(),
        };
        let connector = Connector::fresh(&tls).unwrap();
        let login = Login { user: "app".to_owned(), password: None };
        let login = SqlLogin { login, database: None, clear_password: false, query: None };
        let mysql = MysqlCheck::Full(login.clone());
        let pgsql = PgsqlCheck::Full { login, role: Role::Any };
        let coded = |found: Step<Finding>| found.map_err(|found| Finding { detail: String::new(), ..found });
        let upgrade: Option<Upgrade<'_>> = Some(Upgrade { connector: &connector, name: None });
        let mut greeting = b"\x00\0\0\0\x0a8.4.3\0\x07\0\0\0abcdefgh\0\xff\xff\x2d\x02\0\xff\xff\x15".to_vec();
        greeting.extend_from_slice(&[0; 10]);
        greeting.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
        greeting[0] = u8::try_from(greeting.len() - 4).unwrap();
        let welcome = [greeting.as_slice(), b"\x07\0\0\x02\0\0\0\x02\0\0\0"].concat();
        let by_mysql = async |wire: &mut Wire| coded(mysql::probe(wire, &mysql, upgrade).await);
        let by_pgsql = async |wire: &mut Wire| coded(pgsql::probe(wire, &pgsql, upgrade).await);
        assert_eq!(ask(&welcome, by_mysql).code, Code::L6Response);
        assert_eq!(ask(b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", by_pgsql).code, Code::L6Response);
        assert_eq!(ask(b"NR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", by_pgsql).code, Code::L6Response, "it has none");
        // Neither of them begins with TLS, or goes on without.
        greeting[25] &= !8;
        let without = [greeting.as_slice(), b"\x07\0\0\x02\0\0\0\x02\0\0\0"].concat();
        assert_eq!(ask(&without, by_mysql).code, Code::L6Response, "it has none");
    }

    #[test]
    fn an_answer_is_compared_with_what_is_expected() {
        let ask = |expect: &[&str], answer: Answer| {
            let expect = expect.iter().map(|value| (*value).to_owned()).collect();
            let found = judge(&Query { statement: "select 1".to_owned(), expect }, &answer);
            found.unwrap_or_else(|found| found).to_string()
        };
        let value = |text: &str| Answer::Value(text.as_bytes().to_vec());
        assert_eq!(ask(&["0"], value("0")), "L7OK \"0\"");
        assert_eq!(ask(&["2", "4"], value("4")), "L7OK \"4\"");
        assert_eq!(ask(&["0"], value("1")), "L7STS another answer to the query: \"1\"");
        assert_eq!(ask(&["0"], value("00")), "L7STS another answer to the query: \"00\"");
        assert_eq!(ask(&["NULL"], Answer::Null), "L7STS the query was answered NULL");
        assert_eq!(ask(&[""], Answer::NoRow), "L7STS the query was answered no row");
        assert_eq!(ask(&[""], value("")), "L7OK \"\"");
        let any = [value("x\n"), Answer::Null, Answer::NoRow].map(|answer| ask(&[], answer));
        assert_eq!(any, ["L7OK \"x\"", "L7OK NULL", "L7OK no row"]);
    }
}
