//! What a user does, in one binary.

mod report;
