//! Encoding and decoding of InvokeModel, without a connection.
