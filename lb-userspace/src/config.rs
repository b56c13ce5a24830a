//! CONTROL PATH 1: from a file to a valid [`Model`](crate::model::Model), or to all its errors at once.
