//! The keys of a check of type `smtp`.

use crate::{
    config::{
        read::{Word, table},
        text::Text,
    },
    model::check::Hello,
};

table! {
    /// The keys of a check of type `smtp`.
    struct SmtpKeys, "a check of type `smtp`" {
        /// How the server is greeted once its whole banner came, `HELO` or `EHLO`. Servers that keep new clients waiting in
        /// the middle of the banner, as Postfix' postscreen (6s), need a longer `timeout`. Default: `HELO`, as HAProxy's
        /// `smtpchk`; with `starttls` `EHLO`.
        hello: Hello,
        /// The name to greet with. Default: "localhost", as HAProxy.
        domain: Text,
        /// Begin TLS by STARTTLS; needs `tls` in the check. Default: false, `tls` begins with the connection.
        starttls: bool,
    }
}

impl Word for Hello {
    const WHAT: &'static str = "a greeting";
    const WORDS: &'static [(&'static str, Self)] = &[("HELO", Self::Plain), ("EHLO", Self::Extended)];
}
