//! The keys of a check of type `grpc`.

use crate::config::{read::table, text::Text};

table! {
    /// The keys of a check of type `grpc`.
    struct GrpcKeys, "a check of type `grpc`" {
        /// The service that is asked for. Default: "", the server as a whole.
        service: Text,
        /// Sent as `:authority`. Default: the server's address.
        host: Text,
    }
}
