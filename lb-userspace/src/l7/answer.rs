//! The answers that we make ourselves, with HAProxy's texts, so that what users grep for stays the same.

use super::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

/// Why we answer a request instead of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// 400: it is malformed, or means different things to different readers.
    BadRequest,
    /// 405: CONNECT, which would make us an open proxy.
    MethodNotAllowed,
    /// 408: its headers did not come in time.
    RequestTimeout,
    /// 422: a transfer coding that we do not decode.
    Unprocessable,
    /// 502: the server's answer is invalid, or was cut off before it began.
    BadGateway,
    /// 503: no server could be reached, or no rule says where to go.
    Unavailable,
    /// 504: the server was silent for too long.
    GatewayTimeout,
}

impl Answer {
    /// The status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// HAProxy's error page (`src/http.c`).
    pub(super) fn page(self) -> &'static str {
        match self {
            Self::BadRequest => {
                "<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n"
            }
            Self::MethodNotAllowed => {
                "<html><body><h1>405 Method Not Allowed</h1>\nA request was made of a resource using a request method not supported by that resource\n</body></html>\n"
            }
            Self::RequestTimeout => {
                "<html><body><h1>408 Request Time-out</h1>\nYour browser didn't send a complete request in time.\n</body></html>\n"
            }
            Self::Unprocessable => {
                "<html><body><h1>422 Unprocessable Content</h1>\nThe server cannot process the contained instructions.\n</body></html>\n"
            }
            Self::BadGateway => {
                "<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n</body></html>\n"
            }
            Self::Unavailable => {
                "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"
            }
            Self::GatewayTimeout => {
                "<html><body><h1>504 Gateway Time-out</h1>\nThe server didn't respond in time.\n</body></html>\n"
            }
        }
    }

    /// Whether what follows on the connection can no longer be trusted.
    pub(super) fn closes(self) -> bool {
        matches!(self, Self::BadRequest | Self::RequestTimeout | Self::Unprocessable | Self::MethodNotAllowed)
    }

    /// As a response.
    pub(super) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::full(self.page()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.page().len()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
        if self.closes() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// As bytes of HTTP/1.1, for when no request was complete and the connection ends with this.
    pub(super) fn bytes(self) -> String {
        let (status, page) = (self.status(), self.page());
        let reason =
            page.split(['>', '<']).find_map(|part| part.strip_prefix(status.as_str())).unwrap_or_default().trim();
        let (code, length) = (status.as_str(), page.len());
        format!(
            "HTTP/1.1 {code} {reason}\r\ncontent-length: {length}\r\ncache-control: no-cache\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n{page}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_a_backend_without_servers_is_haproxys_byte_for_byte() {
        assert_eq!(Answer::Unavailable.page().len(), 107);
        assert_eq!(Answer::Unavailable.response().headers()["content-length"], "107");
    }

    #[test]
    fn a_late_request_is_told_so_and_the_connection_ends() {
        let bytes = Answer::RequestTimeout.bytes();
        assert!(bytes.starts_with("HTTP/1.1 408 Request Time-out\r\n"), "{bytes}");
        assert!(bytes.contains("\r\nconnection: close\r\n"), "{bytes}");
    }
}
