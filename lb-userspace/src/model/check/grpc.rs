//! The gRPC check.

use super::http::name_of;

/// A call of `grpc.health.v1.Health/Check`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GrpcCheck {
    /// The service that is asked for. Default: empty, the server as a whole.
    pub service: String,
    /// Sent as `:authority`; default: the server's address.
    pub host: Option<String>,
}

impl GrpcCheck {
    /// The name that the call is for, without a port.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref().map(name_of)
    }
}
