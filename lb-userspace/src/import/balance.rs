//! `balance` and `hash-type`.

/// A way to balance in our words; or why there is none.
pub(super) fn balance(words: &[&str]) -> Result<String, (&'static str, &'static str)> {
    Ok(match words {
        ["uri", options @ ..] => {
            let mut text = "uri".to_owned();
            let mut rest = options.iter();
            while let Some(option) = rest.next() {
                text.push(' ');
                match *option {
                    "whole" => text.push_str("whole"),
                    "path-only" => text.push_str("path_only"),
                    "len" | "depth" => text.extend([option, " ", rest.next().copied().unwrap_or_default()]),
                    _ => return Err(("it is not understood", "")),
                }
            }
            text
        }
        ["url_param", name] => format!("url_param({name})"),
        ["url_param", ..] => return Err(("bodies are not looked into", "balance = \"url_param(NAME)\"")),
        [hdr] if hdr.starts_with("hdr(") => (*hdr).to_owned(),
        [hdr, "use_domain_only"] if hdr.starts_with("hdr(") => format!("{hdr} use_domain_only"),
        ["hash", expression @ ..] => format!("hash {}", expression.join("")),
        [word] if word.starts_with("rdp-cookie") => {
            return Err(("cookies of RDP are not read", "balance = \"source\""));
        }
        [word] => (*word).to_owned(),
        _ => return Err(("it is not understood", "")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_written_as_ours() {
        for (theirs, ours) in [
            ("roundrobin", "roundrobin"),
            ("random(3)", "random(3)"),
            ("uri depth 2 path-only", "uri depth 2 path_only"),
            ("url_param userid", "url_param(userid)"),
            ("hdr(host) use_domain_only", "hdr(host) use_domain_only"),
            ("hash path,lower", "hash path,lower"),
        ] {
            let words: Vec<_> = theirs.split(' ').collect();
            assert_eq!(balance(&words).as_deref(), Ok(ours));
        }
        assert!(balance(&["rdp-cookie"]).is_err() && balance(&["uri", "odd"]).is_err());
    }
}
