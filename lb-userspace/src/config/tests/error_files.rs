//! Error files: what is taken from them, and what is wrong with others.

use super::{
    bundle::{directory, short_errors},
    said,
};
use crate::{
    config::{collect, load},
    model::{ErrorFile, FrontendKind},
};
use bytes::Bytes;

const SORRY: &str = "HTTP/1.0 503 Service Unavailable\nCache-Control: no-cache\nConnection: close\nContent-Type: text/html\n\n<h1>Sorry</h1>\n";

fn files(frontend: &str, backend: &str) -> String {
    format!(
        "[defaults]\nerrorfile = {{ 500 = \"500.http\", 503 = \"gone/../503.http\" }}\n\
         [frontend.www]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"web\"\n{frontend}\n\
         [backend.web]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n{backend}\n"
    )
}

#[test]
fn those_of_defaults_are_inherited_status_by_status_and_lines_may_end_as_they_like() {
    let text = files("errorfile.503 = \"503.http\"\nerrorfile.408 = \"/dev/null\"", "errorfile.503 = \"crlf.http\"");
    let crlf = SORRY.replace('\n', "\r\n").replace("\r\n\r\n", "\r\nContent-Length: 16\r\n\r\n");
    let directory = directory(&[
        ("sluice.toml", &text),
        ("500.http", "HTTP/1.1 200 OK\n\n"),
        ("503.http", SORRY),
        ("crlf.http", &crlf),
        ("gone/.keep", ""),
    ]);
    let model = load(&collect(directory.path()).expect("readable files")).expect("a model").model;
    let (frontend, backend) = (&model.frontends[0], &model.backends[0]);
    assert!(matches!(frontend.kind, FrontendKind::Http(_)));
    assert_eq!(frontend.errors.keys().copied().collect::<Vec<_>>(), [408, 500, 503]);
    assert_eq!(backend.errors.keys().copied().collect::<Vec<_>>(), [500, 503]);
    assert_eq!(frontend.errors[&408], None);
    let sorry = |body: &'static str| ErrorFile {
        status: 503,
        reason: b"Service Unavailable".to_vec(),
        fields: [("Cache-Control", "no-cache"), ("Content-Type", "text/html")]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        body: Bytes::from_static(body.as_bytes()),
    };
    assert_eq!(frontend.errors[&503].as_deref(), Some(&sorry("<h1>Sorry</h1>\n")));
    assert_eq!(backend.errors[&503].as_deref(), Some(&sorry("<h1>Sorry</h1>\r\n")));
    assert_eq!(frontend.errors[&500].as_ref().map(|file| file.status), Some(200));
}

#[test]
fn what_is_no_answer_is_an_error_at_the_line_that_names_it() {
    let large = format!("HTTP/1.1 503 Sorry\n\n{}", "x".repeat(65_536));
    let long = format!("HTTP/1.1 503 Sorry\nX: {}\n\n", "x".repeat(20_000));
    let bad = [
        ("400", "line", "<h1>Sorry</h1>\n\n"),
        ("401", "field", "HTTP/1.1 401 No\nno field\n\n"),
        ("403", "endless", "HTTP/1.1 403 No\nX: y\n"),
        ("404", "length", "HTTP/1.1 404 No\nContent-Length: 3\n\nno"),
        ("405", "lengths", "HTTP/1.1 405 No\nContent-Length: 2, 3\n\nno"),
        ("407", "chunked", "HTTP/1.1 407 No\nTransfer-Encoding: chunked\n\n0\n\n"),
        ("408", "status", "HTTP/1.1 102 No\n\n"),
        ("410", "bodiless", "HTTP/1.1 204 No\n\nno"),
        ("413", "large", &large),
        ("414", "long", &long),
        ("418", "field", ""),
        ("421", "gone", ""),
    ];
    let lines: Vec<_> = bad.iter().map(|(status, file, _)| format!("errorfile.{status} = \"{file}\"\n")).collect();
    let lines = lines.concat();
    let text = format!(
        "[backend.web]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n\
         [frontend.www]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"web\"\n{lines}"
    );
    let mut written: Vec<(&str, &str)> = vec![("sluice.toml", &text)];
    written.extend(
        bad.iter()
            .filter(|(status, file, _)| *file != "gone" && *status != "418")
            .map(|(_, file, text)| (*file, *text)),
    );
    let directory = directory(&written);
    assert_eq!(
        short_errors(directory.path()),
        [
            "sluice.toml:7:17: error: `line` is no answer: the status line is malformed",
            "sluice.toml:8:17: error: `field` is no answer: a header field is malformed",
            "sluice.toml:9:17: error: `endless` is no answer: its head has no end: the empty line after the header fields is missing",
            "sluice.toml:10:17: error: `length` is no answer: `content-length` is 3, and the body has 2 bytes",
            "sluice.toml:11:17: error: `lengths` is no answer: Content-Length is not one number",
            "sluice.toml:12:17: error: `chunked` is no answer: chunks are for transfer: the body stands as it is, without `transfer-encoding`",
            "sluice.toml:13:17: error: `status` is no answer: 102 is no status from 200 to 599",
            "sluice.toml:14:17: error: `bodiless` is no answer: an answer with status 204 has no body",
            "sluice.toml:15:17: error: cannot read `large`: large: larger than 64 KiB",
            "sluice.toml:16:17: error: `long` is no answer: the header is too large",
            "sluice.toml:17:11: error: there is no answer of ours with status `418`",
            "sluice.toml:18:17: error: cannot read `gone`: gone: No such file or directory (os error 2)",
        ]
    );
}

#[test]
fn only_mode_http_has_them() {
    let text = "[frontend.db]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"db\"\nerrorfile.503 = \"x\"\n\
                [backend.db]\nserver = [{ name = \"s\", address = \"10.0.0.1:80\" }]\n";
    assert_eq!(said(text), ["`errorfile` has no meaning in mode `tcp`"]);
    let text = "[frontend.db]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"db\"\n\
                [backend.db]\nserver = [{ name = \"s\", address = \"10.0.0.1:80\" }]\nerrorfile.503 = \"x\"\n";
    assert_eq!(said(text), ["no http frontend uses backend `db`: `errorfile` has no effect"]);
}
