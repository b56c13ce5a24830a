//! Checks of type `exec`: what they need, and what is known of their programs before they run.

use super::{assert_errors, bundle, model, said};
use crate::{
    config::{collect, load},
    model::{CheckKind, check::Spoken},
};
use std::{fs, os::unix::fs::PermissionsExt as _};

/// A frontend of that mode, and a backend with that check.
fn with(global: &str, mode: &str, check: &str) -> String {
    format!(
        "[global]\n{global}\n[frontend.f]\nmode = \"{mode}\"\nbind = \"*:1\"\ndefault_backend = \"b\"\n\n[backend.b]\n\
         server = [{{ name = \"s\", address = \"10.0.0.1:1\" }}]\ncheck = {check}\n"
    )
}

#[test]
fn programs_are_refused_where_nobody_said_that_they_may_run() {
    assert_errors(
        &with("", "tcp", r#"{ type = "exec", command = "/bin/true" }"#),
        r#"error: a check of type `exec` needs `exec_checks = true` in `[global]`
  --> sluice.toml:10:18
   |
10 | check = { type = "exec", command = "/bin/true" }
   |                  ^^^^^^
   |
   = help: it runs programs on this machine, as `exec_user`
"#,
    );
}

#[test]
fn what_a_check_by_a_program_lacks_or_cannot_have_is_said() {
    let long = format!(r#"{{ type = "exec", command = "/bin/{}" }}"#, "x".repeat(8_192));
    for (check, expected) in [
        (r#"{ type = "exec" }"#, vec!["a check of type `exec` needs a `command`"]),
        (r#"{ type = "exec", command = "true" }"#, vec!["`command` must be an absolute path"]),
        (r#"{ type = "exec", command = "/bin/\u0000" }"#, vec!["no program can be given a zero byte"]),
        (r#"{ type = "exec", command = "/bin/true", args = ["\u0000"] }"#, vec!["no program can be given a zero byte"]),
        (long.as_str(), vec!["`command`, `args` and `path` have more than 8192 bytes together"]),
        (
            r#"{ type = "exec", command = "/bin/true", port = 1, address = "10.0.0.2", send_proxy = "v1" }"#,
            vec![
                "`port` has no meaning in a check by a program",
                "`address` has no meaning in a check by a program",
                "`send_proxy` has no meaning in a check by a program",
            ],
        ),
        (r#"{ type = "tcp", command = "/bin/true" }"#, vec!["`command` has no meaning in a check of type `tcp`"]),
    ] {
        assert_eq!(said(&with("exec_checks = true", "tcp", check)), expected, "{check}");
    }
    let unused = with("exec_user = \"nobody\"", "tcp", r#"{ type = "tcp" }"#);
    assert_eq!(said(&unused), ["`exec_user` has no effect without `exec_checks`"]);
}

#[test]
fn the_model_has_what_the_program_is_told() {
    let model = model(&with(
        "exec_checks = true\nexec_user = \"checker\"",
        "http",
        r#"{ type = "exec", command = "/opt/check", args = ["-x", "a b"], path = "/bin" }"#,
    ));
    assert_eq!((model.global.exec_checks, model.global.exec_user.as_deref()), (true, Some("checker")));
    let Some(CheckKind::Exec(check)) = model.backends[0].check.as_ref().map(|check| &check.kind) else {
        panic!("another check")
    };
    assert_eq!(check.command.to_str(), Some("/opt/check"));
    assert_eq!((check.args.join("|"), check.path.as_str(), check.spoken), ("-x|a b".to_owned(), "/bin", Spoken::Http1));
    assert_eq!(model.exec_checks().collect::<Vec<_>>(), [check]);
}

#[test]
fn a_program_that_cannot_be_run_is_an_error_at_the_line_that_names_it() {
    let files = ["runs", "text"].map(|name| (name, "#!/bin/sh\n"));
    let directory = bundle::directory(&files);
    let at = directory.path();
    fs::set_permissions(at.join("runs"), fs::Permissions::from_mode(0o755)).expect("permissions");
    for (command, expected) in [
        ("runs", None),
        ("text", Some("nobody may execute it")),
        ("", Some("not a regular file")),
        ("gone", Some("No such file or directory (os error 2)")),
    ] {
        let command = at.join(command).display().to_string();
        let check = format!("{{ type = \"exec\", command = \"{command}\" }}");
        fs::write(at.join("sluice.toml"), with("exec_checks = true", "tcp", &check)).expect("a file");
        let loaded = load(&collect(&at.join("sluice.toml")).expect("readable files"));
        let found = loaded.map_or_else(|errors| errors, |loaded| loaded.warnings);
        let found: Vec<_> = found.iter().map(|error| error.message.clone()).collect();
        let expected: Vec<_> = expected.iter().map(|why| format!("`{command}` cannot be run: {why}")).collect();
        assert_eq!(found, expected);
    }
}
