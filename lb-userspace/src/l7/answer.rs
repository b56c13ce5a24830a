//! The answers that we make ourselves, with HAProxy's texts (`src/http.c`), so that what users grep for stays the same.

mod files;

pub(super) use files::Files;

use super::message::Response;
use bytes::Bytes;

/// An answer that is ours, by its status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer(pub(super) u16);

impl Answer {
    /// It is malformed, or means different things to different readers.
    pub(super) const BAD_REQUEST: Self = Self(400);
    /// Its head or its body did not come in time.
    pub(super) const REQUEST_TIMEOUT: Self = Self(408);
    /// It is for another host than the connection.
    pub(super) const MISDIRECTED: Self = Self(421);
    /// The server's answer is invalid, or was cut off before it began.
    pub(super) const BAD_GATEWAY: Self = Self(502);
    /// No server could be reached, or no rule says where to go.
    pub(super) const UNAVAILABLE: Self = Self(503);
    /// The server was silent for too long.
    pub(super) const GATEWAY_TIMEOUT: Self = Self(504);

    /// What HAProxy says of it.
    const fn texts(self) -> (&'static str, &'static str) {
        match self.0 {
            200 => ("OK", "Service ready."),
            400 => ("Bad request", "Your browser sent an invalid request."),
            401 => ("Unauthorized", "You need a valid user and password to access this content."),
            403 => ("Forbidden", "Request forbidden by administrative rules."),
            404 => ("Not Found", "The resource could not be found."),
            405 => (
                "Method Not Allowed",
                "A request was made of a resource using a request method not supported by that resource",
            ),
            407 => ("Proxy Authentication Required", "You need a valid user and password to access this content."),
            408 => ("Request Time-out", "Your browser didn't send a complete request in time."),
            410 => ("Gone", "The resource is no longer available and will not be available again."),
            413 => ("Payload Too Large", "The request entity exceeds the maximum allowed."),
            414 => ("URI Too Long", "The request target is longer than the server is willing to interpret."),
            421 => ("Misdirected Request", "Request sent to a non-authoritative server."),
            422 => ("Unprocessable Content", "The server cannot process the contained instructions."),
            425 => ("Too Early", "Your browser sent early data."),
            429 => ("Too Many Requests", "You have sent too many requests in a given amount of time."),
            431 => ("Request Header Fields Too Large", "The header fields of the request are too large."),
            500 => ("Internal Server Error", "An internal server error occurred."),
            501 => {
                ("Not Implemented", "The server does not support the functionality required to fulfill the request.")
            }
            502 => ("Bad Gateway", "The server returned an invalid or incomplete response."),
            503 => ("Service Unavailable", "No server is available to handle this request."),
            504 => ("Gateway Time-out", "The server didn't respond in time."),
            505 => ("HTTP Version Not Supported", "The server does not support the HTTP version of the request."),
            _ => ("", ""),
        }
    }

    /// What its status line says beside the status; empty for one that nobody knows.
    pub(super) const fn reason(self) -> &'static str {
        self.texts().0
    }

    /// Its page.
    fn page(self) -> String {
        let (title, text) = self.texts();
        format!("<html><body><h1>{} {title}</h1>\n{text}\n</body></html>\n", self.0)
    }

    /// Whether it is the request's fault: HAProxy's `ereq`.
    pub(super) const fn is_of_request(self) -> bool {
        matches!(self.0, 400..=499)
    }

    /// Its head and its body.
    pub(super) fn response(self) -> (Response, Bytes) {
        let page = self.page();
        let mut response = Response { is_page: true, ..Response::new(self.0) };
        response.reason = self.texts().0.into();
        response.fields.push("content-length", page.len().to_string());
        response.fields.push("cache-control", "no-cache");
        response.fields.push("content-type", "text/html");
        (response, page.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_a_backend_without_servers_is_haproxys_byte_for_byte() {
        let (response, page) = Answer::UNAVAILABLE.response();
        assert_eq!(
            page,
            "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"
        );
        assert_eq!(response.fields.get("content-length"), Some(&b"107"[..]));
    }
}
